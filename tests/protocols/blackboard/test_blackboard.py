"""Blackboards that talk: pushed, stored, synced, restarted, forked, collected, reset."""

from collections.abc import Iterable

import msgspec
import pytest

from protocols.blackboard import healing, holding
from protocols.blackboard.commands import BoardPeerDown, Edit
from protocols.blackboard.events import BoardWritten, GenerationBegun, PeerReset, WriterForked
from protocols.blackboard.making import CELLS_LIMIT
from protocols.blackboard.messages import (
    BoardDigest,
    Delta,
    Described,
    Dot,
    ForkShown,
    FrontierShown,
    Hashes,
    Omitted,
    Push,
    Stored,
    Want,
)
from protocols.blackboard.ops import decode_op
from protocols.blackboard.parameters import DELTA_BYTES
from protocols.blackboard.records import FrontierHeard
from protocols.blackboard.segments import (
    NO_HEADER,
    decode_header,
    header_hash,
    write_segment,
)
from protocols.effects import Effect, Persist, Send
from protocols.errors import Refused
from protocols.wire import encode
from tests.protocols.blackboard.boards import Boards, Peer


def written(peer: Peer) -> list[BoardWritten]:
    return [event for event in peer.told if isinstance(event, BoardWritten)]


def told(peer: Peer, kind: type[msgspec.Struct]) -> list[msgspec.Struct]:
    return [event for event in peer.told if isinstance(event, kind)]


def test_a_write_is_told_once_another_peer_stored_it() -> None:
    boards = Boards(3)
    boards.loses = lambda sender, receiver, message: isinstance(message, Stored)
    one, two, _ = boards.peers
    request = boards.put(one, "a", 1)
    assert boards.value(two, "a") == 1
    assert written(one) == []
    boards.loses = lambda sender, receiver, message: False
    boards.carry(two, two.board.receive(one.peer, one.peer, pushed(boards), boards.now))
    (told_of,) = written(one)
    assert (told_of.request, told_of.replicated) == (request, True)


def pushed(boards: Boards) -> Push:
    return next(each for each in boards.sent if isinstance(each, Push))


def test_a_write_without_anybody_alive_is_told_when_it_is_journaled() -> None:
    boards = Boards(1)
    boards.put(boards.peers[0], "a", 1)
    (told_of,) = written(boards.peers[0])
    assert not told_of.replicated


def test_a_write_waits_for_nobody_who_died() -> None:
    boards = Boards(2)
    boards.loses = lambda *_: True
    one, two = boards.peers
    boards.put(one, "a", 1)
    assert written(one) == []
    boards.carry(one, one.board.submit(BoardPeerDown(two.peer), boards.now))
    assert not written(one)[0].replicated


def test_what_was_lost_on_the_way_comes_by_the_vector() -> None:
    boards = Boards(3)
    boards.loses = lambda sender, receiver, message: isinstance(message, Push)
    for number in range(5):
        boards.put(boards.peers[0], f"k{number % 2}", number)
    assert boards.peers[2].live() == {}
    boards.loses = lambda *_: False
    boards.wait(10)
    assert boards.are_equal
    assert boards.value(boards.peers[2], "k0") == 4
    assert written(boards.peers[0])[0].replicated


def test_a_delete_removes_nothing_that_was_not_seen_although_what_came_after_it_was() -> None:
    boards = Boards(3)
    writer, remover, _ = boards.peers
    boards.write(writer, Edit("default/log", "append", encode("first")))
    boards.loses = lambda source, target, message: target is remover
    boards.write(writer, Edit("default/log", "append", encode("lost on the way")))
    boards.loses = lambda source, target, message: False
    boards.write(writer, Edit("default/log", "append", encode("last")))
    assert boards.value(remover, "log") == ["first", "last"]
    boards.write(remover, Edit("default/log", "delete"))
    assert boards.value(remover, "log") is None
    boards.wait(10)
    assert boards.are_equal
    assert [boards.value(peer, "log") for peer in boards.peers] == [["lost on the way"]] * 3


