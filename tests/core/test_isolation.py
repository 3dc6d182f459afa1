"""A message that breaks a machine costs its author the peer's ear, and nobody anything else."""

from typing import Any

import pytest

import mesh.core.peer as core_peer
from protocols.gossip.messages import MemberRecord, Ping
from protocols.wire import encode, seal
from tests.core.lone_core import LoneCore

BAD = b"\xc1"
"""No message at all: whoever is heard is blamed for it."""


def break_gossip(one: LoneCore, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """From now on whatever its gossip receives raises."""

    def receive(*_: Any) -> None:
        raise error

    monkeypatch.setattr(one.core.gossip, "receive", receive)


@pytest.mark.parametrize(
    "error", [KeyError("x"), OverflowError("big"), RecursionError(), AssertionError("wrong")]
)
def test_whatever_a_message_raises_its_sender_is_isolated_and_the_peer_goes_on(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = LoneCore(1), LoneCore(2)
    break_gossip(one, monkeypatch, error)
    (accused,) = one.hear(other.peer, encode(Ping(7, 0)), encode(Ping(8, 0)))
    assert accused.peer == other.peer
    assert "isolated" in accused.offence
    assert type(error).__name__ in accused.offence
    assert one.hear(other.peer, BAD) == []


def test_a_signed_message_that_raises_is_laid_to_its_author_not_to_who_relayed_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, relay, author = LoneCore(1), LoneCore(2), LoneCore(3)
    record = MemberRecord(author.peer, 99, False, "x", "tcp://x:1", 1, (), author.credential)
    sealed = encode(seal(author.keyring, record))
    break_gossip(one, monkeypatch, KeyError("x"))
    assert [accused.peer for accused in one.hear(relay.peer, sealed)] == [author.peer]
    monkeypatch.undo()
    assert one.hear(relay.peer, sealed) == []
    # The relay is still heard, the author is not, whoever brings its word.
    assert one.hear(relay.peer, BAD)
    assert one.hear(author.peer, BAD) == []
    assert author.peer not in one.core.gossip.alive()


def test_a_newcomer_is_heard_however_many_peers_there_were_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(core_peer, "LINKS_LIMIT", 2)
    one = LoneCore(1)
    for stranger in range(2, 6):
        assert one.hear(LoneCore(stranger).peer, BAD)
