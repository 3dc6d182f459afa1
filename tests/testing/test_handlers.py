"""Real handlers in a simulated mesh end as they do in a real one, in virtual time."""

import time

import pytest

from mesh.agent import Agent, Context, Refused, TaskFailed
from mesh.testing import LocalMesh
from tests.client import stations
from tests.testing.agents import diary, double, everybody, slow_double, worker


def local_mesh(peers: int = 2, seed: int = 3) -> LocalMesh:
    return LocalMesh(peers=peers, agents=everybody, seed=seed)


def test_calls_submissions_and_maps_are_those_of_a_real_client() -> None:
    with local_mesh(peers=3) as mesh:
        client = mesh.client
        assert client.call("double", n=4) == 8
        assert client.call(double, n=5) == 10
        assert client.submit("slow_double", n=6).result() == 12
        assert list(client.map("double", ({"n": n} for n in range(300)))) == [*range(0, 600, 2)]
        ends = dict(client.map_unordered(slow_double, [{"n": n} for n in range(5)]))
        assert [ends[n].value for n in range(5)] == [0, 2, 4, 6, 8]
        assert [peer["alive"] for peer in client.peers() if "alive" in peer] == [3]
        assert client.home == "peer-1"


def test_a_handler_that_calls_by_function_has_values_of_its_type() -> None:
    with LocalMesh(peers=2, agents=stations.agent, seed=1) as mesh:
        assert mesh.client.call(stations.highest, places=["Brest", "Dover"]) == 4.5


def test_refusals_are_those_of_a_real_mesh() -> None:
    with local_mesh(peers=1) as mesh:
        with pytest.raises(Refused, match="UnknownSkill"):
            mesh.client.submit("nothing")
        with pytest.raises(Refused, match="InvalidInput"):
            mesh.client.submit("double", n="four")


@pytest.mark.parametrize("skill", ["depth", "depth_sync"])
def test_nested_calls_give_their_slots_back(skill: str) -> None:
    with local_mesh() as mesh:
        assert mesh.client.call(skill, levels=6) == 6


def test_branches_run_side_by_side_in_virtual_time() -> None:
    with local_mesh() as mesh:
        assert mesh.client.call("total", numbers=[1, 2, 3, 4]) == 20
        assert 1 <= mesh.now < 1.2
        handle = mesh.client.submit("gathers")
        assert handle.result() == {"results": [2, None, 10], "missing": [1]}
        assert handle.outcome().incomplete


def test_errors_are_retried_or_not_as_in_a_real_mesh() -> None:
    with local_mesh() as mesh:
        assert mesh.client.call("flaky") == 3
        assert diary == ["attempt 1", "attempt 2", "attempt 3"]
        with pytest.raises(TaskFailed, match="NoRetry: never") as failed:
            mesh.client.call("hopeless")
        assert failed.value.attempts == 1
        with pytest.raises(TaskFailed, match="ValueError: oh"):
            mesh.client.call("broken", text="oh")
        assert mesh.client.call("catches") == "ValueError"


def test_an_hour_passes_in_no_time() -> None:
    begun = time.process_time()
    with LocalMesh(peers=1, agents=worker, seed=1) as mesh:
        handle = mesh.client.submit("hangs")
        with pytest.raises(TimeoutError):
            handle.result(timeout=3500)
        assert mesh.now == pytest.approx(3500, abs=1)
        with pytest.raises(TaskFailed, match="timeout"):
            handle.result()
        assert mesh.now == pytest.approx(3600, abs=1)
        (line,) = mesh.logs
        assert (line.text, line.fields) == ("hanging", {"size": 3})
    assert time.process_time() - begun < 20


def test_a_deadline_ends_a_task_and_what_it_called() -> None:
    with local_mesh() as mesh:
        hurried = mesh.client.options(deadline=0.5)
        with pytest.raises(TaskFailed, match="expired"):
            hurried.call("total", numbers=[1, 2])
        mesh.run(3)
        assert mesh.running() == []
        assert sorted(note for note in diary if "cancelled" in note) == [
            "cancelled 1",
            "cancelled 2",
        ]
        times = mesh.client.options(timeout=10).call("knows")
        assert times["before"] == pytest.approx(10, abs=0.1)
        assert times["after"] == pytest.approx(8, abs=0.1)


def test_the_clock_of_a_handlers_deadline_is_virtual() -> None:
    agent = Agent("late")

    @agent.skill(timeout=60)
    async def late(ctx: Context) -> list[float]:
        assert ctx.deadline is not None
        before = ctx.deadline - time.monotonic()
        await ctx.sleep(50)
        return [before, ctx.deadline - time.monotonic()]

    with LocalMesh(peers=1, agents=agent, seed=1) as mesh:
        assert mesh.client.call("late") == [pytest.approx(60, abs=1), pytest.approx(10, abs=1)]


