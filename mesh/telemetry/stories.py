"""The stories of tasks, joined from what several peers wrote of them.

Invariants: a story is told in microseconds of its custodian's wall clock; what
another peer measured enters as a duration, never as a time. The first
acceptance counts: a key used again names a task that is there already.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import msgspec

from mesh.telemetry.reading import Entry, Event

STORIES_LIMIT = 50_000
"""Tasks that are remembered; the oldest make room."""
LOTS_LIMIT = 10_000
MICROS = 1_000_000
TOLD = (b'"tasks.', b'"auction.lot-cleared"')
"""What lines must hold to be of use here."""


class Ran(msgspec.Struct):
    """What the peer that ran an attempt measured. `told_us` is by that peer's clock."""

    writer: str
    status: str
    told_us: int
    waited_us: int
    held_us: int
    elapsed_us: int


class AttemptStory(msgspec.Struct):
    """One attempt. `ended_us` is 0 while it is out."""

    number: int
    peer: str
    lot: str
    sent_us: int
    ended_us: int = 0
    taken_us: int = 0
    """When the custodian took its end, before that was on disk; 0 where not known."""
    status: str = ""
    message: str = ""
    ran: Ran | None = None


class TaskStory(msgspec.Struct):
    """One task. Microseconds since 1970; 0 for what is not known, or not yet."""

    task: str
    skill: str
    trace: str
    span: str
    parent: str
    custodian: str
    accepted_us: int
    asked_us: int = 0
    """When the custodian took it, before it was on disk; 0 where not known."""
    settled_us: int = 0
    state: str = "accepted"
    error: str = ""
    attempts: dict[int, AttemptStory] = {}

    @property
    def begin_us(self) -> int:
        """The first that is known of it."""
        return self.asked_us or self.accepted_us


class LotStory(msgspec.Struct):
    """One auction, by its issuer's clock."""

    lot: str
    skill: str
    opened_us: int
    cleared_us: int
    awarded: int
    units: int
    bids: int
    trace: str


class Stories:
    """Takes events of all peers, in about the order of their times.

    Args:
        wanted: which tasks to tell of; None for all.
        limit: tasks that are remembered.
    """

    def __init__(
        self, wanted: Callable[[str], bool] | None = None, limit: int = STORIES_LIMIT
    ) -> None:
        self._wanted = wanted
        self._limit = limit
        self.tasks: OrderedDict[str, TaskStory] = OrderedDict()
        self.lots: OrderedDict[str, LotStory] = OrderedDict()
        self._early: OrderedDict[tuple[str, int], Ran] = OrderedDict()

    def take(self, entry: Entry) -> None:
        """Takes an event; what is of no task is passed over, and what makes no sense too."""
        take = self._TAKEN.get(entry.event["event"])
        if take is None:
            return
        try:
            take(self, entry.writer, round(entry.time * MICROS), entry.event)
        except (KeyError, TypeError, ValueError, AttributeError):
            # A line of another release, or written by hand: no reason to tell nothing at all.
            return

    def _accepted(self, writer: str, at: int, event: Event) -> None:
        for task in event["tasks"]:
            if task in self.tasks or (self._wanted is not None and not self._wanted(task)):
                continue
            self.tasks[task] = TaskStory(
                task,
                event["skill"],
                event["trace"],
                event.get("span", ""),
                event.get("parent", ""),
                writer,
                at,
            )
            while len(self.tasks) > self._limit:
                self.tasks.popitem(last=False)

    def _started(self, writer: str, at: int, event: Event) -> None:
        for task, number in zip(event["tasks"], event["attempts"], strict=True):
            story = self.tasks.get(task)
            if story is None:
                continue
            story.state = "running"
            ran = self._early.pop((task, number), None)
            story.attempts[number] = AttemptStory(number, event["peer"], event["lot"], at, ran=ran)

    def _ran(self, writer: str, at: int, event: Event) -> None:
        columns = ("tasks", "attempts", "statuses", "waited_us", "held_us", "elapsed_us")
        for task, number, status, waited, held, elapsed in zip(
            *(event[column] for column in columns), strict=True
        ):
            if self._wanted is not None and not self._wanted(task):
                continue
            ran = Ran(writer, status, at, int(waited), int(held), int(elapsed))
            story = self.tasks.get(task)
            attempt = story.attempts.get(number) if story is not None else None
            if attempt is not None:
                attempt.ran = ran
            else:
                # By a clock that is behind, or of a task that is told of later.
                self._early[(task, number)] = ran
                while len(self._early) > LOTS_LIMIT:
                    self._early.popitem(last=False)

    def _failed(self, writer: str, at: int, event: Event) -> None:
        for row in event["attempts"]:
            story = self.tasks.get(row["task"])
            attempt = story.attempts.get(row["attempt"]) if story is not None else None
            if story is None or attempt is None:
                continue
            attempt.ended_us, attempt.status = at, row["status"]
            attempt.message = row["message"]
            if row["retried"]:
                story.state = "waiting"

    def _settled(self, writer: str, at: int, event: Event) -> None:
        for row in event["tasks"]:
            story = self.tasks.get(row["task"])
            if story is None or story.settled_us:
                continue
            story.settled_us, story.state = at, row["state"]
            story.error = row.get("error", "")
            if story.attempts:
                last = story.attempts[max(story.attempts)]
                if not last.ended_us:
                    last.ended_us = at
                    last.status = "ok" if row["state"] == "done" else row["state"]

    def _redriven(self, writer: str, at: int, event: Event) -> None:
        for task in event["tasks"]:
            story = self.tasks.get(task)
            if story is not None:
                story.settled_us, story.state, story.error = 0, "accepted", ""

    def _cleared(self, writer: str, at: int, event: Event) -> None:
        self.lots[event["lot"]] = LotStory(
            event["lot"],
            event["skill"],
            event["opened_wall_ns"] // 1000,
            event["cleared_wall_ns"] // 1000,
            event["awarded"],
            event["units"],
            len(event["bids"]),
            event["trace"],
        )
        while len(self.lots) > LOTS_LIMIT:
            self.lots.popitem(last=False)

    _TAKEN: ClassVar[dict[str, Callable[["Stories", str, int, Event], None]]] = {
        "tasks.accepted": _accepted,
        "tasks.attempts-started": _started,
        "tasks.attempts-ran": _ran,
        "tasks.attempts-failed": _failed,
        "tasks.redriven": _redriven,
        "tasks.settled": _settled,
        "auction.lot-cleared": _cleared,
    }


