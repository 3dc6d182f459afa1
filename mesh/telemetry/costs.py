"""What each step of a task cost, along the path that decided how long it took.

Every stretch of a task is between two moments that one peer, its custodian,
noted; so they add up to the whole. What happened at another peer divides such a
stretch by durations that this other peer measured. Only on which side of them
the rest lies, going there or coming back, is taken from the peers' wall clocks
where these agree, and else halved.

A handler that waited for children is followed backwards from its end: the child
that ended last before it, then that which ended last before this one began.
"""

from collections.abc import Iterable, Mapping

import msgspec

from mesh.telemetry.stories import AttemptStory, LotStory, Ran, TaskStory

RECORDING, QUEUEING, AUCTION = "recording", "queueing", "auction"
SENDING, WAITING, HANDING, RUNNING = "sending", "waiting for a slot", "handing over", "running"
RETURNING, PAUSING, ELSEWHERE = "returning", "pausing", "at its peer and on the way"
STEPS = (
    RECORDING, QUEUEING, AUCTION, SENDING, WAITING, HANDING, RUNNING, RETURNING, PAUSING, ELSEWHERE,
)  # fmt: skip
DEPTH_LIMIT = 32
ORDERLY_US = 2_000
"""By how much a child may seem to outlast its parent's handler: the way of the news."""


class Step(msgspec.Struct, frozen=True):
    """One stretch. `at_us` counts from the task's beginning."""

    step: str
    at_us: int
    took_us: int
    task: str
    skill: str
    peer: str
    attempt: int
    depth: int


def whole_us(story: TaskStory) -> int:
    """How long the task took, or has taken as far as is known."""
    return max(0, _end_of(story) - story.begin_us)


def path(
    story: TaskStory, lots: Mapping[str, LotStory], children: Mapping[str, list[TaskStory]]
) -> list[Step]:
    """The steps of a task in order; their durations add up to `whole_us`."""
    found = _Path(lots, children)
    found.task(story, 0, 0)
    return found.steps


def sums(steps: Iterable[Step]) -> dict[str, int]:
    """Microseconds by step, in the order in which tasks go through them; empty ones left out."""
    totals = dict.fromkeys(STEPS, 0)
    for step in steps:
        totals[step.step] += step.took_us
    return {name: total for name, total in totals.items() if total}


def children_of(stories: Iterable[TaskStory]) -> dict[str, list[TaskStory]]:
    """Tasks by the task that asked for them, the earliest first."""
    found: dict[str, list[TaskStory]] = {}
    for story in sorted(stories, key=lambda story: (story.begin_us, story.task)):
        if story.parent:
            found.setdefault(story.parent, []).append(story)
    return found


def _end_of(story: TaskStory) -> int:
    if story.settled_us:
        return story.settled_us
    ends = [max(attempt.sent_us, attempt.ended_us) for attempt in story.attempts.values()]
    return max([story.begin_us, story.accepted_us, *ends])


