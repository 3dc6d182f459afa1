"""Re-executes a real peer's core from its flight recording, and proves that it is the same.

A recording (`mesh/core/recording.py`) holds what the core was told, and what its
keyring and entropy answered. The core that is fed with them here is the production
core, as everywhere in simulation. Three things are compared on the way:

- each block's link of the hash chain over all that was written and sent;
- where a segment ends and the next begins: the state come to, and the state recorded;
- that every recorded signature and secret is asked for, in its place, and no other.
"""

import re
import sys
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from mesh.core.image import NotAnImage, state_digest, thaw
from mesh.core.outward import Outward
from mesh.core.peer import PeerCore
from mesh.core.recorded_core import ENTROPY, KEYRING
from mesh.core.recording import (
    FIRST_LINK,
    KINDS,
    MAGIC,
    Asked,
    Chain,
    Drew,
    Entry,
    Image,
    Opening,
    Received,
    Recorded,
    RecordingDamaged,
    Signed,
    Steps,
    Submitted,
    Took,
    Woken,
    read_blocks,
)
from protocols.errors import MeshError, Refused
from protocols.identity import text_id
from protocols.machine import Now
from simulations.answers import Answers, Diverged, ReplayedEntropy, ReplayedKeyring

SEGMENT_NAME = re.compile(r"([0-9]{6,})-([0-9]{6,})\.rec")
RECURSION_FACTOR = 4


class NotReplayable(MeshError):
    """No recording is there, or it is damaged, incomplete, or another release's; says which."""


class Moment(msgspec.Struct, frozen=True):
    """One thing that the core was told, or what it sent then.

    Attributes:
        number: counts from 1 in a replay.
        at: the peer's clocks.
        told: a command, `Received` or `Woken`; None for what was sent.
        refused: why a command was refused; "" where it was not.
        sent: what left, in order.
    """

    number: int
    at: Now
    told: msgspec.Struct | None = None
    refused: str = ""
    sent: tuple[Outward, ...] = ()


class Reexecuted(msgspec.Struct, frozen=True):
    """What a replay came to.

    Attributes:
        peer: the peer's text id.
        ending: how the recording ends: ``closed`` in order, ``cut`` (the peer was killed,
            still runs, or recorded no further), or ``raised`` (its core did, as here).
        error: what it raised.
        digest: the newest link of the chain, in hexadecimal.
        state: the digest of the core's whole memory.
    """

    name: str
    peer: str
    boot: int
    release: str
    segments: int
    inputs: int
    begun_ns: int
    ended_ns: int
    ending: str
    error: str
    digest: str
    state: str


def is_recording(path: Path) -> bool:
    """Whether this is a segment of a recording, or a folder that holds some."""
    if path.is_dir():
        return bool(_segments(path))
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def reexecute(
    path: Path, boot: int | None = None, watch: Callable[[Moment, PeerCore], None] | None = None
) -> Reexecuted:
    """Replays a segment, or all segments of one start of a peer.

    Args:
        path: a segment, or a peer's folder of segments.
        boot: which start, in a folder; None takes the newest.
        watch: called after each step, with the core to look at.

    Raises:
        NotReplayable: there is nothing to replay, or no more of it.
        Diverged: the core did something else than the recorded one.
    """
    return _Replay(watch).run(_chosen(path, boot))


def _segments(folder: Path) -> dict[tuple[int, int], Path]:
    """A folder's segments by boot and number, in order."""
    found = {}
    for path in folder.iterdir():
        match = SEGMENT_NAME.fullmatch(path.name)
        if match is not None:
            found[int(match[1]), int(match[2])] = path
    return dict(sorted(found.items()))


def _chosen(path: Path, boot: int | None) -> list[Path]:
    if not path.is_dir():
        return [path]
    segments = _segments(path)
    boots = sorted({each for each, _ in segments})
    if not boots:
        raise NotReplayable(f"{path} holds no segments of a recording")
    chosen = boots[-1] if boot is None else boot
    if chosen not in boots:
        raise NotReplayable(f"{path} holds boots {', '.join(map(str, boots))}, not {chosen}")
    numbers = [number for each, number in segments if each == chosen]
    # A gap is what somebody took away: all after it can be replayed.
    first = next(n for n in reversed(numbers) if n - 1 not in numbers)
    return [segments[chosen, number] for number in numbers if number >= first]


