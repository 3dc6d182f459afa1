"""Issuers that a bidder turned away: who they are, since when, and who is to be told of room."""

from protocols.auction import messages
from protocols.auction.parameters import VACANCIES_PER_STEP, WAITED_NS, WAITING_LIMIT
from protocols.auction.recalls import Recalls
from protocols.auction.supply import Supply
from protocols.effects import Effect, Send
from protocols.machine import Instant

Ask = tuple[bytes, str, str]
"""An issuer, and the skill and version of its lot."""


class Waiting:
    """Issuers that were told `busy`, and will be told when there is room."""

    def __init__(self, recalls: Recalls, effects: list[Effect]) -> None:
        self._recalls = recalls
        self._effects = effects
        self._untold: dict[Ask, None] = {}
        self._spans: dict[Ask, tuple[Instant, Instant]] = {}
        """When each was turned away first, and last, since it was served."""

    def __len__(self) -> int:
        return len(self._untold)

    def add(self, ask: Ask, now: Instant) -> None:
        """Remembers who was turned away; the longest wait is forgotten when there are too many."""
        first = now - self.waited(ask, now)
        for table in (self._untold, self._spans):
            if ask not in table and len(table) >= WAITING_LIMIT:
                del table[next(iter(table))]
        self._untold[ask] = None
        self._spans[ask] = (first, now)

    def waited(self, ask: Ask, now: Instant) -> int:
        """Nanoseconds since the issuer was turned away first, as long as it goes on asking."""
        first, last = self._spans.get(ask, (now, now))
        return now - first if now - last <= WAITED_NS else 0

    def served(self, ask: Ask) -> None:
        """The issuer has asked again, and is offered something."""
        self._untold.pop(ask, None)
        self._spans.pop(ask, None)

    def forget(self, issuer: bytes) -> None:
        """The issuer is gone."""
        for ask in [ask for ask in self._spans if ask[0] == issuer]:
            self.served(ask)

    def tell(self, supply: Supply, now: Instant) -> None:
        """Tells those who waited longest that there is room, where there is."""
        told = []
        for ask in self._untold:
            issuer, skill, version = ask
            host = supply.find(skill, version)
            if host is not None and host.free > self._recalls.kept_from(host, issuer, now):
                told.append(ask)
                self._recalls.told(host, issuer, now)
                vacancy = messages.Vacancy(skill, version, host.free)
                self._effects.append(Send(issuer, vacancy))
                if len(told) == VACANCIES_PER_STEP:
                    break
        for ask in told:
            del self._untold[ask]

    def check(self) -> None:
        """Asserts the limit."""
        assert len(self._spans) <= WAITING_LIMIT, "bounded-auction-tables: waiting"
        assert self._untold.keys() <= self._spans.keys(), "bounded-auction-tables: told nobody"