class _Path:
    """Collects steps; `_clock` is where the next one begins."""

    def __init__(
        self, lots: Mapping[str, LotStory], children: Mapping[str, list[TaskStory]]
    ) -> None:
        self.steps: list[Step] = []
        self._lots = lots
        self._children = children
        self._clock = 0

    def _add(
        self, name: str, took: int, story: TaskStory, peer: str, number: int, depth: int
    ) -> None:
        if took > 0:
            step = Step(name, self._clock, took, story.task, story.skill, peer, number, depth)
            self.steps.append(step)
            self._clock += took

    def task(self, story: TaskStory, at: int, depth: int) -> None:
        """All steps of one task, which begins `at` microseconds into the path."""
        self._clock = at
        home = story.custodian
        here = story.begin_us
        end = _end_of(story)

        def until(moment: int, name: str, number: int = 0) -> None:
            # A wall clock that was set back would make time that there never was.
            nonlocal here
            moment = min(max(moment, here), end)
            self._add(name, moment - here, story, home, number, depth)
            here = moment

        until(story.accepted_us, RECORDING)
        attempts = [story.attempts[number] for number in sorted(story.attempts)]
        for index, attempt in enumerate(attempts):
            lot = self._lots.get(attempt.lot)
            idle = QUEUEING if not index else PAUSING
            if lot is not None and here <= lot.cleared_us <= attempt.sent_us:
                until(lot.opened_us, idle)
                until(lot.cleared_us, AUCTION)
                until(attempt.sent_us, RECORDING)
            else:
                until(attempt.sent_us, idle)
            ended = min(attempt.ended_us or end, end)
            if ended > here:
                taken = min(max(attempt.taken_us, here), ended) if attempt.taken_us else ended
                self._away(story, attempt, here, taken, depth)
                here = taken
                until(ended, RECORDING, attempt.number)
        until(end, QUEUEING if not attempts else RECORDING)

    def _away(
        self, story: TaskStory, attempt: AttemptStory, sent: int, taken: int, depth: int
    ) -> None:
        """From an attempt's sending to its result, as its peer measured what lies between."""
        ran, number = attempt.ran, attempt.number
        whole = taken - sent
        if ran is None:
            self._add(ELSEWHERE, whole, story, attempt.peer, number, depth)
            return
        there = min(whole, ran.waited_us + ran.held_us)
        travelled = whole - there
        back = taken - ran.told_us
        back = back if 0 <= back <= travelled else travelled // 2
        elapsed = min(ran.elapsed_us, ran.held_us, there)
        waited = min(ran.waited_us, there - elapsed)
        self._add(SENDING, travelled - back, story, story.custodian, number, depth)
        self._add(WAITING, waited, story, ran.writer, number, depth)
        self._add(HANDING, there - waited - elapsed, story, ran.writer, number, depth)
        ended = ran.told_us - self._lag(story, ran, elapsed)
        self._running(story, ran.writer, number, ended, elapsed, depth)
        self._add(RETURNING, back, story, ran.writer, number, depth)

    def _lag(self, story: TaskStory, ran: Ran, elapsed: int) -> int:
        """How long before its peer heard of it a handler had ended, as its children tell.

        None of them can have begun before it did.
        """
        first = ran.told_us - ran.held_us
        begin = ran.told_us - elapsed
        begins = [
            child.begin_us
            for child in self._children.get(story.task, ())
            if first <= child.begin_us < begin and child.settled_us
        ]
        return begin - min(begins, default=begin)

    def _running(
        self, story: TaskStory, peer: str, number: int, end: int, elapsed: int, depth: int
    ) -> None:
        """A handler's time: its own, and that of the children which it waited for."""
        begin = end - elapsed
        cursor = end
        chosen: list[tuple[TaskStory, int, int]] = []
        for child in sorted(
            self._children.get(story.task, ()), key=lambda each: each.settled_us, reverse=True
        ):
            first, last = child.begin_us, child.settled_us
            if not last or first < begin or last > cursor + ORDERLY_US or last <= first:
                continue
            last = min(last, cursor)
            if last > first:
                chosen.append((child, first, last))
                cursor = first
        if depth >= DEPTH_LIMIT:
            chosen = []
        cursor = begin
        for child, first, last in reversed(chosen):
            self._add(RUNNING, first - cursor, story, peer, number, depth)
            before, at = len(self.steps), self._clock
            self.task(child, at, depth + 1)
            self._cut(before, at + last - first)
            cursor = last
        self._add(RUNNING, end - cursor, story, peer, number, depth)

    def _cut(self, before: int, limit: int) -> None:
        """Ends a child's steps where its parent went on: the news was there before its end was."""
        kept: list[Step] = []
        for step in self.steps[before:]:
            took = min(step.took_us, limit - step.at_us)
            if took > 0:
                kept.append(msgspec.structs.replace(step, took_us=took))
        self.steps[before:] = kept
        self._clock = limit
