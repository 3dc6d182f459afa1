"""The desks of one custodian, and what they ask of the auction.

Demand is stated per skill and not per task: again when it grows, and lower when
slots have been idle for a while. A desk for one peer (``direct``), or for
``least_loaded``, has slots of its own, and asks nobody; one for ``board`` offers
its work there.
"""

import random
from collections.abc import Iterable

from protocols.tasks.attempts import Attempts
from protocols.tasks.breakers import HALF_OPEN, OPEN, Breakers
from protocols.tasks.breakers import Key as BreakerKey
from protocols.tasks.catalogue import Catalogue
from protocols.tasks.commands import ClaimSeen, SlotsGone, SlotsHeld, SlotsRecalled
from protocols.tasks.dispatch import DIRECT_SLOTS, Desk, Key, Slots
from protocols.tasks.events import ClaimsDecided, SlotsReturned, SlotsWanted
from protocols.tasks.lifecycle import SETTLED, WAITING
from protocols.tasks.offering import OfferedDesk
from protocols.tasks.outbox import Outbox
from protocols.tasks.parameters import NEVER, TaskParameters
from protocols.tasks.spreading import SpreadDesk
from protocols.tasks.task import Envelope, Task

LEAST_LOADED, BOARD = "least_loaded", "board"
DECISIONS_LIMIT = 1024
"""Decisions on claims that are remembered, for `mesh why`."""
DESKS_LIMIT = 1024
"""Desks beyond which empty ones are forgotten, with what is known of their peers' pace."""


