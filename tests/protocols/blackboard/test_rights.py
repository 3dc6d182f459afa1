"""What the roles of a writer's credential let its ops do, at every replica alike."""

from collections.abc import Iterable

import msgspec
import pytest

from protocols.blackboard.commands import CredentialSeen, Edit
from protocols.blackboard.events import EntriesChanged
from protocols.blackboard.making import make_ops
from protocols.blackboard.messages import Push
from protocols.blackboard.segments import NO_HEADER, header_hash, write_segment
from protocols.blackboard.writers import ROLES_LIMIT, Writers
from protocols.errors import Refused
from protocols.machine import MILLISECOND_NS
from protocols.trust import Trust
from protocols.wire import encode
from tests.protocols.blackboard.boards import MESH, Boards, Peer, chain_of

POLICY = "mesh/policies/default"


class Liar:
    """Signs what it likes, whatever policies say; its blackboard is an honest peer's."""

    def __init__(self, boards: Boards, peer: Peer) -> None:
        self._boards = boards
        self.peer = peer
        self._first, self._previous = 1, NO_HEADER

    def write(self, *edits: Edit, to: Iterable[Peer] = ()) -> None:
        wall_ms = self._boards.now.wall_ns // MILLISECOND_NS
        me = self.peer.peer
        made = make_ops(self.peer.board.replica, edits, me, 9, self._first, wall_ms)
        segment = write_segment(
            self.peer.keyring, 9, self._first, self._previous, [encoded for _, encoded in made]
        )
        self._first, self._previous = self._first + len(made), header_hash(segment.signed)
        for peer in to or self._boards.peers:
            shown = Push((segment.part(),))
            self._boards.carry(peer, peer.board.receive(me, me, shown, self._boards.now))


def boards_with(*roles: tuple[str, ...]) -> Boards:
    """Peers with these roles beside that of a peer."""
    boards = Boards(len(roles))
    for peer, its in zip(boards.peers, roles, strict=True):
        peer.roles = its
        peer.restart(boards.now, [])
    boards.meet(*boards.peers)
    return boards


def policy(**said: object) -> Edit:
    return Edit(POLICY, "put", encode(said))


def readings(boards: Boards, key: str) -> list[object]:
    wall_ms = boards.now.wall_ns // MILLISECOND_NS
    found = [peer.board.read(key, wall_ms) for peer in boards.peers]
    return [None if each is None else msgspec.msgpack.decode(each.value) for each in found]


def test_who_has_not_the_role_sets_no_policy() -> None:
    boards = boards_with(("policies",), ())
    with pytest.raises(Refused, match="the role policies alone"):
        boards.write(boards.peers[1], policy(history=3))
    boards.write(boards.peers[0], policy(history=3))
    assert readings(boards, POLICY) == [{"history": 3}] * 2


@pytest.mark.parametrize("action", ["put", "delete"])
def test_a_liar_neither_sets_nor_removes_a_policy(action: str) -> None:
    boards = boards_with(("policies",), (), ())
    boards.write(boards.peers[0], policy(roles=["curator"]))
    liar = Liar(boards, boards.peers[2])
    liar.write(Edit(POLICY, action, encode({"roles": []})), to=boards.peers[:2])
    liar.write(Edit(POLICY, action, encode({"roles": ["peer"]})))
    boards.wait(5)
    assert readings(boards, POLICY) == [{"roles": ["curator"]}] * 3
    assert boards.are_equal
    boards.write(boards.peers[0], policy(history=2))
    assert readings(boards, POLICY) == [{"history": 2}] * 3


def test_what_counts_for_nothing_does_not_pile_up() -> None:
    boards = boards_with(("policies",), ())
    liar = Liar(boards, boards.peers[1])
    for history in range(20):
        liar.write(policy(history=history))
    assert len(list(boards.peers[0].board.replica.live())) == 1


