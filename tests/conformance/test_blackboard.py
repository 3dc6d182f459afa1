"""What blackboards say to each other and keep, byte for byte: frozen, because peers of two
releases share one, and what was signed years ago is still relayed.

``blackboard.json`` changes only in a commit that says so. New fields at an end are made with
defaults, and come with bytes of their own beside those that are here.
"""

import json
from pathlib import Path

import msgspec
import pytest

from protocols.blackboard.commands import Edit
from protocols.blackboard.frontier import FRONTIER_DOMAIN
from protocols.blackboard.making import make_ops
from protocols.blackboard.messages import (
    KINDS,
    AskHashes,
    AskOwn,
    AskSketch,
    AskWriters,
    BoardDigest,
    Delta,
    Described,
    Dot,
    ForkShown,
    Frontier,
    FrontierShown,
    Hashes,
    Omitted,
    Own,
    Push,
    Sketch,
    Stored,
    Want,
    WantHashes,
    WritersShown,
)
from protocols.blackboard.ops import decode_op
from protocols.blackboard.replica import Replica
from protocols.blackboard.segments import (
    NO_HEADER,
    Segment,
    SegmentPart,
    header_hash,
    is_signed,
    op_hash,
    read_part,
    write_segment,
)
from protocols.blackboard.vectors import Reach
from protocols.identity import Ed25519Keyring
from protocols.wire import Codec, encode, tag_of

FROZEN = Path(__file__).with_name("blackboard.json")
MESH = Ed25519Keyring(b"r" * 32, bytes(32)).peer
WRITER = Ed25519Keyring(b"w" * 32, MESH)
READER = Ed25519Keyring(b"p" * 32, MESH)
GENERATION = 1_700_000_000_000 << 8
WALL_MS = 1_700_000_000_000

EDITS = {
    "put": Edit("default/a", "put", encode({"n": 1, "s": "é"})),
    "put for a while": Edit("default/b", "put", encode([1.5, None]), ttl_ms=60_000),
    "put with an embedding": Edit("default/c", "put", encode("near"), embedding=b"\0\0\x80?" * 2),
    "multivalue": Edit("default/d", "put", encode(True), type="multivalue"),
    "increment": Edit("default/e", "increment", encode(-3)),
    "add": Edit("default/f", "add", encode("x")),
    "set": Edit("default/g", "set", encode(2**40), field="field"),
    "append": Edit("default/h", "append", encode("first")),
    "deposit": Edit("default/i", "deposit", encode(1_500_000), half_life_ms=2_000),
    "put again": Edit("default/a", "put", encode("newer")),
    "delete": Edit("default/c", "delete"),
}


def segments() -> tuple[Segment, Segment]:
    """Two of one chain: the second has the hash of the first's header."""
    replica = Replica()
    ops = make_ops(replica, tuple(EDITS.values()), WRITER.peer, GENERATION, 1, WALL_MS)
    one = write_segment(WRITER, GENERATION, 1, NO_HEADER, [each for _, each in ops])
    more = make_ops(
        replica, (EDITS["put"],), WRITER.peer, GENERATION, one.header.last + 1, WALL_MS + 5
    )
    two = write_segment(
        WRITER, GENERATION, one.header.last + 1, header_hash(one.signed), [e for _, e in more]
    )
    return one, two


def pruned() -> SegmentPart:
    """The third op of the first segment, and hashes for the others."""
    one, _ = segments()
    return one.part({3: None})


def messages() -> list[msgspec.Struct]:
    one, two = segments()
    chain = Reach(WRITER.peer, GENERATION, 12)
    frontier = encode(Frontier(READER.peer, 4, (chain,), (), b"l" * 16))
    described = Described(
        WRITER.peer, GENERATION, 1, 11,
        (Omitted(1, 1, Dot(WRITER.peer, GENERATION, 10)), Omitted(4, 5)),
    )  # fmt: skip
    return [
        WritersShown((b"credential",)),
        AskWriters((WRITER.peer,)),
        Push((one.part(), two.part()), is_ack_wanted=True),
        Stored(GENERATION, 12),
        AskOwn(GENERATION),
        Own(GENERATION, 12),
        BoardDigest((chain,), (Reach(WRITER.peer, GENERATION, 3),), b"l" * 16, True),
        Want(7, (chain,)),
        Delta(7, (pruned(),), (described,), True),
        ForkShown(one.signed, two.signed),
        FrontierShown(frontier, READER.sign(FRONTIER_DOMAIN, frontier)),
        AskSketch(8, b"s" * 16, 0, 32),
        Sketch(8, 0, bytes(range(48))),
        AskHashes(9, b"s" * 16, b"h" * 8),
        Hashes(9, b"h" * 16, False),
        WantHashes(10, b"s" * 16, b"h" * 16),
    ]


def made() -> dict[str, dict[str, str]]:
    one, two = segments()
    return {
        "messages": {tag_of(type(each)): encode(each).hex() for each in messages()},
        "segments": {
            "whole": encode(one.part()).hex(),
            "next": encode(two.part()).hex(),
            "pruned": encode(pruned()).hex(),
        },
        "hashes": {
            "op": op_hash(one.ops[0]).hex(),
            "header": header_hash(one.signed).hex(),
            "root": one.header.root.hex(),
        },
    }


@pytest.fixture(scope="module")
def frozen() -> dict[str, dict[str, str]]:
    read: dict[str, dict[str, str]] = json.loads(FROZEN.read_text(encoding="utf-8"))
    return read


def test_what_is_made_today_are_the_frozen_bytes(frozen: dict[str, dict[str, str]]) -> None:
    assert made() == frozen


def test_every_kind_of_message_is_frozen(frozen: dict[str, dict[str, str]]) -> None:
    assert list(frozen["messages"]) == [tag_of(kind) for kind in KINDS]


def test_frozen_messages_are_read_as_what_they_were(frozen: dict[str, dict[str, str]]) -> None:
    codec = Codec(KINDS)
    for message in messages():
        data = bytes.fromhex(frozen["messages"][tag_of(type(message))])
        assert encode(codec.decode(data)) == data
        assert type(codec.decode(data)) is type(message)


def test_frozen_segments_are_proven_whole_and_pruned(frozen: dict[str, dict[str, str]]) -> None:
    decoder = msgspec.msgpack.Decoder(SegmentPart)
    found = {
        name: read_part(decoder.decode(bytes.fromhex(data)))
        for name, data in frozen["segments"].items()
    }
    for segment in found.values():
        assert is_signed(READER, segment.header, segment.signed)
    assert [decode_op(op).action for op in found["whole"].ops.values()][-1] == "delete"
    assert decode_op(found["pruned"].ops[2]).key == "default/c"
    assert found["next"].header.previous == header_hash(found["whole"].signed)
