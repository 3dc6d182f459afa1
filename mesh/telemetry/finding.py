"""Finds the stories of some tasks in a folder's events, reading them twice.

First who asked for what, then all that was told of those that are meant: so the
memory needed is that of the answer, however long the logs are.
"""

import base64
import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from mesh.local.discovery import read_mesh
from mesh.telemetry import reading
from mesh.telemetry.stories import TOLD, Family, LotStory, Stories, TaskStory
from mesh.telemetry.telling import Names

PREFIX_LENGTH = 4
"""Characters of an id that are enough to name it, where they name one alone."""
TRACE_DIGITS = 32
DIGEST_DIGITS, DIGEST_LETTERS = 64, 52
"""How long a ballot's id is in hexadecimal, and in base 32."""
ACCEPTED = (b'"tasks.accepted"',)
CLAIMED = (b'"tasks.claims-decided"',)
CANDIDATES_SHOWN = 8


class NotFound(Exception):
    """No id, or more than one, is meant; says so."""


class Found(msgspec.Struct):
    """What was found. `roots` are the tasks that nobody else of these asked for."""

    trace: str
    roots: list[str]
    tasks: dict[str, TaskStory]
    lots: dict[str, LotStory]


def find(folder: Path, text: str) -> Found:
    """The stories behind an id: of a task and all below it, or of a whole trace.

    Args:
        folder: the mesh folder.
        text: a task's id, a trace's id or traceparent, or the beginning of either; or a
            ballot's id, whose trace is that of its voters' answers.

    Raises:
        NotFound: with what to try.
        NoMesh: there is no mesh in this folder.
    """
    family = _family(folder)
    word = text.strip()
    word = digest_of(word)[:TRACE_DIGITS] or word
    parts = word.split("-")
    if len(parts) == 4 and len(parts[1]) == TRACE_DIGITS:
        word = parts[1]
    traces, tasks = family.traces(word), family.tasks(word)
    if word in tasks:
        return _stories(folder, family.below([word]), family.trace_of(word))
    if len(word) >= PREFIX_LENGTH and len(traces) + len(tasks) == 1:
        if traces:
            return _stories(folder, family.below(family.of_trace(traces[0])), traces[0])
        return _stories(folder, family.below(tasks), family.trace_of(tasks[0]))
    raise NotFound(_reason(text, [*tasks, *traces]))


def digest_of(text: str) -> str:
    """A ballot's id in hexadecimal, as `mesh decide` prints it; "" where this is none.

    Args:
        text: the id so, or in base 32, as `mesh logs` shows it.
    """
    word = text.strip().lower()
    if len(word) == DIGEST_LETTERS:
        with contextlib.suppress(ValueError):
            return base64.b32decode(word.upper() + "====").hex()
    return word if len(word) == DIGEST_DIGITS and set(word) <= set("0123456789abcdef") else ""


def below(folder: Path, task: str) -> Found:
    """The stories of a task and all below it; empty where the events do not name it."""
    family = _family(folder)
    return _stories(folder, family.below([task]), family.trace_of(task))


def claims(folder: Path, lots: Iterable[str]) -> list[dict[str, Any]]:
    """What was claimed of offers on the blackboard, as `mesh why` has it.

    Args:
        folder: the mesh folder.
        lots: what attempts that follow from such claims have for their lot.

    Raises:
        NoMesh: there is no mesh in this folder.
    """
    wanted = set(lots)
    names = Names({entry.id: entry.name for entry in read_mesh(folder).peers})
    found: dict[str, dict[str, Any]] = {}
    for entry in reading.events(folder, CLAIMED) if wanted else ():
        event = entry.event
        if event["event"] != "tasks.claims-decided" or event.get("lot") not in wanted:
            continue
        with contextlib.suppress(KeyError, TypeError, ValueError):  # of another release
            rows = [
                {"peer": names.of(peer), "places": places, "load_ms": load_ms, "given": given}
                for peer, places, load_ms, given in event["claims"]
            ]
            found[event["lot"]] = {"lot": event["lot"], "claims": rows}
    return list(found.values())


def _family(folder: Path) -> Family:
    family = Family()
    for entry in reading.events(folder, ACCEPTED):
        family.take(entry)
    return family


def _stories(folder: Path, wanted: set[str], trace: str) -> Found:
    stories = Stories(wanted.__contains__, limit=max(1, len(wanted)))
    for entry in reading.events(folder, TOLD):
        stories.take(entry)
    tasks = dict(stories.tasks)
    roots = [task for task, story in tasks.items() if story.parent not in tasks]
    return Found(trace, roots, tasks, dict(stories.lots))


def _reason(text: str, found: list[str]) -> str:
    if len(text.strip()) < PREFIX_LENGTH:
        return f"{text!r} is too short: give at least {PREFIX_LENGTH} characters of an id"
    if found:
        shown = "".join(f"\n  {each}" for each in found[:CANDIDATES_SHOWN])
        more = f"\n  and {len(found) - CANDIDATES_SHOWN} more" if found[CANDIDATES_SHOWN:] else ""
        return f"{text!r} may mean any of these, give more of it:{shown}{more}"
    return (
        f"the events of this folder's peers name no task and no trace {text!r}: they may have "
        "rotated away, or its peer has another folder; `mesh tasks` lists the tasks there are"
    )
