"""What a bidder asks: the marginal schedule of its free slots.

With q tasks queued, C slots and m microseconds a task, the i-th further task
has q + i others before it, so it ends in round (q + i) // C + 1.
"""

from protocols.auction.messages import Unit
from protocols.auction.parameters import ESTIMATE_UNKNOWN_US


def schedule(
    offered: int,
    slots: int,
    queued: int,
    mean_us: int,
    estimate_us: int,
    cost: int,
    confidence: int,
) -> tuple[Unit, ...]:
    """The supply schedule of `offered` units; scores never fall along it.

    Args:
        offered: how many slots are offered.
        slots: how many the host has in all, at least `offered`.
        queued: tasks assigned here and not finished.
        mean_us: duration of a task, as its agent says or as observed; 0 where neither is known.
        estimate_us: the issuer's expectation, used without an observation; 0 if it has none.
        cost: of one task, millionths of the unit of account.
        confidence: millionths.
    """
    assert 0 < offered <= slots, "a bid offers some of the slots that there are"
    mean = mean_us or estimate_us or ESTIMATE_UNKNOWN_US
    rounds: dict[int, Unit] = {}
    units = []
    for index in range(offered):
        number = (queued + index) // slots + 1
        unit = rounds.get(number)
        if unit is None:
            unit = rounds[number] = Unit(min(mean * number, 2**62), cost, confidence)
        units.append(unit)
    return tuple(units)
