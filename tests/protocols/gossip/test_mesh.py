import pytest

from protocols.gossip.commands import Leave
from protocols.gossip.events import MemberDown, MemberUp
from protocols.gossip.parameters import GossipParameters
from tests.protocols.gossip.support import Mesh, Peer, mesh_of


def states_of(mesh: Mesh, subject: Peer) -> list[str]:
    """What every other running peer holds of one."""
    return [
        member.state
        for peer in mesh.running()
        for member in mesh.machine(peer).members()
        if member.peer == subject.id
    ]


def test_five_peers_meet_within_a_second() -> None:
    mesh = Mesh()
    peers = [mesh.add(number) for number in range(5)]
    for peer in peers:
        mesh.start(peer, contacts=(peers[0],))
    assert mesh.run_until(mesh.converged, seconds=1) <= 1


def test_peers_meet_when_their_contact_comes_last() -> None:
    mesh = Mesh()
    contact, *others = [mesh.add(number) for number in range(5)]
    for peer in others:
        mesh.start(peer, contacts=(contact,))
    mesh.run(20)
    mesh.start(contact)
    mesh.run_until(mesh.converged, seconds=10)


@pytest.mark.parametrize("count", [5, 20])
def test_a_killed_peer_is_known_dead_to_all_in_seconds(count: int) -> None:
    mesh = mesh_of(count)
    mesh.run(3)
    dead, since = mesh.running()[2], mesh.now_ns
    mesh.kill(dead)
    mesh.run_until(lambda: set(states_of(mesh, dead)) == {"dead"}, seconds=5)
    assert len(mesh.known_dead_at(dead, since)) == count - 1
    mesh.check()


def test_a_refused_redial_makes_a_death_known_in_little_more_than_a_second() -> None:
    mesh = mesh_of(5)
    dead = mesh.running()[2]
    mesh.kill(dead)
    mesh.refuse_redials(dead)
    mesh.run_until(lambda: set(states_of(mesh, dead)) == {"dead"}, seconds=1.3)


def test_half_of_a_mesh_may_die_at_once() -> None:
    mesh = mesh_of(10)
    dead = mesh.running()[::2]
    for peer in dead:
        mesh.kill(peer)
    mesh.run_until(mesh.converged, seconds=30)


def test_a_stopped_peer_comes_back_without_blaming_others() -> None:
    mesh = mesh_of(6)
    stopped = mesh.running()[3]
    mesh.pause(stopped)
    mesh.run(10)
    mesh.resume(stopped)
    mesh.run_until(mesh.converged, seconds=5)
    assert [e for _, e in stopped.events if isinstance(e, MemberDown)] == []
    assert [peer.blames for peer in mesh.running()] == [[]] * 6


def test_a_peer_restarted_at_a_new_door_is_the_same_member() -> None:
    mesh = mesh_of(5)
    moved = mesh.running()[2]
    mesh.kill(moved)
    mesh.run(0.2)
    mesh.start(moved, door="tcp://elsewhere:9")
    mesh.run_until(mesh.converged, seconds=5)
    for peer in mesh.running():
        if peer is not moved:
            known = mesh.machine(peer).contact(moved.id)
            assert known is not None
            assert known.door == "tcp://elsewhere:9"
            last = [e for _, e in peer.events if isinstance(e, MemberUp) and e.peer == moved.id]
            assert (last[-1].boot, last[-1].incarnation) == (2, 65)


def test_a_peer_on_an_older_copy_of_its_disk_at_a_new_door_is_told_what_it_was() -> None:
    mesh = mesh_of(2)
    first, second = mesh.peers.values()
    copy = list(first.disk)
    for door in ("sim://1/second", "sim://1/third"):
        mesh.kill(first)
        mesh.start(first, (second,), door=door)
        assert mesh.run_until(mesh.converged, 20) < 20
    mesh.kill(first)
    mesh.run(10)
    first.disk = copy
    mesh.start(first, (second,), door="sim://1/fourth")
    assert mesh.run_until(mesh.converged, 20) < 20, "its incarnation is above what the other knew"


def test_a_whole_mesh_restarted_meets_again_without_contacts() -> None:
    mesh = mesh_of(5)
    peers = mesh.running()
    for peer in peers:
        mesh.kill(peer)
    mesh.run(5)
    for peer in peers:
        mesh.start(peer)
    mesh.run_until(mesh.converged, seconds=5)


def test_a_leaving_peer_is_never_accused() -> None:
    mesh = mesh_of(6)
    gone = mesh.running()[1]
    mesh.submit(gone, Leave())
    mesh.run(1)
    mesh.kill(gone)
    mesh.run(10)
    assert states_of(mesh, gone) == ["left"] * 5
    for peer in mesh.running():
        reasons = [e.reason for _, e in peer.events if isinstance(e, MemberDown)]
        assert reasons == ["left"]


@pytest.mark.parametrize(("side", "seconds"), [(1, 60), (3, 40), (3, 600)])
def test_a_healed_partition_rejoins_within_ten_seconds(side: int, seconds: int) -> None:
    mesh = mesh_of(7)
    left = {peer.id for peer in mesh.running()[:side]}
    mesh.cut = lambda source, target: (source.id in left) != (target.id in left)
    mesh.run(seconds)
    for peer in mesh.running():
        assert len(mesh.machine(peer).alive()) == (side if peer.id in left else 7 - side) - 1
    mesh.cut = lambda source, target: False
    mesh.run_until(mesh.converged, seconds=10)
    mesh.check()


def test_a_peer_that_hears_but_is_not_heard_is_given_up_and_taken_back() -> None:
    mesh = mesh_of(6)
    mute = mesh.running()[0]
    mesh.cut = lambda source, target: source is mute
    mesh.run_until(lambda: set(states_of(mesh, mute)) <= {"dead", "alive"}, seconds=30)
    mesh.run(20)
    mesh.cut = lambda source, target: False
    mesh.run_until(mesh.converged, seconds=10)


def test_a_lossy_network_makes_no_deaths() -> None:
    mesh = mesh_of(10, loss=0.2)
    mesh.run(60)
    deaths = [e for p in mesh.running() for _, e in p.events if isinstance(e, MemberDown)]
    assert deaths == []


def test_an_idle_peer_is_quiet() -> None:
    mesh = mesh_of(20, credential=bytes(600))
    mesh.run(20)
    for peer in mesh.running():
        peer.bytes = peer.steps = 0
    mesh.run(60)
    for peer in mesh.running():
        assert peer.bytes / 60 <= 2_000
        assert peer.steps / 60 <= 4


def test_the_same_seed_gives_the_same_run() -> None:
    def told(seed: int) -> list[object]:
        mesh = mesh_of(7, seed=seed, loss=0.05)
        mesh.kill(mesh.running()[3])
        mesh.run(10)
        return [(peer.number, at, event) for peer in mesh.running() for at, event in peer.events]

    assert told(3) == told(3)
    assert told(3) != told(4)


def test_plain_swim_finds_a_death_too_but_slowly() -> None:
    mesh = mesh_of(6, parameters=GossipParameters.plain_swim())
    mesh.run(3)
    dead = mesh.running()[2]
    mesh.kill(dead)
    took = mesh.run_until(lambda: set(states_of(mesh, dead)) == {"dead"}, seconds=30)
    assert took > 5