class _Replay:
    """One replay, from segment to segment."""

    def __init__(self, watch: Callable[[Moment, PeerCore], None] | None) -> None:
        self._watch = watch
        self._core: PeerCore | None = None
        self._chain = Chain(FIRST_LINK)
        self._opening: Opening | None = None
        self._begun: Opening | None = None
        self._number = 0
        self._inputs = 0
        self._now = Now(0, 0)
        self._segments = 0
        self._raised: Exception | None = None
        self._is_closed = False

    def run(self, paths: list[Path]) -> Reexecuted:
        for path in paths:
            try:
                self._segment(path)
            except OSError as error:
                raise NotReplayable(f"cannot read {path}: {error.strerror}") from None
            except (RecordingDamaged, NotAnImage) as error:
                raise NotReplayable(f"{path}: {error}{self._made_by()}") from None
            except Diverged as error:
                raise Diverged(f"{path}: {error}{self._made_by()}") from None
        if self._core is None or self._begun is None:
            raise NotReplayable(f"{paths[-1]} ends before its first step")
        return self._result(self._core, self._begun)

    def _result(self, core: PeerCore, begun: Opening) -> Reexecuted:
        ending = "raised" if self._raised else "closed" if self._is_closed else "cut"
        error = f"{type(self._raised).__name__}: {self._raised}" if self._raised else ""
        return Reexecuted(
            name=begun.name,
            peer=text_id(begun.peer),
            boot=begun.boot,
            release=begun.release,
            segments=self._segments,
            inputs=self._inputs,
            begun_ns=begun.wall_ns,
            ended_ns=self._now.wall_ns,
            ending=ending,
            error=error,
            digest=self._chain.link.hex(),
            state=state_digest(core),
        )

    def _made_by(self) -> str:
        opening = self._opening
        if opening is None:
            return ""
        here = ".".join(map(str, sys.version_info[:2]))
        return (
            f" (recorded by {opening.release} under Python {opening.python}, replayed under "
            f"Python {here}: only the code that made a recording replays it exactly)"
        )

    # Blocks.

    def _segment(self, path: Path) -> None:
        blocks = read_blocks(memoryview(path.read_bytes()))
        while (block := _read_back(lambda: next(blocks, None))) is not None:
            match block:
                case Opening():
                    self._open(block, path)
                case Image():
                    self._image(block)
                case Steps():
                    self._steps(block)

    def _open(self, opening: Opening, path: Path) -> None:
        if self._opening is None:
            self._begun = opening
        elif opening.link != self._chain.link:
            raise Diverged(f"{path.name} does not go on where the segment before it ends")
        self._opening = opening
        self._chain = Chain(opening.link)
        self._now = Now(opening.monotonic_ns, opening.wall_ns)
        self._segments += 1

    def _image(self, image: Image) -> None:
        assert self._opening is not None, "the first block is an opening"
        answers = self._answers = Answers()
        keyring = ReplayedKeyring(self._opening.peer, self._opening.root, answers)
        core = thaw(image.data, {KEYRING: keyring, ENTROPY: ReplayedEntropy(answers)})
        if self._core is not None and state_digest(core) != state_digest(self._core):
            raise Diverged("the core came to another state than the recorded one")
        self._core = core
        self._is_closed = True

    def _steps(self, steps: Steps) -> None:
        if self._core is None:
            raise RecordingDamaged("it has steps before its first image")
        self._is_closed = False
        for entry, answers in _with_answers(steps.entries):
            if self._raised is not None:
                raise Diverged(f"the core raised {self._raised!r}, and the recorded one went on")
            self._answers.left = answers
            self._step(self._core, entry)
            if self._answers.missed:
                raise Diverged(self._answers.missed)
            if answers and self._raised is None:
                raise Diverged(f"the core signed or drew less than the recorded one: {answers[0]}")
        if self._chain.close() != steps.link:
            raise Diverged(
                f"between inputs {self._inputs - len(steps.entries)} and {self._inputs} the core "
                "wrote or sent something else than the recorded one"
            )

    def _step(self, core: PeerCore, entry: Entry) -> None:
        told: msgspec.Struct | None = entry
        refused = ""
        try:
            match entry:
                case Submitted():
                    self._now = now = Now(entry.monotonic_ns, entry.wall_ns)
                    told = _command(entry)
                    core.submit(told, now)
                case Received():
                    self._now = now = Now(entry.monotonic_ns, entry.wall_ns)
                    core.receive(entry.link, entry.frame, now)
                case Woken():
                    self._now = now = Now(entry.monotonic_ns, entry.wall_ns)
                    core.wake(now)
                case Recorded():
                    self._chain.wrote(core.take_records())
                    core.recorded(entry.number)
                    return
                case Took():
                    self._took(core)
                    return
                case Asked():
                    core.deadline()
                    return
        except Refused as refusal:
            refused = str(refusal)
        except (Diverged, RecordingDamaged):
            raise
        except Exception as error:  # noqa: BLE001  # as in the recorded core, or `_steps` says not
            self._raised = error
        self._inputs += 1
        self._show(core, told=told, refused=refused)

    def _took(self, core: PeerCore) -> None:
        sent = core.take_outward()
        if sent:
            self._chain.sent(sent)
            self._show(core, sent=tuple(sent))

    def _show(
        self,
        core: PeerCore,
        told: msgspec.Struct | None = None,
        refused: str = "",
        sent: tuple[Outward, ...] = (),
    ) -> None:
        self._number += 1
        if self._watch is not None:
            self._watch(Moment(self._number, self._now, told, refused, sent), core)


T = TypeVar("T")


def _read_back(read: Callable[[], T]) -> T:
    """Reads what may nest a few levels deeper here than where it was taken in.

    Not for steps: there, how deep a message may nest is part of what is replayed.
    """
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(before * RECURSION_FACTOR)
    try:
        return read()
    finally:
        sys.setrecursionlimit(before)


def _command(entry: Submitted) -> msgspec.Struct:
    kind = KINDS.get(entry.kind)
    if kind is None:
        raise RecordingDamaged(f"it holds a command of an unknown kind, {entry.kind}")
    try:
        return _read_back(lambda: msgspec.msgpack.decode(entry.command, type=kind))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RecordingDamaged(f"a {entry.kind} does not decode: {error}") from None


def _with_answers(entries: tuple[Entry, ...]) -> Iterator[tuple[Entry, deque[Signed | Drew]]]:
    """Each input, and what was signed and drawn in its step."""
    told: Entry | None = None
    answers: deque[Signed | Drew] = deque()
    for entry in entries:
        if isinstance(entry, Signed | Drew):
            answers.append(entry)
            continue
        if told is not None:
            yield told, answers
        told, answers = entry, deque()
    if told is not None:
        yield told, answers
