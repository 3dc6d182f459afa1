"""The bidder's side of fairness: whoever is turned away for long gets a part of what others hold.

An issuer that was turned away as busy for `TENURE_NS`, and still asks, makes the
bidder ask whoever holds most here to give some back (`Recall`). What falls free
then is kept for the one that waited, for a moment.
"""

from protocols.auction import messages
from protocols.auction.grants import Grants
from protocols.auction.parameters import CLAIM_NS, TENURE_NS, WAITED_NS
from protocols.auction.supply import Host
from protocols.effects import Effect, Send
from protocols.machine import Instant


class Claim:
    """Slots of a host that were called back for an issuer, which comes first until then."""

    __slots__ = ("again_at", "issuer", "slots", "until")

    def __init__(self, issuer: bytes, slots: int, now: Instant) -> None:
        self.issuer = issuer
        self.slots = slots
        self.until = now + WAITED_NS
        self.again_at = now + TENURE_NS


class Recalls:
    """Which hosts have called slots back, and for whom; one claim a host."""

    def __init__(self, grants: Grants, effects: list[Effect]) -> None:
        self._grants = grants
        self._effects = effects
        self._claims: dict[Host, Claim] = {}

    def turned_away(
        self, host: Host, issuer: bytes, invite: messages.Invite, waited_ns: int, now: Instant
    ) -> None:
        """An issuer finds no room: after its patience, whoever holds most gives some back."""
        claim = self._claims.get(host)
        if waited_ns < TENURE_NS or (claim is not None and now < claim.again_at):
            return
        held: dict[bytes, int] = {issuer: 0}
        for grant in self._grants:
            if grant.host is host:
                held[grant.issuer] = held.get(grant.issuer, 0) + grant.slots
        most = max(held, key=lambda holder: held[holder])
        surplus = held[most] - held[issuer]
        if surplus <= 0:
            return
        count = min(invite.units, max(1, surplus // 2))
        self._claims[host] = Claim(issuer, count, now)
        for grant in reversed(tuple(self._grants)):
            if grant.host is host and grant.issuer == most and count > 0:
                slots = min(count, grant.slots)
                count -= slots
                recall = messages.Recall(grant.lot, slots, invite.held)
                self._effects.append(Send(most, recall))

    def kept_from(self, host: Host, issuer: bytes, now: Instant) -> int:
        """How many slots are kept for somebody else."""
        claim = self._claims.get(host)
        if claim is None or claim.issuer == issuer or now >= claim.until:
            return 0
        return claim.slots

    def told(self, host: Host, issuer: bytes, now: Instant) -> None:
        """The one that waits hears of room: it has a moment to come for it."""
        claim = self._claims.get(host)
        if claim is not None and claim.issuer == issuer:
            claim.until = min(claim.until, now + CLAIM_NS)

    def served(self, host: Host, issuer: bytes) -> None:
        """An issuer is offered something; what it claimed is kept for it no longer."""
        claim = self._claims.get(host)
        if claim is not None and claim.issuer == issuer:
            claim.until = 0

    def forget(self, host: Host) -> None:
        """The skill is not hosted any more."""
        self._claims.pop(host, None)
