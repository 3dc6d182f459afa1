"""A message that breaks a machine costs its author the peer's ear, and nobody anything else."""

from typing import Any

import pytest

import mesh.core.peer as core_peer
from mesh.core.outward import Accuse
from protocols.gossip.messages import MemberRecord, Ping
from protocols.wire import encode, seal
from simulations.world import SimulatedPeer, World
from tests.core.test_admission import blamed


def three_peers() -> tuple[World, list[SimulatedPeer]]:
    world = World(seed=1, peers=3)
    for peer in world.peers:
        world.start(peer, ())
    world.run(1_000_000_000)
    return world, list(world.peers)


def break_gossip(peer: SimulatedPeer, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """From now on whatever `peer`'s gossip receives raises."""

    def receive(*_: Any) -> None:
        raise error

    assert peer.core is not None
    monkeypatch.setattr(peer.core.gossip, "receive", receive)


@pytest.mark.parametrize(
    "error", [KeyError("x"), OverflowError("big"), RecursionError(), AssertionError("a-law")]
)
def test_whatever_a_message_raises_its_sender_is_isolated_and_the_peer_goes_on(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, (one, other, _) = three_peers()
    break_gossip(one, monkeypatch, error)
    (offence,) = blamed(world, one, other.peer, encode(Ping(7, 0)), encode(Ping(8, 0)))
    assert "isolated" in offence
    assert type(error).__name__ in offence
    assert blamed(world, one, other.peer, b"\xc1") == []


def test_a_signed_message_that_raises_is_laid_to_its_author_not_to_who_relayed_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, (one, relay, author) = three_peers()
    assert one.core is not None
    record = MemberRecord(author.peer, 99, False, "x", "sim://x", 1, (), author.credential)
    sealed = encode(seal(author.keyring, record))
    break_gossip(one, monkeypatch, KeyError("x"))
    assert blamed(world, one, relay.peer, sealed)
    monkeypatch.undo()
    assert blamed(world, one, relay.peer, sealed) == []
    # The relay is still heard, the author is not.
    assert blamed(world, one, relay.peer, b"\xc1")
    assert blamed(world, one, author.peer, b"\xc1") == []
    accused = [o for o in one.core.take_outward() if isinstance(o, Accuse)]
    assert accused == []


def test_a_newcomer_is_heard_however_many_peers_there_were_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(core_peer, "LINKS_LIMIT", 2)
    world, (one, other, third) = three_peers()
    for stranger in (b"s" * 32, b"t" * 32, other.peer, third.peer):
        assert blamed(world, one, stranger, b"\xc1")
