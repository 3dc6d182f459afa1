"""What a bidder has to give: the slots of each skill hosted here, granted, reserved or free.

Invariant, of every host at all times: granted + reserved <= slots.
"""

from collections.abc import Iterator

from protocols.auction.commands import SetPrice
from protocols.auction.messages import UNITS_PER_BID_LIMIT, Invite, Unit
from protocols.auction.parameters import PRICES_LIMIT, TENURE_NS
from protocols.auction.pricing import schedule
from protocols.errors import Refused
from protocols.machine import MICROSECOND_NS

MOST = 2**62
"""Numbers of a price above this one count as it."""


class Host:
    """One skill hosted here.

    Attributes:
        slots: in all.
        granted: promised to issuers under leases.
        reserved: offered in bids that are not decided.
        queued, mean_us: what bids are made from (`ObserveWork`).
        direct: places taken by tasks that hold no slot (`ObserveWork`).
        price: what the skill's agent asks, where it asks for anything.
    """

    __slots__ = (
        "direct",
        "granted",
        "mean_us",
        "price",
        "queued",
        "reserved",
        "skill",
        "slots",
        "version",
    )

    def __init__(self, skill: str, version: str, price: SetPrice | None = None) -> None:
        self.skill = skill
        self.version = version
        self.slots = 0
        self.granted = 0
        self.reserved = 0
        self.queued = 0
        self.mean_us = 0
        self.price = price or SetPrice(skill, version)
        self.direct = 0

    @property
    def unpromised(self) -> int:
        """Slots neither granted nor reserved."""
        return self.slots - self.granted - self.reserved

    @property
    def free(self) -> int:
        """Slots that can be offered: neither promised nor taken by tasks without a slot."""
        return max(0, self.unpromised - self.direct)

    def offer(self, invite: Invite, waited_ns: int, kept: int = 0) -> tuple[Unit, ...]:
        """The schedule for an invitation of an issuer that was turned away so long ago.

        Empty where nothing is free beside what is kept for others. A stream of tasks
        without slots does not shut out an issuer for ever: once those before it should
        have ended, and as long again, its tasks queue beside theirs.
        """
        turn_ns = 2 * self.mean_us * MICROSECOND_NS * (self.queued // self.slots + 1)
        is_its_turn = turn_ns and waited_ns >= max(turn_ns, TENURE_NS)
        free = self.unpromised if is_its_turn else self.free
        offered = min(invite.units, free - kept, UNITS_PER_BID_LIMIT)
        if offered <= 0:
            return ()
        price = self.price
        return schedule(
            offered,
            self.slots,
            self.queued,
            price.duration_us or self.mean_us,
            invite.estimate_us,
            price.cost,
            price.confidence,
        )


class Supply:
    """All skills hosted here, found by name and version, or by name alone."""

    def __init__(self) -> None:
        self._hosts: dict[str, dict[str, Host]] = {}
        self._prices: dict[tuple[str, str], SetPrice] = {}
        """Kept while a skill has no slots for a while, as when its backend is down."""

    def __iter__(self) -> Iterator[Host]:
        for versions in self._hosts.values():
            yield from versions.values()

    def exact(self, skill: str, version: str) -> Host | None:
        """The host of exactly this version."""
        return self._hosts.get(skill, {}).get(version)

    def add(self, skill: str, version: str) -> Host:
        """The host of exactly this version, made where there was none."""
        price = self._prices.get((skill, version))
        return self._hosts.setdefault(skill, {}).setdefault(version, Host(skill, version, price))

    def price(self, command: SetPrice) -> None:
        """Takes what an agent asks. Numbers out of range are brought into it.

        Raises:
            Refused: too many skills have a price.
        """
        key = (command.skill, command.version)
        price = SetPrice(
            *key,
            min(max(command.duration_us, 0), MOST),
            min(max(command.cost, 0), MOST),
            min(max(command.confidence, 0), 1_000_000),
        )
        if price == SetPrice(*key):
            self._prices.pop(key, None)
        elif key not in self._prices and len(self._prices) >= PRICES_LIMIT:
            raise Refused("TooManyPrices", f"{PRICES_LIMIT} skills have a price already")
        else:
            self._prices[key] = price
        host = self.exact(*key)
        if host is not None:
            host.price = price

    def withdraw(self, host: Host) -> None:
        """Forgets a host that has nothing granted or reserved."""
        assert host.granted + host.reserved == 0, "a host is withdrawn when nobody uses it"
        versions = self._hosts[host.skill]
        del versions[host.version]
        if not versions:
            del self._hosts[host.skill]

    def find(self, skill: str, version: str) -> Host | None:
        """The host for a lot; for version "" the one with most room, the latest of equals."""
        versions = self._hosts.get(skill)
        if versions is None:
            return None
        if version:
            return versions.get(version)
        return max(versions.values(), key=lambda host: (host.free, host.version))

    def hosts(self, skill: str, version: str) -> bool:
        """Whether there is a host for such a lot."""
        return self.find(skill, version) is not None
