"""The issuer's side of fairness: slots given back because others wait (`Recall`).

An issuer gives back so many that it still holds as many as the one that waits
will, as far as it can know; its last one only to somebody that holds none. What
it has given lately counts as held by that one, because several bidders may call
for the same. Tasks that run are run to their end: the slots are owed until then.
"""

from protocols.auction import messages
from protocols.auction.events import SlotsRecalled
from protocols.auction.holdings import Holdings
from protocols.auction.lots import Key
from protocols.auction.parameters import CLAIM_NS, TENURE_NS
from protocols.effects import Effect, Emit
from protocols.machine import Instant


class Giving:
    """What one issuer has given back lately, by skill."""

    def __init__(self, holdings: Holdings, effects: list[Effect]) -> None:
        self._holdings = holdings
        self._effects = effects
        self._given: dict[Key, tuple[int, Instant]] = {}
        self._rests: dict[Key, Instant] = {}

    def on_recall(self, link: bytes, message: messages.Recall, now: Instant) -> None:
        """A bidder wants some slots back for somebody that waits."""
        holding = self._holdings.get(message.lot, link)
        if holding is None:
            return
        key = holding.key
        owed = self._holdings.owed(key)
        own = self._holdings.sum(key) - owed
        given, since = self._given.get(key, (0, now))
        if not owed and now - since >= TENURE_NS:
            given = 0
        theirs = message.held + given
        fair = 1 if own == 1 and not theirs else (own - theirs) // 2
        slots = min(message.slots, fair, holding.slots - holding.owed)
        if slots <= 0:
            return
        holding.owed += slots
        self._given[key] = (given + slots, now)
        self._effects.append(Emit(SlotsRecalled(message.lot, *key[:2], link, slots)))

    def releases(self, lot: str, bidder: bytes, now: Instant) -> None:
        """Slots are about to go back; where they were owed, they are not sought again at once."""
        holding = self._holdings.get(lot, bidder)
        if holding is not None and holding.owed:
            self._rests[holding.key] = now + CLAIM_NS

    def rests_until(self, key: Key) -> Instant:
        """Before this instant no lot is opened for the skill."""
        return self._rests.get(key, 0)

    def forget(self, key: Key) -> None:
        """Nothing of the skill is sought any more."""
        self._given.pop(key, None)
        self._rests.pop(key, None)