def test_what_a_liar_writes_against_a_policy_shows_nowhere() -> None:
    boards = boards_with(("policies", "curator"), (), ())
    liar = Liar(boards, boards.peers[2])
    liar.write(Edit("default/early", "put", encode("lie")))
    boards.write(boards.peers[0], policy(roles=["curator"]))
    liar.write(Edit("default/late", "put", encode("lie")), Edit("default/n", "add", encode(1)))
    boards.wait(5)
    assert readings(boards, "default/early") == readings(boards, "default/late") == [None] * 3
    assert boards.are_equal
    boards.write(boards.peers[0], Edit("default/n", "put", encode("ours")))
    assert readings(boards, "default/n") == ["ours"] * 3


def test_a_role_that_comes_later_gives_force_to_what_was_written() -> None:
    boards = boards_with(("policies",), (), ())
    boards.write(boards.peers[0], policy(history=3))
    late = Liar(boards, boards.peers[1])
    boards.part(boards.peers[2])
    late.write(policy(history=4), to=boards.peers[:2])
    newer = CredentialSeen(chain_of(late.peer.peer, "policies"))
    boards.carry(late.peer, late.peer.board.submit(newer, boards.now))
    assert readings(boards, POLICY)[:2] == [{"history": 4}] * 2
    assert readings(boards, POLICY)[2] == {"history": 3}
    boards.meet(*boards.peers)
    boards.wait(5)
    assert readings(boards, POLICY) == [{"history": 4}] * 3
    assert boards.are_equal


def test_a_peer_that_missed_a_role_hears_of_it_from_others() -> None:
    boards = boards_with(("policies",), (), ())
    a, b, c = boards.peers
    late = Liar(boards, b)
    late.write(policy(history=4))
    boards.part(c)
    newer = CredentialSeen(chain_of(b.peer, "policies"))
    boards.carry(b, b.board.submit(newer, boards.now))
    boards.part(b)
    boards.meet(a, c)
    assert readings(boards, POLICY) == [{"history": 4}] * 3


@pytest.mark.parametrize("is_snapshot", [False, True])
def test_roles_and_what_counts_for_nothing_survive_a_restart(is_snapshot: bool) -> None:
    boards = boards_with(("policies",), (), ())
    boards.write(boards.peers[0], policy(history=3))
    liar = Liar(boards, boards.peers[2])
    liar.write(policy(history=9))
    newer = CredentialSeen(chain_of(boards.peers[1].peer, "policies"))
    for peer in boards.peers:
        boards.carry(peer, peer.board.submit(newer, boards.now))
    boards.write(boards.peers[1], policy(history=5))
    before = boards.peers[0].live()
    snapshot = [encode(record) for record in boards.peers[0].board.snapshot()]
    boards.peers[0].restart(boards.now, snapshot if is_snapshot else None)
    boards.peers[0].board.check()
    assert boards.peers[0].live() == before
    assert readings(boards, POLICY) == [{"history": 5}] * 3


def test_who_follows_keys_hears_that_a_policy_hid_them() -> None:
    boards = boards_with(("policies", "curator"), ())
    a, b = boards.peers
    boards.put(b, "k", 1)
    cursor = b.board.cursor()
    boards.write(a, policy(roles=["curator"]))
    changes, cursor, _ = b.board.changes("default/", cursor, 9, 0)
    assert [(each.key, each.entry) for each in changes] == [("default/k", None)]
    assert any("default/k" in each.keys for each in b.told if isinstance(each, EntriesChanged))
    boards.write(a, Edit(POLICY, "delete"))
    changes, _, _ = b.board.changes("default/", cursor, 9, 0)
    assert [each.entry is not None for each in changes] == [True]


def test_a_writer_has_no_more_roles_than_the_limit() -> None:
    boards = Boards(2)
    a, b = boards.peers
    writers = Writers(a.keyring, chain_of(a.peer), Trust(MESH))
    for at in range(ROLES_LIMIT + 3):
        writers.take(chain_of(b.peer, f"role-{at}"), boards.now.wall_ns)
        writers.check()
    assert len(writers.roles_of(b.peer)) == ROLES_LIMIT
    assert writers.take(chain_of(b.peer, "role-0"), boards.now.wall_ns) is None