class Family:
    """Tasks that belong together: of one trace, or asked for by one another."""

    def __init__(self) -> None:
        self._trace_of: dict[str, str] = {}
        self._parent_of: dict[str, str] = {}

    def take(self, entry: Entry) -> None:
        """Takes an event; only acceptances count."""
        event = entry.event
        if event["event"] != "tasks.accepted":
            return
        for task in event.get("tasks", ()):
            if task not in self._trace_of:
                self._trace_of[task] = event.get("trace", "")
                self._parent_of[task] = event.get("parent", "")

    def traces(self, prefix: str) -> list[str]:
        """The traces whose ids begin so."""
        return sorted({trace for trace in self._trace_of.values() if trace.startswith(prefix)})

    def tasks(self, prefix: str) -> list[str]:
        """The tasks whose ids begin so."""
        return sorted(task for task in self._trace_of if task.startswith(prefix))

    def trace_of(self, task: str) -> str:
        """The trace of a task; "" where it is not known."""
        return self._trace_of.get(task, "")

    def of_trace(self, trace: str) -> set[str]:
        """All tasks of a trace."""
        return {task for task, each in self._trace_of.items() if each == trace}

    def below(self, roots: Iterable[str]) -> set[str]:
        """These tasks and all that they asked for."""
        children: dict[str, list[str]] = {}
        for task, parent in self._parent_of.items():
            children.setdefault(parent, []).append(task)
        found: set[str] = set()
        waiting = list(roots)
        while waiting:
            task = waiting.pop()
            if task not in found:
                found.add(task)
                waiting += children.get(task, ())
        return found


def from_view(view: Mapping[str, Any], logged: TaskStory | None) -> TaskStory:
    """A story as its custodian tells it (`mesh why`), with what the events add.

    The custodian tells when it took a task or a result, the events when that was on
    disk. Without events (they have rotated away) what lies between them is not seen.
    """
    asked = _micros(view["accepted"])
    story = TaskStory(
        view["task"],
        view["skill"].partition("@")[0],
        (view["trace"] or "")[3:35],
        "",
        view["parent"] or "",
        view["custodian"],
        max(asked, logged.accepted_us if logged is not None else 0),
        asked_us=asked,
        settled_us=_micros(view["settled"]),
        state=view["state"],
    )
    if logged is not None and logged.settled_us and story.settled_us:
        story.settled_us = max(story.settled_us, logged.settled_us)
    for row in view["history"]:
        taken = _micros(row["ended"])
        attempt = AttemptStory(
            row["attempt"],
            row["peer"],
            row["lot"] or "",
            _micros(row["started"]),
            ended_us=taken,
            taken_us=taken,
            status=row["status"],
            message=row["message"],
        )
        seen = logged.attempts.get(attempt.number) if logged is not None else None
        if seen is not None:
            attempt.sent_us = max(attempt.sent_us, seen.sent_us)
            attempt.ended_us = max(taken, seen.ended_us) if taken else 0
            attempt.ran = seen.ran
        story.attempts[attempt.number] = attempt
    return story


def lots_from_view(view: Mapping[str, Any]) -> dict[str, LotStory]:
    """The auctions of a task, as its custodian tells them."""
    return {
        row["lot"]: LotStory(
            row["lot"],
            row["skill"].partition("@")[0],
            _micros(row["opened"]),
            _micros(row["cleared"]),
            row["awarded"],
            row["units"],
            len(row["bids"]),
            "",
        )
        for row in view["lots"]
    }


def _micros(seconds: float | None) -> int:
    return round(seconds * MICROS) if seconds else 0