def test_superseded_ops_are_left_out_of_an_answer() -> None:
    boards = Boards(2)
    boards.loses = lambda sender, receiver, message: isinstance(message, Push)
    for number in range(200):
        boards.put(boards.peers[0], "k", number)
    boards.loses = lambda *_: False
    boards.wait(10)
    assert boards.value(boards.peers[1], "k") == 199
    ops = [len(each.parts) for each in boards.sent if isinstance(each, Delta)]
    assert sum(ops) < 5


def test_who_joins_after_a_writer_left_verifies_what_it_wrote() -> None:
    boards = Boards(3)
    one, two, three = boards.peers
    boards.part(three)
    boards.put(one, "a", 1)
    boards.part(one)
    boards.meet(two, three)
    boards.wait(10)
    assert boards.value(three, "a") == 1


def test_a_restart_holds_what_was_there() -> None:
    boards = Boards(2)
    one, two = boards.peers
    for number in range(20):
        boards.put(one if number % 3 else two, f"k{number % 7}", number)
    boards.write(one, Edit("default/k1", "delete"))
    boards.write(two, Edit("default/s", "add", encode(3)), Edit("default/n", "increment", b"\x05"))
    before, cursor = two.live(), two.board.prefixes()
    two.restart(boards.now)
    two.board.check()
    assert two.live() == before
    assert two.board.prefixes() == cursor
    two.restart(boards.now, [encode(record) for record in two.board.snapshot()])
    two.board.check()
    assert two.live() == before
    assert two.board.prefixes() == cursor


def test_a_peer_on_an_old_copy_of_its_disk_begins_a_new_generation_and_is_not_blamed() -> None:
    boards = Boards(3)
    one, two, three = boards.peers
    boards.put(one, "a", 1)
    copy = list(one.disk)
    boards.put(one, "a", 2)
    boards.part(one)
    one.restart(boards.now, copy)
    with pytest.raises(Refused, match="Starting"):
        boards.put(one, "b", 0)
    boards.meet(one, two, three)
    boards.wait(3)
    assert told(one, GenerationBegun)
    boards.put(one, "b", 3)
    boards.wait(5)
    assert boards.are_equal
    assert boards.value(one, "a") == 2
    assert not any(peer.blamed for peer in boards.peers)


def test_a_restarted_peer_that_cannot_ask_everybody_begins_a_new_generation() -> None:
    boards = Boards(3)
    one, two, three = boards.peers
    boards.put(one, "a", 1)
    copy = list(one.disk)
    boards.part(two)
    boards.put(one, "a", 2)
    boards.part(one)
    boards.part(three)
    one.restart(boards.now, copy)
    boards.meet(one, two)
    boards.wait(3)
    assert told(one, GenerationBegun), "the one that is away may know more, and does"
    boards.put(one, "b", 3)
    boards.meet(one, two, three)
    boards.wait(10)
    assert boards.are_equal
    assert boards.value(one, "b") == 3
    assert not any(peer.blamed for peer in boards.peers)


def test_a_restarted_peer_of_whom_nobody_knows_more_goes_on() -> None:
    boards = Boards(2)
    one, two = boards.peers
    boards.put(one, "a", 1)
    boards.part(one)
    one.restart(boards.now)
    boards.meet(one, two)
    boards.put(one, "a", 2)
    assert told(one, GenerationBegun) == []
    assert boards.value(two, "a") == 2


