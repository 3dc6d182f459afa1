"""What a lying member can do, and what it cannot."""

import random

import pytest

from protocols.gossip.commands import Contact, Join
from protocols.gossip.events import MemberDown
from protocols.gossip.messages import Accusation, Ack, Digest, MemberVersion, Ping, PingRequest
from protocols.gossip.parameters import (
    CONTACTS_LIMIT,
    LINK_MEMORY_LIMIT,
    OBSERVER_ACCUSATIONS_LIMIT,
    OTHER_ACCUSATIONS_LIMIT,
    RELAYS_LIMIT,
    RUMOURS_LIMIT,
    GossipParameters,
)
from protocols.wire import Signed, Verified, seal
from tests.protocols.gossip.one import One, accusation, sent
from tests.protocols.gossip.support import HashKeyring, Mesh, Peer, mesh_of, peer_id


def accuse(mesh: Mesh, liars: list[Peer], victim: Peer, seconds: int) -> None:
    """The liars accuse the victim to everybody, over and over, of whatever is its present word."""
    keyrings = {liar.id: HashKeyring(liar.id) for liar in liars}
    for _ in range(seconds * 10):
        record_of_victim = mesh.machine(victim).record_of(victim.id)
        assert record_of_victim is not None
        for liar in liars:
            lie = Accusation(victim.id, record_of_victim.incarnation, liar.id)
            envelope = seal(keyrings[liar.id], lie)
            for target in mesh.running():
                if target not in liars:
                    mesh.inject(liar.id, target, envelope)
        mesh.run(0.1)


def deaths_of(mesh: Mesh, victim: Peer) -> int:
    return sum(
        isinstance(event, MemberDown) and event.peer == victim.id
        for peer in mesh.running()
        for _, event in peer.events
    )


@pytest.mark.parametrize("count", [2, 5])
def test_liars_that_accuse_a_live_peer_kill_nobody(count: int) -> None:
    mesh = mesh_of(10)
    peers = mesh.running()
    accuse(mesh, peers[:count], peers[9], seconds=20)
    assert deaths_of(mesh, peers[9]) == 0
    mesh.run_until(mesh.converged, seconds=30)


def test_refuting_a_flood_of_lies_costs_at_most_four_records_a_second() -> None:
    mesh = mesh_of(10)
    peers = mesh.running()
    accuse(mesh, peers[:2], peers[9], seconds=10)
    said = mesh.machine(peers[9]).record_of(peers[9].id)
    assert said is not None
    assert said.incarnation <= 1 + 4 * 10 + 1


def test_a_lie_that_is_kept_from_the_victim_suspects_it_for_a_while_only() -> None:
    one = One(members=10)
    one.hear(2, accusation(1, accuser=2))
    assert one.state(1) == "suspect"
    for _ in range(250):
        effects = one.run(0.1)
        for member in range(1, 11):
            for ping in sent(effects, Ping, to=member):
                one.plain(member, Ack(ping.nonce, 0))
    assert one.state(1) == "alive"


def test_a_digest_cannot_kill_or_invent_anybody() -> None:
    one = One(members=5)
    versions = [MemberVersion(peer_id(n), 2**30, s) for n in range(40) for s in (2, 3)]
    one.plain(1, Digest(tuple(versions), reply_wanted=True))
    assert len(one.gossip.members()) == 5
    assert {member.state for member in one.gossip.members()} == {"alive"}
    assert one.incarnation == 1


def test_requests_to_probe_are_served_to_a_bound() -> None:
    one = One(members=3)
    pinged = 0
    for nonce in range(RELAYS_LIMIT + 50):
        pinged += bool(sent(one.plain(1, PingRequest(nonce, peer_id(2))), Ping, to=2))
    assert pinged <= RELAYS_LIMIT + 1


def test_links_are_remembered_to_a_bound() -> None:
    one = One(members=3)
    for number in range(LINK_MEMORY_LIMIT + 20):
        one.plain(100 + number, Digest((), reply_wanted=True))
    one.gossip.check()


def test_contacts_are_kept_to_a_bound() -> None:
    one = One()
    contacts = tuple(Contact(peer_id(n), "tcp://x:1", bytes(32)) for n in range(1, 200))
    effects = one.submit(Join(contacts))
    asked = {n for n in range(1, 200) if sent(effects, Digest, to=n)}
    assert len(asked) == CONTACTS_LIMIT


@pytest.mark.slow
def test_rumours_are_kept_to_a_bound() -> None:
    never = GossipParameters(rumour_interval_ns=10**15, eager_interval_ns=10**15)
    one = One(members=300, parameters=never)
    rng = random.Random(1)
    for _ in range(RUMOURS_LIMIT + 200):
        suspect, accuser = rng.sample(range(1, 301), 2)
        lie = accusation(suspect, accuser)
        link = peer_id(accuser)
        one.gossip.receive(link, link, Verified(lie, seal(HashKeyring(link), lie)), one.now)
    one.gossip.check()


def test_accusers_of_one_suspect_are_kept_to_a_bound() -> None:
    one = One(members=60)
    for accuser in range(2, 61):
        one.hear(accuser, accusation(1, accuser))
    answer = sent(one.plain(3, Digest((), reply_wanted=False)), Signed, to=3)
    kept = [envelope for envelope in answer if envelope.domain == "gossip.accusation"]
    assert len(kept) <= OBSERVER_ACCUSATIONS_LIMIT + OTHER_ACCUSATIONS_LIMIT
