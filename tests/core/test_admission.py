"""Admission: what a core listens to, and what it does with the rest."""

import random

import msgspec

from mesh.core.framing import FrameWriter
from mesh.core.outward import Accuse
from protocols.gossip.messages import MemberRecord, Ping
from protocols.machine import SECOND_NS
from protocols.wire import encode, seal
from simulations.keyrings import real_keyrings
from simulations.peer import SimulatedPeer
from simulations.world import World


def two_peers() -> tuple[World, SimulatedPeer, SimulatedPeer]:
    world = World(seed=1, peers=2, keyrings=real_keyrings)
    for peer in world.peers:
        peer.start(())
    world.run(1_000_000_000)
    one, other = world.peers
    return world, one, other


def blamed(world: World, peer: SimulatedPeer, link: bytes, *messages: bytes) -> list[str]:
    """Sends a frame straight into a core: the offences that it blames on the sender."""
    core = peer.core
    assert core is not None
    core.take_outward()
    for frame in FrameWriter(random.Random(len(messages)).getrandbits(62)).frames(messages):
        core.receive(link, frame, peer.clock())
    return [o.offence for o in core.take_outward() if isinstance(o, Accuse)]


def test_a_malformed_message_is_blamed_and_the_rest_of_the_frame_is_read() -> None:
    world, one, other = two_peers()
    offences = blamed(world, one, other.peer, b"\xc1", encode(Ping(7, 0)))
    assert len(offences) == 1
    assert "malformed" in offences[0]


def test_a_message_of_an_unknown_kind_is_no_offence() -> None:
    world, one, other = two_peers()
    assert blamed(world, one, other.peer, encode(("gossip.newer", 1))) == []


def test_a_record_signed_by_somebody_else_is_blamed_on_who_relayed_it() -> None:
    world, one, other = two_peers()
    record = MemberRecord(one.peer, 99, False, "x", "sim://x", 1, (), other.credential)
    assert blamed(world, one, other.peer, encode(seal(other.keyring, record)))


def test_a_changed_signature_is_blamed() -> None:
    world, one, other = two_peers()
    record = MemberRecord(other.peer, 99, False, "x", "sim://x", 1, (), other.credential)
    sealed = seal(other.keyring, record)
    forged = msgspec.structs.replace(sealed, signature=bytes(64))
    assert blamed(world, one, other.peer, encode(forged))


def test_a_stranger_with_anothers_credential_is_no_member() -> None:
    world, one, other = two_peers()
    stranger = World(seed=2, peers=1, keyrings=real_keyrings).peers[0]
    record = MemberRecord(stranger.peer, 1, False, "s", "sim://s", 1, (), other.credential)
    blamed(world, one, other.peer, encode(seal(stranger.keyring, record)))
    assert one.core is not None
    assert stranger.peer not in one.core.gossip.alive()


def test_a_frame_that_is_no_frame_is_blamed_and_survived() -> None:
    _, one, other = two_peers()
    assert one.core is not None
    one.core.receive(other.peer, b"\x00garbage", one.clock())
    assert any(isinstance(o, Accuse) for o in one.core.take_outward())
    one.core.check()


def test_a_peer_whose_wall_clock_is_wrong_blames_nobody_for_a_credential() -> None:
    world, one, other = two_peers()
    record = MemberRecord(other.peer, 99, False, "x", "sim://x", 1, (), other.credential)
    year_ns = 366 * 24 * 3600 * SECOND_NS
    for jump_ns in (-year_ns, 2 * year_ns + SECOND_NS):
        one.stop()
        one.clocks.jump(jump_ns)
        one.start()
        assert blamed(world, one, other.peer, encode(seal(other.keyring, record))) == []
        assert one.core is not None
        assert [m.incarnation for m in one.core.gossip.members() if m.peer == other.peer] != [99]
