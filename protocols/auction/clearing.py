"""Clearing: a pure function from what was opened to who won.

The score of a unit is the expected time to a success in microseconds:

    (completion_us * multiplier // 10**6 + delay_us + cost) * 10**6 // max(confidence, 10**4)

`delay_us` is the way to the bidder and back, as the invitation has it. One unit
of account weighs as much as a second; a confidence of c makes 1/c attempts
expected. Each further slot at one bidder counts an eighth of its score more:
peers that are nearly as fast as each other share a lot, where a microsecond of
difference would else give all of it to one of them. All units of all valid bids
are sorted by (that, index, H(seed, bidder)), and the first ones win. Integers
only: every bidder that computes it again gets the same.

Laws (`tests/properties/test_auction_clearing.py`): the order of bids is
irrelevant; min(units, offered) are awarded; a bidder's i-th unit wins only after
its (i-1)-th; improving a bid never loses units; a lower limit for one bidder
never takes units from another.
"""

from collections.abc import Iterable, Mapping

from protocols.auction.messages import (
    UNITS_PER_BID_LIMIT,
    Award,
    Invite,
    Opened,
    Sealed,
    Unit,
    Winner,
)
from protocols.auction.sealing import opens, tie_break

MILLION = 1_000_000
CONFIDENCE_FLOOR = 10_000
"""A confidence below one in a hundred counts as that: nothing is divided by zero."""


SPREAD = 8
"""The i-th slot of one bidder (from 0) counts (SPREAD + i) / SPREAD times its score."""


def score(unit: Unit, multiplier: int, delay_us: int = 0) -> int:
    """The expected microseconds to a success in this slot; less is better."""
    expected = unit.completion_us * multiplier // MILLION + delay_us + unit.cost
    return expected * MILLION // max(unit.confidence, CONFIDENCE_FLOOR)


def scores(schedule: tuple[Unit, ...], multiplier: int, delay_us: int = 0) -> list[int] | None:
    """The scores of a schedule, or None if it is empty, too long, or falls."""
    if not 0 < len(schedule) <= UNITS_PER_BID_LIMIT:
        return None
    if schedule[0] == schedule[-1] and schedule.count(schedule[0]) == len(schedule):
        return [score(schedule[0], multiplier, delay_us)] * len(schedule)
    result = [score(unit, multiplier, delay_us) for unit in schedule]
    if any(result[i] > result[i + 1] for i in range(len(result) - 1)):
        return None
    return result


def clear(
    units: int,
    multipliers: Mapping[bytes, int],
    seed: bytes,
    opened: Iterable[Opened],
    limits: Mapping[bytes, int],
    delays: Mapping[bytes, int] | None = None,
) -> tuple[Winner, ...]:
    """Who wins how many of `units`, sorted by bidder; bidders without a slot are left out.

    Args:
        units: how many slots the lot has.
        multipliers: of every invited bidder, in millionths; others' bids do not count.
        seed: the invitation's tie-break seed.
        opened: reveals that match their commitments, at most one per bidder.
        limits: how many units of a bidder's schedule count, where it forfeited some.
        delays: of the way to a bidder and back, microseconds; none where it is not in it.
    """
    offers: list[tuple[int, int, bytes, bytes]] = []
    for bid in opened:
        multiplier = multipliers.get(bid.bidder)
        if multiplier is None:
            continue
        ranked = scores(bid.schedule, multiplier, (delays or {}).get(bid.bidder, 0))
        if ranked is None:
            continue
        tie = tie_break(seed, bid.bidder)
        count = min(len(ranked), limits.get(bid.bidder, len(ranked)), units)
        offers.extend(
            (ranked[index] * (SPREAD + index) // SPREAD, index, tie, bid.bidder)
            for index in range(count)
        )
    offers.sort()
    won: dict[bytes, int] = {}
    for _, _, _, bidder in offers[:units]:
        won[bidder] = won.get(bidder, 0) + 1
    return tuple(Winner(bidder, won[bidder]) for bidder in sorted(won))


def multipliers_of(invite: Invite) -> dict[bytes, int]:
    """The multiplier of each invited peer."""
    return {candidate.peer: candidate.multiplier for candidate in invite.candidates}


def delays_of(invite: Invite) -> dict[bytes, int]:
    """The way to each invited peer and back, microseconds."""
    return {candidate.peer: candidate.delay_us for candidate in invite.candidates}


def contradiction(invite: Invite, book: tuple[Sealed, ...] | None, award: Award) -> str | None:
    """What is wrong with an award, or None.

    Only what no honest issuer can send, whatever was lost on the way: a missing
    reveal is not among it.

    Args:
        invite: the invitation as this bidder got it.
        book: the book as this bidder got it, None if it never came.
        award: the award to check.
    """
    if book is not None and award.sealed != book:
        return "award changes the book"
    sealed = {line.bidder: line.commitment for line in award.sealed}
    if len(sealed) != len(award.sealed):
        return "book lists a bidder twice"
    multipliers = multipliers_of(invite)
    if any(bidder not in multipliers for bidder in sealed):
        return "book lists a peer that was not invited"
    if len({bid.bidder for bid in award.opened}) != len(award.opened):
        return "award lists a bid twice"
    for bid in award.opened:
        if bid.bidder not in sealed or not opens(award.lot, sealed[bid.bidder], bid):
            return "award holds a bid that does not match the book"
    limits = {line.bidder: line.slots for line in award.limits}
    winners = clear(invite.units, multipliers, invite.seed, award.opened, limits, delays_of(invite))
    if winners != award.winners:
        return "award does not follow from the book"
    return None
