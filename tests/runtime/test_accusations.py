"""However often a liar is caught, it fills no disk."""

from mesh.core.outward import Accuse
from mesh.runtime import accusations
from mesh.runtime.accusations import (
    ACCUSED_LIMIT,
    OFFENCE_LIMIT,
    TOLD_PER_WINDOW,
    WINDOW_NS,
    Accusations,
)

LIAR = b"l" * 32


def test_a_flood_of_offences_is_told_a_few_times_and_counted() -> None:
    now = [0]
    told = Accusations(lambda: now[0])
    events = [told.event(Accuse(LIAR, "malformed message", ())) for _ in range(1000)]
    assert [event is not None for event in events].count(True) == TOLD_PER_WINDOW
    assert told.event(Accuse(b"o" * 32, "another peer", ())) is not None
    now[0] = WINDOW_NS
    later = told.event(Accuse(LIAR, "again", ()))
    assert later is not None
    assert later["unsaid"] == 1000 - TOLD_PER_WINDOW


def test_a_long_offence_is_cut() -> None:
    event = Accusations(lambda: 0).event(Accuse(LIAR, "x" * 100_000, ()))
    assert event is not None
    assert len(event["offence"]) == OFFENCE_LIMIT


def test_the_table_of_the_accused_is_bounded() -> None:
    told = Accusations(lambda: 0)
    for number in range(ACCUSED_LIMIT + 10):
        assert told.event(Accuse(number.to_bytes(32, "big"), "x", ())) is not None
    assert len(told._accused) == accusations.ACCUSED_LIMIT  # noqa: SLF001  # the bound itself
