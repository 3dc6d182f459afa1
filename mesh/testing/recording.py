"""Recorded answers of skills that talk to the outside, so that a test needs no outside.

A recording is a JSON file. Under each skill and inputs it holds the *calls* that
were made with them, in the order in which they were accepted; a call holds how
its attempts ended, in order: usually one answer, sometimes an error and then an
answer.

A call is told by where it comes from, not by when it runs: the n-th call of a
handler with these inputs, or a client's task. So an attempt that is made again
because a peer died, or because the handler that called is itself run again, is
the same call and gets the same answer, whatever faults the test adds to those
of the recording. Once a call's ends are used up the last one is repeated.
"""

import json
import os
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import msgspec

from mesh.local.messages import JobEnd
from mesh.testing.errors import BadRecording, NotRecorded

FORMAT = 1
SHOWN_INPUTS = 300


class Ending(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one attempt ended: its value, or its error without the traceback.

    Attributes:
        status: ``ok``, ``failed`` or ``rejected`` (not to be tried again).
        seconds: how long it took; in a replay it takes so long in virtual time.
    """

    status: str = "ok"
    value: Any = None
    error_kind: str = ""
    error_message: str = ""
    confidence: int = -1
    seconds: float = 0.0

    def end(self, job: int) -> JobEnd:
        """The same end, for another attempt."""
        return JobEnd(
            job=job,
            status=self.status,
            value=msgspec.Raw(msgspec.msgpack.encode(self.value)),
            error_kind=self.error_kind,
            error_message=self.error_message,
            confidence=self.confidence,
        )


def ending_of(end: JobEnd, seconds: float) -> Ending:
    """What is kept of an attempt's end."""
    return Ending(
        status=end.status,
        value=msgspec.msgpack.decode(end.value),
        error_kind=end.error_kind,
        error_message=end.error_message.partition("\n")[0],
        confidence=end.confidence,
        seconds=round(seconds, 3),
    )


class Call(msgspec.Struct, frozen=True):
    """One call, and how its attempts ended; none where all were cut off."""

    version: str
    ends: list[Ending]


class Entry(msgspec.Struct, frozen=True):
    """The calls of one skill with one set of inputs."""

    skill: str
    inputs: Any
    calls: list[Call]


class _File(msgspec.Struct, frozen=True):
    mesh_recording: int
    entries: list[Entry]


class Asked(msgspec.Struct, frozen=True):
    """An attempt: what is asked of a skill, and which call that is."""

    skill: str
    version: str
    inputs: Any
    call: Hashable

    @property
    def key(self) -> tuple[str, str]:
        """Where a recording keeps it."""
        return self.skill, _text(self.inputs)


class Recording:
    """The calls of a recording, and which of them this run has come to."""

    def __init__(self, path: Path, entries: list[Entry]) -> None:
        """Use `load`, or begin with no entries."""
        self._path = path
        self._entries = {(entry.skill, _text(entry.inputs)): entry for entry in entries}
        self._skills = {entry.skill: None for entry in entries}
        self._places: dict[tuple[str, str], dict[Hashable, int]] = {}
        self._ended: dict[tuple[tuple[str, str], int], int] = {}

    @classmethod
    def load(cls, path: Path) -> "Recording":
        """Reads a recording.

        Raises:
            BadRecording: there is none, or it cannot be read.
        """
        try:
            file = msgspec.json.decode(path.read_bytes(), type=_File)
        except FileNotFoundError:
            raise BadRecording(
                f"there is no recording {path}: make one with LocalMesh(record=…)"
            ) from None
        except msgspec.MsgspecError as error:
            raise BadRecording(f"{path} is not a recording: {error}") from None
        if file.mesh_recording != FORMAT:
            raise BadRecording(f"{path} has format {file.mesh_recording}, not {FORMAT}")
        return cls(path, file.entries)

    def save(self) -> None:
        """Writes the file, whole or not at all."""
        file = _File(FORMAT, [self._entries[key] for key in sorted(self._entries)])
        text = json.dumps(msgspec.to_builtins(file), indent=1, ensure_ascii=False)
        scratch = self._path.with_name(self._path.name + ".new")
        scratch.write_text(text + "\n", encoding="utf-8")
        os.replace(scratch, self._path)

    def holds(self, skill: str) -> bool:
        """Whether this skill was recorded at all."""
        return skill in self._skills

    def accepted(self, skill: str, inputs: Any, call: Hashable) -> int:
        """A call was accepted; which of those with its inputs it is, counted from 0."""
        places = self._places.setdefault((skill, _text(inputs)), {})
        return places.setdefault(call, len(places))

    def ending(self, asked: Asked) -> Ending:
        """How the next attempt at a call ends.

        Raises:
            NotRecorded: the recording has no such call.
        """
        place = self.accepted(asked.skill, asked.inputs, asked.call)
        entry = self._entries.get(asked.key)
        calls = [] if entry is None else entry.calls
        if place >= len(calls):
            shown = asked.key[1][:SHOWN_INPUTS]
            problem = f"{len(calls)} calls with inputs {shown}, and this is call {place + 1}"
        elif calls[place].version != asked.version:
            problem = f"answers of version {calls[place].version}, and this is {asked.version}"
        elif not calls[place].ends:
            problem = "a call that was cut off before its answer"
        else:
            ends = calls[place].ends
            return ends[min(self._ended.get((asked.key, place), 0), len(ends) - 1)]
        raise NotRecorded(
            f"of skill {asked.skill} {self._path} has {problem}: record the test again with "
            "LocalMesh(record=…)"
        )

    def ended(self, asked: Asked) -> None:
        """An attempt came to its end: the next one at this call ends as the next one did."""
        name = (asked.key, self.accepted(asked.skill, asked.inputs, asked.call))
        self._ended[name] = self._ended.get(name, 0) + 1

    def add(self, asked: Asked, ending: Ending) -> None:
        """Keeps how an attempt at a call ended."""
        self._skills[asked.skill] = None
        entry = self._entries.setdefault(asked.key, Entry(asked.skill, asked.inputs, []))
        place = self.accepted(asked.skill, asked.inputs, asked.call)
        while place >= len(entry.calls):
            entry.calls.append(Call(asked.version, []))
        entry.calls[place].ends.append(ending)


def _text(inputs: Any) -> str:
    return json.dumps(inputs, sort_keys=True, ensure_ascii=False)