def forked(boards: Boards) -> tuple[Push, Push]:
    """A push of the first peer, and another one under the same numbers."""
    boards.loses = lambda sender, receiver, message: isinstance(message, Push)
    one = boards.peers[0]
    pushes: list[Push] = []
    boards.loses = lambda sender, receiver, message: keep(pushes, message)
    boards.put(one, "a", 1)
    boards.loses = lambda *_: False
    part = pushes[0].parts[0]
    header = decode_header(part.header.body)
    op = msgspec.structs.replace(decode_op(part.ops[0]), value=encode("other"))
    made = write_segment(
        one.keyring, header.generation, header.first, header.previous, [encode(op)]
    )
    return pushes[0], Push((made.part(),))


def keep(pushes: list[Push], message: msgspec.Struct) -> bool:
    if isinstance(message, Push):
        pushes.append(message)
        return True
    return False


def test_both_branches_of_a_fork_end_up_everywhere_and_the_writer_adds_nothing() -> None:
    boards = Boards(5)
    one, *others = boards.peers
    first, second = forked(boards)
    for index, peer in enumerate(others):
        push = first if index % 2 else second
        boards.carry(peer, peer.board.receive(one.peer, one.peer, push, boards.now))
    boards.wait(20)
    for peer in others:
        assert len(peer.live()) == 2
        assert peer.live() == others[0].live()
        assert told(peer, WriterForked)
        assert (one.peer, "forked: two segments under one number") in peer.blamed
    boards.put(one, "b", 1)
    boards.wait(5)
    assert all(boards.value(peer, "b") is None for peer in others)


def test_evidence_that_proves_nothing_is_blamed_on_whoever_shows_it() -> None:
    boards = Boards(2)
    one, two = boards.peers
    boards.put(one, "a", 1)
    part = pushed(boards).parts[0]
    shown = ForkShown(part.header, part.header)
    two.absorb(two.board.receive(one.peer, one.peer, shown, boards.now))
    assert two.blamed[0][0] == one.peer
    assert told(two, WriterForked) == []


@pytest.mark.parametrize("what", ["value", "signature", "place"])
def test_an_op_that_nobody_signed_is_not_taken(what: str) -> None:
    boards = Boards(3)
    one, two, three = boards.peers
    boards.loses = lambda sender, receiver, message: receiver is three
    boards.put(one, "a", 1)
    part = next(each for each in boards.sent if isinstance(each, Push)).parts[0]
    if what == "value":
        op = msgspec.structs.replace(decode_op(part.ops[0]), value=encode("bent"))
        part = msgspec.structs.replace(part, ops=(msgspec.Raw(encode(op)),))
    elif what == "signature":
        header = msgspec.structs.replace(part.header, signature=bytes(64))
        part = msgspec.structs.replace(part, header=header)
    else:
        part = msgspec.structs.replace(part, at=(1,))
    three.absorb(three.board.receive(two.peer, two.peer, Push((part,)), boards.now))
    assert three.live() == {}
    assert three.blamed[0][0] == two.peer


def test_a_false_superseder_hides_nothing_for_long() -> None:
    boards = Boards(5)
    one, two, *_, five = boards.peers
    boards.loses = lambda sender, receiver, message: receiver is five
    boards.put(one, "a", 1)
    boards.put(one, "b", 1)
    boards.put(two, "b", 2)
    boards.loses = lambda *_: False
    generation = next(iter(one.board.prefixes()))[1]
    other = next(chain for chain in one.board.prefixes() if chain[0] == two.peer)
    # It has b's second value, which supersedes the first; a is said to be superseded too.
    boards.loses = lambda sender, receiver, message: isinstance(message, BoardDigest)
    session = open_session(boards, five, two)
    lie = Described(one.peer, generation, 1, 2, (Omitted(1, 2, Dot(two.peer, other[1], 1)),))
    part = [each for each in boards.sent if isinstance(each, Push)][-1].parts[0]
    delta = Delta(session, (part,), (lie, Described(*other, 1, 1, ())), False)
    boards.carry(five, five.board.receive(two.peer, two.peer, delta, boards.now))
    assert boards.value(five, "a") is None
    assert five.board.knows(one.peer, generation, 1)
    boards.loses = lambda *_: False
    boards.wait(60)
    assert boards.value(five, "a") == 1
    assert boards.are_equal


