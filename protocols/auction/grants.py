"""The slots that a bidder has granted."""

from collections.abc import Iterator

from protocols.auction.agenda import Agenda
from protocols.auction.bids import Grant
from protocols.auction.events import SlotsGranted
from protocols.auction.parameters import GRANTS_LIMIT
from protocols.auction.supply import Host
from protocols.effects import Effect, Emit
from protocols.machine import Instant, Now


class Grants:
    """Every grant of this bidder, by lot. A grant's host counts it; events say what is left."""

    def __init__(self, effects: list[Effect]) -> None:
        self._effects = effects
        self._grants: dict[str, Grant] = {}
        self._leases: Agenda[str] = Agenda()

    def __len__(self) -> int:
        return len(self._grants)

    def __iter__(self) -> Iterator[Grant]:
        return iter(tuple(self._grants.values()))

    def __contains__(self, lot: str) -> bool:
        return lot in self._grants

    def of(self, lot: str, issuer: bytes) -> Grant | None:
        """The grant of a lot, if it is this issuer's."""
        grant = self._grants.get(lot)
        return grant if grant is not None and grant.issuer == issuer else None

    def has_room(self) -> bool:
        """Whether another lot can be served."""
        return len(self._grants) < GRANTS_LIMIT

    def give(
        self, lot: str, issuer: bytes, host: Host, slots: int, lease_ns: int, now: Now
    ) -> None:
        """Grants slots, beside those of the same lot that are granted already."""
        grant = self._grants.get(lot)
        if grant is None:
            grant = self._grants[lot] = Grant(lot, issuer, host, lease_ns)
        grant.slots += slots
        host.granted += slots
        self.extend(grant, now)
        self._tell(grant)

    def extend(self, grant: Grant, now: Now) -> None:
        """The lease starts again."""
        self._leases.put(grant.lot, now.monotonic_ns + grant.lease_ns)

    def keep(self, grant: Grant, slots: int) -> int:
        """Cuts a grant to at most so many slots; how many that took away."""
        lost = grant.slots - min(grant.slots, slots)
        if not lost:
            return 0
        grant.slots -= lost
        grant.host.granted -= lost
        if not grant.slots:
            del self._grants[grant.lot]
            self._leases.drop(grant.lot)
        self._tell(grant)
        return lost

    def expired(self, now: Now) -> Iterator[Grant]:
        """The grants whose lease has run out."""
        for lot in self._leases.due(now.monotonic_ns):
            yield self._grants[lot]

    def deadline(self) -> Instant | None:
        """When the next lease runs out."""
        return self._leases.next()

    def _tell(self, grant: Grant) -> None:
        host = grant.host
        self._effects.append(
            Emit(SlotsGranted(grant.lot, grant.issuer, host.skill, host.version, grant.slots))
        )

    def check(self) -> None:
        """Asserts that every grant has slots and a lease."""
        assert len(self._grants) <= GRANTS_LIMIT, "bounded-auction-tables: grants"
        assert len(self._leases) == len(self._grants), "grants-are-leased: leases differ"
        for lot, grant in self._grants.items():
            assert grant.slots > 0, "grants-are-leased: an empty grant is kept"
            assert lot in self._leases, "grants-are-leased: a grant without lease"
