"""The simulator: events in a second of processor time, how much faster than time, idle steps.

Runs are whole: every checker watches, as in a sweep. One process, no sockets, no disk.
Each run is made a few times, and the fastest counts: other work slows even processor time.
"""

import time
from collections.abc import Iterator

from protocols.machine import SECOND_NS
from simulations.load import Load
from simulations.plan import Plan, draw
from simulations.run import Report, Run
from simulations.scenario import SCENARIOS, Scenario
from simulations.world import World
from tests.benchmarks.figures import Figure

SEEDS = range(1, 5)
REPEATS = 3
LIGHT_S = 60
LIGHT = Load(submissions=LIGHT_S, batches=0.0, nested=0.0)
"""One task a second, in the whole mesh."""
SETTLED_NS = 20 * SECOND_NS
IDLE_S = 20
REAL_TIME = {7: ">= 300", 31: ">= 100"}


def run() -> Iterator[Figure]:
    """Yields the figures."""
    yield from _everything()
    for peers, reach in REAL_TIME.items():
        yield _light(peers, reach)
    for peers in (7, 31, 100):
        yield _idle(peers)


def _everything() -> Iterator[Figure]:
    spent, events = 0.0, 0
    for seed in SEEDS:
        report, seconds = _fastest(draw(SCENARIOS["everything-at-once"], seed))
        spent += seconds
        events += report.events
    seeds = len(SEEDS)
    name = "everything-at-once"
    yield Figure(f"{name}: events", events / spent, "1/s", ">= 30,000", f"{events} in all")
    yield Figure(f"{name}: processor time of a seed", spent / seeds, "s", "<= 0.4")


def _light(peers: int, reach: str) -> Figure:
    scenario = Scenario(name="light", peers=peers, duration_s=LIGHT_S, load=LIGHT)
    report, spent = _fastest(Plan(scenario, 1, ()))
    note = f"{report.virtual_seconds:.0f} s, {report.events} events, {report.tasks} tasks"
    name = f"{peers} peers, one task a second: faster than time"
    return Figure(name, report.virtual_seconds / spent, "x", reach, note)


def _fastest(plan: Plan) -> tuple[Report, float]:
    reports, spent = [], []
    for _ in range(REPEATS):
        begun = time.process_time()
        reports.append(Run(plan).execute())
        spent.append(time.process_time() - begun)
    return reports[0], min(spent)


def _idle(peers: int) -> Figure:
    world = World(1, peers)
    for peer in world.peers:
        peer.start()
    world.run(SETTLED_NS)
    before = sum(peer.steps for peer in world.peers)
    begun = time.process_time()
    world.run(IDLE_S * SECOND_NS)
    spent = time.process_time() - begun
    steps = (sum(peer.steps for peer in world.peers) - before) / peers / IDLE_S
    note = f"{IDLE_S / spent:.0f} times faster than time"
    return Figure(f"{peers} idle peers: steps of each", steps, "1/s", "<= 8", note)