def open_session(boards: Boards, asker: Peer, asked: Peer) -> int:
    """The number of the session in which a peer asks another."""
    vector = asked.board.digest().vector
    effects = asker.board.receive(
        asked.peer, asked.peer, BoardDigest(vector, (), b"", False), boards.now
    )
    wants = [message for to, message in asker.absorb(effects) if to == asked.peer]
    return next(each.session for each in wants if isinstance(each, Want))


def test_a_tombstone_goes_when_everybody_has_it_and_nothing_comes_back() -> None:
    boards = Boards(3)
    one, two, _ = boards.peers
    boards.put(one, "a", 1)
    old = pushed(boards)
    boards.write(two, Edit("default/a", "delete"))
    assert all(len(list(peer.board.replica.live())) == 1 for peer in boards.peers)
    boards.wait(15)
    assert all(list(peer.board.replica.live()) == [] for peer in boards.peers)
    for peer in boards.peers[1:]:
        boards.carry(peer, peer.board.receive(one.peer, one.peer, old, boards.now))
        assert boards.value(peer, "a") is None


def test_a_tombstone_stays_while_a_member_may_lack_it() -> None:
    boards = Boards(3)
    boards.put(boards.peers[0], "a", 1)
    boards.wait(5)
    boards.part(boards.peers[2])
    boards.write(boards.peers[0], Edit("default/a", "delete"))
    boards.wait(10)
    assert len(list(boards.peers[0].board.replica.live())) == 1


def test_a_peer_that_was_away_beyond_the_horizon_is_reset_and_keeps_what_only_it_has() -> None:
    boards = Boards(4)
    one, two, _three, four = boards.peers
    boards.put(one, "a", 1)
    boards.put(one, "b", 1)
    boards.wait(5)
    boards.part(four)
    boards.put(four, "c", "only here")
    boards.write(two, Edit("default/a", "delete"))
    boards.wait(40)
    assert list(one.board.replica.live()) != []
    boards.meet(*boards.peers)
    boards.wait(40)
    (reset,) = told(four, PeerReset)
    assert isinstance(reset, PeerReset)
    assert len(reset.agreed_by) >= 2
    assert reset.reapplied == 1
    for peer in boards.peers:
        assert boards.value(peer, "a") is None
        assert boards.value(peer, "c") == "only here"
    assert boards.are_equal


def test_a_floor_that_one_liar_states_resets_nobody() -> None:
    boards = Boards(4)
    one, two, *_ = boards.peers
    boards.put(one, "a", 1)
    vector = tuple(
        msgspec.structs.replace(each, prefix=1 << 40) for each in one.board.digest().vector
    )
    lie = BoardDigest(vector, vector, bytes(16), True)
    boards.carry(two, two.board.receive(one.peer, one.peer, lie, boards.now))
    boards.wait(5)
    assert told(two, PeerReset) == []
    assert boards.value(two, "a") == 1


def test_what_others_collect_by_is_on_the_disk_for_good_before_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    synced: dict[bytes, bool] = {}
    absorb = Peer.absorb

    def look(peer: Peer, effects: Iterable[Effect]) -> list[tuple[bytes, msgspec.Struct]]:
        step = list(effects)
        for effect in step:
            if isinstance(effect, Persist) and isinstance(effect.record, FrontierHeard):
                synced.setdefault(effect.record.body, effect.sync)
            if isinstance(effect, Send) and isinstance(effect.message, FrontierShown):
                assert synced[effect.message.body]
        return absorb(peer, step)

    monkeypatch.setattr(Peer, "absorb", look)
    boards = Boards(2)
    boards.put(boards.peers[0], "a", 1)
    boards.wait(5)
    assert len(synced) >= 2


