"""Circuit breakers: a peer at which a skill keeps failing is not asked for a while.

One breaker for each (skill, version, peer), with an *error budget*: of the outcomes
in a window, at most half may be faults, and four faults always may. States:

    closed     in use; a budget that is spent opens it
    open       not invited; after a pause it is half open
    half-open  one probe is let through: its success closes the breaker, its fault
               opens it for twice as long; a failure that is no fault asks for
               another probe

A worker process that ended is the peer's fault. A handler that failed may be the
task's own doing, so such failures count only where the other peers do better with
the same skill; with nobody to compare, they do not count.
Follows M. Nygard, "Release It!"; the comparison is our own.
"""

from collections.abc import Iterator

from protocols.machine import SECOND_NS
from protocols.tasks.parameters import NEVER

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half-open"

BREAKERS_LIMIT = 4096
"""Breakers that are remembered; of those that are closed the oldest is forgotten first."""
WINDOW_NS = 30 * SECOND_NS
FAULTS_LEAST = 5
"""So many faults in a window, and half of its outcomes, spend the budget."""
COMPARED_LEAST = 3
"""Outcomes of other peers without which there is nothing to compare with."""
PAUSE_FIRST_NS = SECOND_NS
PAUSE_MOST_NS = 30 * SECOND_NS
PROBE_NS = 5 * SECOND_NS
"""How long a half-open peer that was given slots may take to show how it does."""

Key = tuple[str, str, bytes]
"""Skill, version, peer."""


class Breaker:
    """The recent outcomes of one skill at one peer, and whether it is asked.

    Attributes:
        is_barred: the peer is not to be invited.
        until: when an open breaker is half open, and a probe given up.
        half_since: when it became half open: what began before is no probe.
    """

    __slots__ = (
        "_older", "_recent", "_since", "half_since", "is_barred", "key", "pause", "state", "told",
        "until",
    )  # fmt: skip

    def __init__(self, key: Key) -> None:
        self.key = key
        self.state = CLOSED
        self.is_barred = False
        self.told = (CLOSED, False)
        """State and `is_barred` as the others know them."""
        self.pause = PAUSE_FIRST_NS
        self.until = NEVER
        self.half_since = 0
        self._recent = [0, 0, 0]
        self._older = [0, 0, 0]
        self._since = 0

    def count(self, kind: int, count: int, now: int) -> None:
        """Takes outcomes: 0 good, 1 of a handler that failed, 2 of a worker that ended."""
        if now - self._since >= WINDOW_NS // 2:
            is_old = now - self._since >= WINDOW_NS
            self._older = [0, 0, 0] if is_old else self._recent
            self._recent = [0, 0, 0]
            self._since = now
        self._recent[kind] = max(0, self._recent[kind] + count)

    def sums(self, now: int) -> tuple[int, int, int]:
        """Good, failed and ended in the window."""
        age = now - self._since
        if age >= WINDOW_NS:
            return 0, 0, 0
        older = self._older if age < WINDOW_NS // 2 else [0, 0, 0]
        good, failed, ended = (a + b for a, b in zip(self._recent, older, strict=True))
        return good, failed, ended

    def forget(self) -> None:
        """Starts to count anew."""
        self._recent, self._older = [0, 0, 0], [0, 0, 0]


GOOD, FAILED, ENDED = 0, 1, 2