class Desks:
    """Desks by skill, version and peer."""

    def __init__(
        self,
        me: bytes,
        parameters: TaskParameters,
        outbox: Outbox,
        breakers: Breakers,
        catalogue: Catalogue,
        rng: random.Random,
    ) -> None:
        self._me = me
        self._parameters = parameters
        self._outbox = outbox
        self._breakers = breakers
        self._catalogue = catalogue
        self._rng = rng
        self._desks: dict[Key, Desk] = {}
        self._timed: dict[Desk, None] = {}
        """Desks that want to be looked at again."""
        self.decisions: dict[str, ClaimsDecided] = {}
        """What came of claims, by the lots that attempts name; the oldest make room."""

    def of(self, envelope: Envelope) -> Desk:
        """The desk for tasks with this envelope."""
        strategy = envelope.strategy
        placing = strategy if strategy in (LEAST_LOADED, BOARD) else ""
        return self.get(envelope.skill, envelope.version, envelope.to, envelope.requires, placing)

    def get(
        self,
        skill: str,
        version: str,
        to: bytes,
        requires: tuple[str, ...] = (),
        placing: str = "",
    ) -> Desk:
        """The desk for a skill, perhaps at one peer, or at peers with certain labels."""
        key = (skill, version, to, requires, placing)
        desk = self._desks.get(key)
        if desk is None:
            if len(self._desks) >= DESKS_LIMIT:
                self._forget_empty()
            desk = self._desks[key] = self._make(key)
        return desk

    def _make(self, key: Key) -> Desk:
        target_us, breakers = self._parameters.target_us, self._breakers
        if key[4] == BOARD:
            parameters, catalogue = self._parameters, self._catalogue
            return OfferedDesk(
                key, self._me, parameters, breakers, catalogue, self._rng, self._decided
            )
        if key[4] == LEAST_LOADED:
            return SpreadDesk(key, target_us, breakers, self._catalogue, self._rng)
        return Desk(key, target_us, breakers)

    def spread(self) -> list[Desk]:
        """Desks with work that no auction places: who can take it may have changed."""
        return [desk for desk in self._desks.values() if desk.placing and len(desk.line)]

    def like(self, task: Task) -> Desk:
        """The desk for a task whose own may have been forgotten."""
        return self.get(*task.desk.key)

    def _forget_empty(self) -> None:
        for key, desk in tuple(self._desks.items()):
            if desk.is_empty and desk not in self._timed and not desk.asked:
                del self._desks[key]

    def all(self) -> list[Desk]:
        """Every desk."""
        return list(self._desks.values())

    # Slots come and go.

    def held(self, command: SlotsHeld, now: int) -> Desk:
        """The auction won slots. Of a peer that has to prove itself, one is enough."""
        desk = self.get(command.skill, command.version, b"", command.requires)
        if command.slots > 0:
            slots = desk.hold(command.lot, command.peer, command.slots, command.completion_us)
            breaker = slots.breaker
            if breaker.state == HALF_OPEN:
                others = (each for each in desk.slots.values() if each is not slots)
                is_first = all(each.peer != command.peer for each in others)
                is_probe = is_first and not breaker.is_barred
                self._breakers.probing(breaker, now)
                if slots.count > is_probe:
                    self._give_back(desk, slots, slots.count - is_probe)
            elif breaker.state == OPEN:
                self._give_back(desk, slots, slots.count)
        return desk

    def shut(self, key: BreakerKey) -> list[Desk]:
        """A breaker opened: its slots go back, and what runs there is run to its end."""
        skill, version, peer = key
        found = [
            desk
            for desk in self._desks.values()
            if desk.key[:3] == (skill, version, b"") and not desk.has_no_lots
        ]
        for desk in found:
            for slots in [each for each in desk.slots.values() if each.peer == peer]:
                self._give_back(desk, slots, slots.count)
        return found

    def gone(self, command: SlotsGone) -> None:
        """Slots are lost; what runs there goes on unless its peer is gone."""
        for desk in self._desks.values():
            slots = desk.slots.get((command.lot, command.peer))
            if slots is not None and command.slots > 0 and not desk.has_no_lots:
                desk.drop(slots, min(command.slots, slots.count))
                return

    def recalled(self, command: SlotsRecalled) -> Desk | None:
        """Others wait: slots are to be given back when what runs there has ended."""
        for desk in self._desks.values():
            slots = desk.slots.get((command.lot, command.peer))
            if slots is not None and command.slots > 0 and not desk.has_no_lots:
                slots.owed = min(slots.count, slots.owed + command.slots)
                desk.owing[slots] = None
                return desk
        return None

    def _pay(self, desk: Desk) -> None:
        """Gives back the slots that are owed, as far as they have fallen free."""
        for slots in tuple(desk.owing):
            if slots.has_let_go:
                self._give_back(desk, slots, slots.owed)

    def give_up(self, desk: Desk, lot: str, peer: bytes) -> None:
        """The worker's peer would not serve these slots."""
        slots = desk.slots.get((lot, peer))
        if slots is not None and not desk.has_no_lots:
            self._give_back(desk, slots, slots.count)

    def peer_up(self, peer: bytes) -> list[Desk]:
        """Direct desks for the peer have their slots again; returns those with work for it."""
        found = [desk for desk in self._desks.values() if desk.to == peer and len(desk.line)]
        for desk in found:
            self.open_direct(desk)
        return [*found, *self.spread()]

    def peer_down(self, peer: bytes) -> None:
        """All slots at a peer are gone."""
        for desk in self._desks.values():
            for slots in [each for each in desk.slots.values() if each.peer == peer]:
                desk.drop(slots, slots.count)
            desk.paces.pop(peer, None)

    def loaded(self, peer: bytes) -> None:
        """A peer said what it has to do: what is out there now is part of that."""
        for desk in self._desks.values():
            slots = desk.slots.get(("", peer)) if desk.placing == LEAST_LOADED else None
            if slots is not None:
                slots.told = len(slots.running)

    def open_direct(self, desk: Desk) -> None:
        """Gives a direct desk its slots, if it has none."""
        if desk.to and not desk.slots:
            desk.hold("", desk.to, DIRECT_SLOTS, 0)

    # Demand.

    def settle_demand(self, desk: Desk, now: int) -> None:
        """States a demand that grew, and begins to watch for idle slots."""
        if desk.has_no_lots:
            if isinstance(desk, OfferedDesk):
                self._offer(desk, now)
            self._time(desk)
            return
        if desk.owing:
            self._pay(desk)
        wanted = desk.demand(self._parameters.units)
        if wanted > desk.asked:
            self._ask(desk, wanted, desk.avoided(now))
        if desk.check_at == NEVER and (wanted < desk.asked or desk.has_idle()):
            desk.check_at = now + self._parameters.idle_ns
        self._time(desk)

    def claimed(self, claim: ClaimSeen, now: int) -> Desk | None:
        """A peer claims work of one of these desks; returns that desk."""
        for desk in self._desks.values():
            if isinstance(desk, OfferedDesk) and desk.tag == claim.tag:
                desk.claimed(claim, now)
                return desk
        return None

    def _decided(self, decided: ClaimsDecided) -> None:
        self.decisions[decided.lot] = decided
        if len(self.decisions) > DECISIONS_LIMIT:
            del self.decisions[next(iter(self.decisions))]
        self._outbox.emit(decided)

    def _offer(self, desk: OfferedDesk, now: int) -> None:
        posted = desk.offer(now)
        if posted is not None:
            self._outbox.emit(posted)

    def _ask(self, desk: Desk, units: int, avoid: tuple[bytes, ...] = ()) -> None:
        desk.asked = units
        trace = ""
        if units and len(desk.line):
            first = desk.line.first()
            trace = first.envelope.traceparent if first is not None else ""
        wanted = SlotsWanted(
            desk.skill, desk.version, units, desk.estimate_us(), trace[3:35], avoid, desk.requires
        )
        self._outbox.emit(wanted)

    def _give_back(self, desk: Desk, slots: Slots, count: int) -> None:
        desk.drop(slots, count)
        self._outbox.emit(SlotsReturned(slots.lot, slots.peer, count))

    def vacate(self, slots: Slots, count: int) -> None:
        """Parked attempts left these slots, and there is nothing to put there."""
        desk = slots.desk
        idle = slots.count - len(slots.running)
        count = min(count, idle)
        if desk.has_no_lots or count <= 0 or desk.slots.get((slots.lot, slots.peer)) is not slots:
            return
        # The lower demand goes first, or the auction would seek at once what comes back.
        self._ask(desk, min(desk.asked, max(desk.demand(self._parameters.units), 0)))
        self._give_back(desk, slots, count)

    def wake(self, now: int, attempts: Attempts) -> None:
        """Looks again at desks whose time has come."""
        for desk in tuple(self._timed):
            if desk.again_at <= now:
                desk.again_at = NEVER
                attempts.dirty[desk] = None
            if desk.check_at <= now:
                desk.check_at = NEVER
                self._look_for_idle(desk, now)
                attempts.dirty[desk] = None

    def _look_for_idle(self, desk: Desk, now: int) -> None:
        """Returns the slots that nothing was put into since the last look."""
        if len(desk.line) and not desk.is_saturated:
            for slots in desk.slots.values():
                slots.peak = slots.count
            return
        idle = [(slots, slots.count - slots.peak) for slots in desk.slots.values()]
        used = sum(slots.peak for slots in desk.slots.values())
        wanted = min(desk.asked, max(desk.demand(self._parameters.units), used))
        if wanted < desk.asked:
            self._ask(desk, wanted)
        for slots, count in idle:
            slots.peak = min(slots.count, len(slots.running))
            if count > 0:
                self._give_back(desk, slots, count)

    def _time(self, desk: Desk) -> None:
        if min(desk.check_at, desk.again_at) < NEVER:
            self._timed[desk] = None
        else:
            self._timed.pop(desk, None)

    def deadline(self) -> int:
        """When `wake` is wanted."""
        least = NEVER
        for desk in self._timed:
            least = min(least, desk.check_at, desk.again_at)
        return least

    def check(self, tasks: Iterable[Task]) -> None:
        """Asserts that every desk counts right what these tasks, all there are, do at it."""
        desks = self.all()
        parked, running, delayed, aside = (dict.fromkeys(desks, 0) for _ in range(4))
        for task in tasks:
            if task.state in SETTLED:
                continue
            desk = task.desk
            assert desk in delayed, "one-place: at a desk that is forgotten"
            if task.current is not None:
                (parked if task.current.is_parked else running)[desk] += 1
            elif task.state == WAITING:
                delayed[desk] += 1
            aside[desk] += task.is_aside
        for desk in desks:
            desk.check()
            assert desk.parked == parked[desk], "slots-add-up: parked tasks"
            assert desk.running == running[desk], "slots-add-up: running tasks"
            assert desk.delayed == delayed[desk], "one-place: waiting tasks"
            assert desk.aside == aside[desk], "one-place: tasks that wait for a key"