def test_a_statement_that_its_author_did_not_sign_is_blamed() -> None:
    boards = Boards(2)
    one, two = boards.peers
    boards.put(one, "a", 1)
    boards.wait(5)
    shown = next(each for each in boards.sent if isinstance(each, FrontierShown))
    bent = msgspec.structs.replace(shown, signature=bytes(64), body=shown.body)
    fresh = Boards(2)
    one, two = fresh.peers
    two.absorb(two.board.receive(one.peer, one.peer, bent, fresh.now))
    assert two.blamed == [(one.peer, "a frontier with a wrong signature")]


def test_what_coded_symbols_cannot_tell_all_hashes_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healing, "FIRST_SYMBOLS", 1)
    monkeypatch.setattr(healing, "SYMBOLS_LIMIT", 1)
    boards = Boards(5)
    one, *others = boards.peers
    first, second = forked(boards)
    for index, peer in enumerate(others):
        push = first if index % 2 else second
        boards.carry(peer, peer.board.receive(one.peer, one.peer, push, boards.now))
    boards.wait(30)
    assert any(isinstance(each, Hashes) for each in boards.sent)
    assert all(len(peer.live()) == 2 for peer in others)


def test_what_is_kept_follows_what_is_live_however_often_it_was_overwritten() -> None:
    boards = Boards(2)
    one, two = boards.peers
    sizes = []
    for round_ in range(20):
        for start in range(0, 50, 25):
            edits = (
                Edit(f"default/k{number}", "put", encode(round_ * number))
                for number in range(start, start + 25)
            )
            boards.write(one if round_ % 2 else two, *edits)
        sizes.append(sum(len(encode(record)) for record in two.board.snapshot()))
    assert sum(len(segment.ops) for segment in two.board.segments()) == 50
    assert max(sizes[5:]) < 1.5 * min(sizes[5:])


def test_a_newcomer_takes_a_large_board_in_pieces() -> None:
    boards = Boards(3)
    one, two, three = boards.peers
    boards.part(three)
    for start in range(0, 1_500, 500):
        edits = (
            Edit(f"default/k{number}", "put", encode("x" * 50))
            for number in range(start, start + 500)
        )
        boards.write(one, *edits)
    boards.meet(two, three)
    boards.wait(5)
    assert len(three.live()) == 1_500
    pieces = [each for each in boards.sent if isinstance(each, Delta)]
    assert len(pieces) > 1
    assert max(len(encode(each)) for each in pieces) < 2 * DELTA_BYTES


def test_ops_that_wait_for_what_never_was_are_held_to_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(holding, "HELD_BY_WRITER_LIMIT", 10)
    boards = Boards(2)
    one, two = boards.peers
    boards.loses = lambda *_: True
    boards.put(one, "a", 1)
    template = decode_op(next(iter(one.board.replica.live()))[1])
    previous, taken = NO_HEADER, 0
    for number in range(1, 30):
        op = msgspec.structs.replace(
            template, generation=7, sequence=number, context=((two.peer, 9, number),)
        )
        made = write_segment(one.keyring, 7, number, previous, [encode(op)])
        previous = header_hash(made.signed)
        kept = len(two.disk)
        two.absorb(two.board.receive(one.peer, one.peer, Push((made.part(),), True), boards.now))
        taken += len(two.disk) > kept
    assert taken == 10
    two.board.check()


def test_a_key_of_all_the_parts_that_it_may_have_is_deleted_everywhere() -> None:
    boards = Boards(2)
    a, b = boards.peers
    for start in range(0, CELLS_LIMIT, 2500):
        boards.write(
            a, *[Edit("default/k", "add", encode(each)) for each in range(start, start + 2500)]
        )
    held = boards.value(b, "k")
    assert isinstance(held, list)
    assert len(held) == CELLS_LIMIT
    boards.write(b, Edit("default/k", "delete"))
    assert boards.value(a, "k") is None
    assert boards.are_equal
