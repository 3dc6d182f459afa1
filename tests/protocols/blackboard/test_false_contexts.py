"""Ops that name what their writers cannot have seen: numbers that nobody has used yet."""

from typing import Any

import msgspec
import pytest

from protocols.blackboard.keys import REGISTER
from protocols.blackboard.messages import Push
from protocols.blackboard.ops import DELETE, PUT, Op
from protocols.blackboard.segments import NO_HEADER, write_segment
from protocols.machine import MILLISECOND_NS
from protocols.wire import encode
from tests.protocols.blackboard.boards import WALL_S, Boards, Peer

KEY = "default/k"
FAR = 10**9
STAMPS = [0, (WALL_S + 1) * 1000 << 16, 2**61]


def poison(boards: Boards, liar: Peer, victims: list[Peer], **cell: object) -> None:
    """One op of a liar that names all that the victims will ever write; everybody takes it."""
    names = {peer.peer: peer.board.digest().vector for peer in victims}
    context = [
        (writer, reach.generation, FAR)
        for writer, vector in names.items()
        for reach in vector
        if reach.writer == writer
    ]
    said: dict[str, Any] = {"type": REGISTER, "field": b"", "action": PUT, "value": encode("no")}
    said |= {"stamp": 0, **cell}
    op = Op(liar.peer, 9, 1, KEY, context=tuple(sorted(context)), **said)
    segment = write_segment(liar.keyring, 9, 1, NO_HEADER, [encode(op)])
    for peer in boards.peers:
        shown = Push((segment.part(),))
        boards.carry(peer, peer.board.receive(liar.peer, liar.peer, shown, boards.now))
    boards.wait(30)


def value(boards: Boards, peer: Peer) -> object:
    entry = peer.board.read(KEY, boards.now.wall_ns // MILLISECOND_NS)
    return None if entry is None else msgspec.msgpack.decode(entry.value)


def values(boards: Boards) -> list[object]:
    return [value(boards, peer) for peer in boards.peers]


@pytest.mark.parametrize("stamp", STAMPS)
@pytest.mark.parametrize("action", [PUT, DELETE, "clear"])
def test_what_names_the_future_of_others_does_not_keep_them_from_writing(
    action: str, stamp: int
) -> None:
    boards = Boards(3)
    a, b, liar = boards.peers
    boards.put(a, "other", 1)
    boards.put(b, "other", 2)
    poison(boards, liar, [a, b], action=action, stamp=stamp)
    for number, writer in enumerate([a, b, a, a, b]):
        boards.put(writer, "k", number)
        assert values(boards) == [number] * 3
    boards.wait(5)
    assert boards.are_equal
