"""Whom an issuer invites to a lot, and what the invitation says.

How many depends on what is at stake. A single slot for short tasks is offered to one
other peer beside the issuer (a *pair*): asking more would take longer than the tasks.
Whatever fell short before, or lasts longer, or is not known yet, goes to all candidates.
"""

from collections.abc import Callable

import msgspec

from protocols.auction import messages
from protocols.auction.candidates import Candidates
from protocols.auction.holdings import Holdings
from protocols.auction.lot_ids import lot_id
from protocols.auction.lots import Demand, Lot
from protocols.auction.parameters import AuctionParameters
from protocols.auction.sealing import SEED_BYTES
from protocols.auction.standing import Standings
from protocols.machine import MICROSECOND_NS, Instant, Now

PAIR = 2


class Inviting:
    """Draws up lots for one issuer."""

    def __init__(
        self,
        me: bytes,
        boot: int,
        parameters: AuctionParameters,
        candidates: Candidates,
        entropy: Callable[[int], bytes],
        hosts: Callable[[str, str], bool],
        standings: Standings,
        holdings: Holdings,
    ) -> None:
        """Takes whom there is to invite; `hosts` says whether the issuer has a skill itself."""
        self._me = me
        self._boot = boot
        self._parameters = parameters
        self._candidates = candidates
        self._entropy = entropy
        self._hosts = hosts
        self._standings = standings
        self._holdings = holdings
        self._counter = 0

    def lot(self, demand: Demand, units: int, now: Now) -> Lot | None:
        """A new lot for a demand, or None where nobody can be invited."""
        most = self._parameters.candidates
        is_brief = 0 < demand.estimate_us <= self._parameters.pair_us
        if units == 1 and is_brief and not demand.failures:
            most = min(most, PAIR)
        invited = self._invited(demand, most, now.monotonic_ns)
        if not invited:
            return None
        self._counter += 1
        invite = messages.Invite(
            lot_id(self._me, self._boot, self._counter),
            demand.key[0],
            demand.key[1],
            units,
            demand.estimate_us,
            self._parameters.window_ns // MICROSECOND_NS,
            self._parameters.lease_ns // MICROSECOND_NS,
            self._entropy(SEED_BYTES),
            tuple(self._candidate(peer, demand.skill) for peer in invited),
            self._holdings.sum(demand.key),
        )
        return Lot(self._me, invite, demand.key, demand.trace, now)

    def widen(self, lot: Lot, demand: Demand, now: Instant) -> None:
        """Invites as many to a pair as there may be: its issuer has no bid of its own to make.

        Nobody else has heard of the lot yet.
        """
        room = self._parameters.candidates - 1
        for avoid in self._avoided(demand, now):
            others = self._choose(demand, room, now, avoid)
            if others:
                invited = tuple(self._candidate(peer, demand.skill) for peer in (self._me, *others))
                lot.put(self._me, msgspec.structs.replace(lot.invite, candidates=invited))
                return

    def _candidate(self, peer: bytes, skill: tuple[str, str]) -> messages.Candidate:
        delay_us = 0 if peer == self._me else self._parameters.link_us
        return messages.Candidate(peer, self._standings.of(peer).multiplier(skill), delay_us)

    def _choose(
        self, demand: Demand, room: int, now: Instant, avoid: tuple[bytes, ...]
    ) -> list[bytes]:
        return self._candidates.choose(
            demand.skill, room, self._standings, now, avoid, demand.requires
        )

    def _invited(self, demand: Demand, most: int, now: Instant) -> list[bytes]:
        for avoid in self._avoided(demand, now):
            is_mine = self._hosts(*demand.skill) and self._me not in avoid
            is_mine = is_mine and not self._candidates.is_barred(demand.skill, self._me)
            is_mine = is_mine and self._candidates.has(self._me, demand.requires)
            mine = [self._me] if is_mine else []
            room = most - len(mine)
            others = self._choose(demand, room, now, avoid)
            if mine or others:
                return mine + others
        return []

    def _avoided(self, demand: Demand, now: Instant) -> tuple[tuple[bytes, ...], ...]:
        """Whom to leave out, and nobody where that leaves nobody."""
        is_choosy = demand.avoid and now < demand.avoid_until
        return (demand.avoid, ()) if is_choosy else ((),)
