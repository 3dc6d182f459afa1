"""Spans of one trace across peers, from what each peer wrote alone.

A span's id is a hash of what it is of: the peer that runs an attempt and the
custodian that sent it name the same ids without a word between them, so that
each host may export its own half. The spans of a task::

    <skill>              by its custodian, from acceptance to its end; below the caller's
      auction            of the lot that its first attempt came from
      attempt <n>        from sending to result
        run <skill>      by the peer that ran it

A task that a handler asked for lies below the span of that handler's task.
"""

import hashlib
import re
from collections import OrderedDict
from typing import Any, Literal

import msgspec

from mesh.telemetry.measures import Gauge
from mesh.telemetry.reading import Entry
from mesh.telemetry.stories import MICROS, AttemptStory, TaskStory

SPAN_BYTES = 8
LOTS_TOLD_LIMIT = 10_000
TRACE = re.compile(r"(?!0{32})[0-9a-f]{32}")
SPAN = re.compile(r"(?!0{16})[0-9a-f]{16}")
Kind = Literal["internal", "client", "server"]


class Span(msgspec.Struct, frozen=True):
    """One span. Ids in hexadecimal, `parent` is "" for none; microseconds since 1970.

    `error` is "" where all went well.
    """

    trace: str
    span: str
    parent: str
    name: str
    kind: Kind
    peer: str
    start_us: int
    end_us: int
    attributes: dict[str, str | int]
    error: str = ""


def span_id(*of: object) -> str:
    """The id of the span of something; the same wherever it is asked."""
    text = "\0".join(str(part) for part in of).encode()
    return hashlib.blake2b(text, digest_size=SPAN_BYTES, person=b"mesh span").hexdigest()


class Spans:
    """Turns events into spans as tasks end."""

    def __init__(self) -> None:
        self._gauge = Gauge()
        self._lots_told: OrderedDict[str, None] = OrderedDict()

    def take(self, entry: Entry) -> list[Span]:
        """Takes an event; gives the spans that are over with it."""
        if entry.event["event"] == "tasks.attempts-ran":
            self._gauge.take(entry)
            return _runs(entry)
        spans: list[Span] = []
        for story in self._gauge.take(entry):
            if TRACE.fullmatch(story.trace):
                spans += self._of_task(story)
        return spans

    def _of_task(self, story: TaskStory) -> list[Span]:
        own = span_id("task", story.task)
        attributes: dict[str, str | int] = {
            "mesh.task": story.task,
            "mesh.skill": story.skill,
            "mesh.state": story.state,
            "mesh.attempts": len(story.attempts),
        }
        failed = "" if story.state == "done" else story.error or story.state
        spans = [
            Span(
                story.trace, own, _above(story), story.skill, "server", story.custodian,
                story.accepted_us, story.settled_us, attributes, failed,
            )
        ]  # fmt: skip
        for attempt in story.attempts.values():
            auction = self._auction(story, attempt, own)
            spans += [auction] if auction is not None else []
            spans.append(_of_attempt(story, attempt, own))
        return spans

    def _auction(self, story: TaskStory, attempt: AttemptStory, parent: str) -> Span | None:
        """The auction of an attempt's lot, once: many tasks may share it."""
        lot = self._gauge.stories.lots.get(attempt.lot)
        if lot is None or attempt.lot in self._lots_told or lot.cleared_us < story.accepted_us:
            return None
        self._lots_told[attempt.lot] = None
        while len(self._lots_told) > LOTS_TOLD_LIMIT:
            self._lots_told.popitem(last=False)
        attributes: dict[str, str | int] = {
            "mesh.lot": lot.lot,
            "mesh.units": lot.units,
            "mesh.awarded": lot.awarded,
            "mesh.bids": lot.bids,
        }
        return Span(
            story.trace, span_id("lot", lot.lot), parent, "auction", "internal", story.custodian,
            max(lot.opened_us, story.accepted_us), lot.cleared_us, attributes,
        )  # fmt: skip


def _above(story: TaskStory) -> str:
    """The span that asked: of the parent task, or the caller's own; "" where there is none."""
    if story.parent:
        return span_id("task", story.parent)
    # A trace that a peer began for a caller without one: see `new_traceparent`.
    if story.span == story.trace[: len(story.span)] or not SPAN.fullmatch(story.span):
        return ""
    return story.span


def _of_attempt(story: TaskStory, attempt: AttemptStory, parent: str) -> Span:
    attributes: dict[str, str | int] = {
        "mesh.task": story.task,
        "mesh.attempt": attempt.number,
        "mesh.peer": attempt.peer,
        "mesh.lot": attempt.lot,
        "mesh.status": attempt.status,
    }
    failed = "" if attempt.status == "ok" else attempt.message.partition("\n")[0] or attempt.status
    return Span(
        story.trace, span_id("attempt", story.task, attempt.number), parent,
        f"attempt {attempt.number}", "client", story.custodian, attempt.sent_us,
        max(attempt.sent_us, attempt.ended_us or story.settled_us), attributes, failed,
    )  # fmt: skip


def _runs(entry: Entry) -> list[Span]:
    event = entry.event
    try:
        columns: list[list[Any]] = [
            event["tasks"], event["attempts"], event["statuses"], event["waited_us"],
            event["held_us"], event["elapsed_us"],
        ]  # fmt: skip
        traces = event.get("traces") or [event["trace"]] * len(columns[0])
        rows = list(zip(traces, *columns, strict=True))
        skill, end = str(event["skill"]), round(entry.time * MICROS)
    except (KeyError, TypeError, ValueError):
        # Of another release: no spans are better than wrong ones.
        return []
    return [
        Span(
            trace, span_id("run", task, number), span_id("attempt", task, number),
            f"run {skill}", "server", entry.writer, end - held, end,
            {
                "mesh.task": task, "mesh.attempt": number, "mesh.skill": skill,
                "mesh.status": status, "mesh.waited_us": waited, "mesh.handler_us": elapsed,
            },
            "" if status == "ok" else status,
        )
        for trace, task, number, status, waited, held, elapsed in rows
        if TRACE.fullmatch(str(trace))
    ]  # fmt: skip
