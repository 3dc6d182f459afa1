"""A skill whose agent cannot work for now, at a peer that is well."""

from protocols.effects import Effect, Emit, Send
from protocols.machine import SECOND_NS
from protocols.tasks import commands, events
from protocols.tasks.messages import Assign, Job, JobKey, Outcome, Rejected
from tests.protocols.tasks.support import Peer, Town, echo, hanging, peer_id, raw, skill, spec

BOSS = peer_id("a")
KEY = ("echo", "1")


def worker() -> Peer:
    """A worker alone, with two slots; its custodian is played by hand."""
    peer = Town("a", "w").start("w", (skill(), 2), run=hanging)
    peer.command(commands.SlotsLent("lot", BOSS, *KEY, 2))
    return peer


def fall_sick(peer: Peer) -> tuple[Effect, ...]:
    return peer.command(commands.HostSkills(peer.skills, (KEY,)))


def recover(peer: Peer) -> tuple[Effect, ...]:
    return peer.command(commands.HostSkills(peer.skills))


def assign(peer: Peer, *tasks: str) -> tuple[Effect, ...]:
    jobs = tuple(Job(task, 1, 1, raw(1), 0, 0, 0, "") for task in tasks)
    return peer.receive(BOSS, Assign("lot", *KEY, jobs))


def rejected(effects: tuple[Effect, ...]) -> list[Rejected]:
    return [e.message for e in effects if isinstance(e, Send) and isinstance(e.message, Rejected)]


def capacities(effects: tuple[Effect, ...]) -> list[int]:
    told = [e.event for e in effects if isinstance(e, Emit)]
    return [event.slots for event in told if isinstance(event, events.CapacityChanged)]


def test_the_auction_hears_of_no_slots_while_a_skill_is_sick_and_of_all_of_them_after() -> None:
    peer = worker()
    assert capacities(fall_sick(peer)) == [0]
    assert capacities(fall_sick(peer)) == []
    assert capacities(recover(peer)) == [2]


def test_what_runs_is_left_alone_and_what_waits_goes_back() -> None:
    peer = worker()
    assign(peer, "one", "two", "three")
    effects = fall_sick(peer)
    assert rejected(effects) == [Rejected("", (JobKey("three", 1),), "sick")]
    assert [run.task for run in peer.started] == ["one", "two"]
    assert len(peer.running) == 2
    outcome = Outcome("one", 1, "ok", raw(1), 1_000)
    peer.command(commands.JobsEnded(((BOSS, outcome),)))
    assert [run.task for run in peer.started] == ["one", "two"]


def test_nothing_new_is_taken_while_a_skill_is_sick() -> None:
    peer = worker()
    fall_sick(peer)
    assert rejected(assign(peer, "one"))[0].reason == "sick"
    recover(peer)
    assert rejected(assign(peer, "two")) == []


def test_a_parked_job_has_its_place_again_though_its_skill_is_sick() -> None:
    peer = worker()
    assign(peer, "one")
    peer.command(commands.JobParked(BOSS, "one", 1, True))
    fall_sick(peer)
    peer.command(commands.JobParked(BOSS, "one", 1, False))
    assert peer.resumed == [(BOSS, "one", 1)]


def test_a_sick_skill_that_is_withdrawn_and_hosted_again_is_well() -> None:
    peer = worker()
    fall_sick(peer)
    peer.command(commands.HostSkills(()))
    assert capacities(recover(peer)) == [2]


def version_taken(made: Town, hosted: dict[str, bool]) -> str:
    """The version of a task that names none, where a member hosts these, sick or not."""
    specs = {version: skill(version=version) for version in hosted}
    made["a"].command(
        commands.PeerUp(
            made["b"].id,
            "b",
            1,
            tuple(("echo", version, each.digest()) for version, each in specs.items()),
            tuple(("echo", version) for version, is_sick in hosted.items() if is_sick),
        )
    )
    (task,) = made["a"].submit(spec())
    return made["a"].view(task).version


def test_a_task_without_a_version_takes_the_highest_one_that_can_work() -> None:
    made = Town("a", "b")
    hosted = tuple((skill(version=version), 1) for version in ("1", "2", "10"))
    made.start("b", *hosted, run=echo())
    made.start("a")
    made.run(SECOND_NS)
    assert version_taken(made, {"1": False, "2": False, "10": False}) == "10"
    assert version_taken(made, {"1": False, "2": False, "10": True}) == "2"
    assert version_taken(made, {"1": True, "2": True, "10": True}) == "10"