class Breakers:
    """The breakers of one custodian.

    Attributes:
        changed: breakers that changed their state since the last look.
    """

    def __init__(self) -> None:
        self._breakers: dict[Key, Breaker] = {}
        self._of_skill: dict[tuple[str, str], dict[Breaker, None]] = {}
        """Those of one skill in one version, which are compared."""
        self._timed: dict[Breaker, None] = {}
        self.changed: dict[Breaker, None] = {}

    def __iter__(self) -> Iterator[Breaker]:
        return iter(self._breakers.values())

    def of(self, key: Key) -> Breaker:
        """The breaker of a skill at a peer."""
        breaker = self._breakers.get(key)
        if breaker is None:
            if len(self._breakers) >= BREAKERS_LIMIT:
                self._forget_one()
            breaker = self._breakers[key] = Breaker(key)
            self._of_skill.setdefault(key[:2], {})[breaker] = None
        return breaker

    def _forget_one(self) -> None:
        closed = (key for key, each in self._breakers.items() if each.state == CLOSED)
        key = next(closed, None) or next(iter(self._breakers))
        forgotten = self._breakers.pop(key)
        alike = self._of_skill[key[:2]]
        del alike[forgotten]
        if not alike:
            del self._of_skill[key[:2]]
        if forgotten.state != CLOSED:
            self._close(forgotten)

    # Outcomes.

    def succeeded(self, breaker: Breaker, count: int, now: int) -> None:
        """Attempts gave results."""
        breaker.count(GOOD, count, now)
        if breaker.state == HALF_OPEN:
            self._close(breaker)

    def failed(self, breaker: Breaker, has_ended: bool, started: int, now: int) -> None:
        """An attempt failed; `has_ended` where its worker process did with it."""
        breaker.count(ENDED if has_ended else FAILED, 1, now)
        if breaker.state == HALF_OPEN and started >= breaker.half_since:
            if has_ended or self._do_better(breaker, now):
                breaker.pause = min(2 * breaker.pause, PAUSE_MOST_NS)
                self._open(breaker, now)
            else:
                self._half_open(breaker)
        elif breaker.state == CLOSED and self._is_spent(breaker, now):
            self._open(breaker, now)

    def excused(self, breaker: Breaker, now: int) -> None:
        """A worker ended by the fault of its task after all."""
        breaker.count(ENDED, -1, now)

    def faults(self, breaker: Breaker, now: int) -> tuple[int, int]:
        """How many of the outcomes in the window are the peer's fault, and how many there are."""
        return _judged(breaker.sums(now), self._others(breaker, now))

    def all_faults(self, now: int) -> Iterator[tuple[Breaker, int, int]]:
        """The same of every breaker."""
        for alike in self._of_skill.values():
            sums = [each.sums(now) for each in alike]
            bad, total = sum(each[1] + each[2] for each in sums), sum(map(sum, sums))
            for breaker, own in zip(alike, sums, strict=True):
                others = (bad - own[1] - own[2], total - sum(own))
                yield breaker, *_judged(own, others)

    def _others(self, breaker: Breaker, now: int) -> tuple[int, int]:
        """How many of the outcomes at the other peers were no results, and how many there are."""
        bad = total = 0
        for each in self._of_skill.get(breaker.key[:2], ()):
            if each is not breaker:
                good, failed, ended = each.sums(now)
                bad += failed + ended
                total += good + failed + ended
        return bad, total

    def _do_better(self, breaker: Breaker, now: int) -> bool:
        """Whether the others fail less than half as often as one that only fails."""
        return _judged((0, 1, 0), self._others(breaker, now))[0] > 0

    def _is_spent(self, breaker: Breaker, now: int) -> bool:
        faults, total = self.faults(breaker, now)
        return faults >= FAULTS_LEAST and 2 * faults >= total

    # States.

    def _open(self, breaker: Breaker, now: int) -> None:
        breaker.state = OPEN
        breaker.is_barred = True
        breaker.until = now + breaker.pause
        self._timed[breaker] = None
        self.changed[breaker] = None

    def _close(self, breaker: Breaker) -> None:
        breaker.state = CLOSED
        breaker.is_barred = False
        breaker.until = NEVER
        breaker.pause = PAUSE_FIRST_NS
        breaker.forget()
        self._timed.pop(breaker, None)
        self.changed[breaker] = None

    def probing(self, breaker: Breaker, now: int) -> None:
        """A half-open peer has a slot: no other is sought there until its probe has ended."""
        if breaker.state == HALF_OPEN:
            breaker.is_barred = True
            breaker.until = now + PROBE_NS
            self._timed[breaker] = None
            self.changed[breaker] = None

    def wake(self, now: int) -> None:
        """Opens half what was open long enough; lets probes be repeated."""
        for breaker in [each for each in self._timed if each.until <= now]:
            if breaker.state == OPEN:
                breaker.half_since = now
            self._half_open(breaker)

    def _half_open(self, breaker: Breaker) -> None:
        """A probe may go there, or another one."""
        breaker.state = HALF_OPEN
        breaker.is_barred = False
        breaker.until = NEVER
        self._timed.pop(breaker, None)
        self.changed[breaker] = None

    def deadline(self) -> int:
        """When `wake` is wanted."""
        return min((breaker.until for breaker in self._timed), default=NEVER)

    def check(self) -> None:
        """Asserts that what is shut is looked at again."""
        assert len(self._breakers) <= BREAKERS_LIMIT, "breakers-end: too many"
        grouped = sum(map(len, self._of_skill.values()))
        assert grouped == len(self._breakers), "breakers-end: compared and forgotten"
        for breaker in self._breakers.values():
            is_timed = breaker in self._timed
            assert breaker.is_barred == is_timed, "breakers-end: barred without an end"
            assert (breaker.until < NEVER) == is_timed, "breakers-end: an end that never comes"
            assert breaker.state != CLOSED or not is_timed, "breakers-end: closed, and timed"


def _judged(own: tuple[int, int, int], others: tuple[int, int]) -> tuple[int, int]:
    """How many outcomes are a peer's fault, and how many there are.

    Args:
        own: good, failed and ended there.
        others: no results, and all outcomes, elsewhere.
    """
    good, failed, ended = own
    total = good + failed + ended
    if others[1] < COMPARED_LEAST:
        return ended, total
    # Where others fail half as often as this one, or more, it is the tasks.
    is_worse = (failed + ended) * others[1] > 2 * others[0] * total
    return (failed + ended if is_worse else 0), total
