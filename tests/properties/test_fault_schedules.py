"""Any short schedule of faults: no invariant breaks. What fails shrinks to the fewest faults."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from simulations.plan import Plan
from simulations.run import Run
from simulations.schedule import Fault, Restore
from tests.simulation.schedules import SMALL, faults


@settings(max_examples=10)
@example(schedule=[Restore(at_ms=0, peer="peer-1", age_ms=1, down_ms=1)], seed=0)
@given(schedule=st.lists(faults(), max_size=5), seed=st.integers(0, 2**16))
def test_no_schedule_breaks_an_invariant(schedule: list[Fault], seed: int) -> None:
    ordered = tuple(sorted(schedule, key=lambda fault: fault.at_ms))
    Run(Plan(SMALL, seed, ordered)).execute()