def test_a_cancelled_task_stops_its_handler_and_its_children() -> None:
    with local_mesh() as mesh:
        handle = mesh.client.submit("total", numbers=[7])
        mesh.run(0.5)
        assert diary == ["begin 7"]
        assert handle.cancel() == "cancelled"
        mesh.run(0.1)
        assert diary == ["begin 7", "cancelled 7", "finally 7"]


def test_a_trio_handler_is_cancelled_by_trios_own_error() -> None:
    with local_mesh() as mesh:
        with pytest.raises(TaskFailed, match="timeout"):
            mesh.client.options(timeout=5).call("waits_under_trio")
        assert diary == ["trio.Cancelled"]


def test_plain_handlers_that_wait_are_told_to_stop() -> None:
    with local_mesh() as mesh:
        impatient = mesh.client.options(timeout=5, retries=0)
        for skill in ("polls", "sleeps_in_a_thread"):
            with pytest.raises(TaskFailed, match="timeout"):
                impatient.call(skill)
        assert diary == ["polls", "stopped", "Cancelled", "sleeps_in_a_thread"]


def test_a_handler_that_does_not_stop_is_killed_with_its_process() -> None:
    with LocalMesh(peers=1, agents=everybody, seed=2) as mesh:
        bystander = mesh.client.submit("slow_double", n=1, seconds=30)
        with pytest.raises(TaskFailed, match="Killed"):
            mesh.client.options(timeout=5).call("deaf")
        assert mesh.now == pytest.approx(7, abs=0.5)
        assert bystander.result() == 2
        assert bystander.outcome().attempts == 2  # its process was the deaf one's
        assert diary.count("begin 1") == 2


def test_work_takes_the_virtual_time_that_the_test_states() -> None:
    with LocalMesh(
        peers=1, agents=worker, seed=4, takes={"double": 5, slow_double: (1, 2)}
    ) as mesh:
        mesh.client.call("double", n=1)
        assert mesh.now == pytest.approx(5, abs=0.1)
        mesh.slow("peer-1", 10)
        mesh.client.call("double", n=1)
        assert mesh.now == pytest.approx(55, abs=0.2)
        mesh.client.call("slow_double", n=1)
        assert 66 < mesh.now < 77


def test_each_peer_runs_the_agents_that_it_was_given() -> None:
    other = Agent("other")

    @other.skill
    def where(ctx: Context) -> str:
        return "there"

    agents: dict[str, Agent | list[Agent]] = {"peer-3": other, "peer-2": [worker]}
    with LocalMesh(peers=3, agents=agents, seed=5) as mesh:
        outcome = mesh.client.submit("where").outcome()
        assert (outcome.value, outcome.producer) == ("there", "peer-3")
        with pytest.raises(Refused, match="hosts no where"):
            mesh.client.options(to="peer-2").submit("where")


def test_several_versions_of_a_skill_live_side_by_side() -> None:
    old = Agent("old")

    @old.skill(name="answer", version="1")
    def first() -> int:
        return 41

    @old.skill(name="answer", version="2")
    def second() -> int:
        return 42

    with LocalMesh(peers=2, agents=old, seed=6) as mesh:
        assert mesh.client.call("answer") == 42
        assert mesh.client.call("answer@1") == 41


@pytest.mark.parametrize(
    ("agents", "takes", "told"),
    [
        ({"peer-9": worker}, 0, "no 'peer-9'"),
        ([worker, worker], 0, "two agents"),
        (worker, {"nothing": 1}, "'nothing'"),
    ],
)
def test_a_mesh_that_makes_no_sense_is_refused(agents: object, takes: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        LocalMesh(agents=agents, takes=takes)  # type: ignore[arg-type]  # on purpose


def test_a_verdict_of_the_test_ends_the_test_and_not_the_task() -> None:
    judge = Agent("judge")

    @judge.skill
    async def judges(ctx: Context) -> None:
        await ctx.sleep(1)
        pytest.fail("seen from inside")

    with (
        pytest.raises(pytest.fail.Exception, match="seen from inside"),
        LocalMesh(agents=judge) as mesh,
    ):
        mesh.client.call("judges")


def test_an_exclusive_task_waits_for_electors_until_its_deadline_and_says_so() -> None:
    with local_mesh() as mesh:
        handle = mesh.client.options(exclusive="k", deadline=5).submit("double", n=1)
        mesh.run(1)
        waiting = mesh.client.why(handle.id)
        assert (waiting["state"], waiting["exclusive"]) == ("accepted", "k")
        assert waiting["waits_for"] == (
            "this mesh has no electors yet, and an exclusive task needs them"
        )
        assert handle.outcome().state == "expired"
        assert 5 <= mesh.now < 5.5
        ended = mesh.client.why(handle.id)
        assert (ended["waits_for"], ended["history"]) == (None, [])
