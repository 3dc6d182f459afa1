"""Every checker catches what it is there for."""

from collections.abc import Callable
from contextlib import nullcontext

import msgspec
import pytest

from mesh.core.outward import Accuse
from protocols.auction.events import SlotsGranted
from protocols.gossip.events import MemberDown
from protocols.machine import MILLISECOND_NS, SECOND_NS
from protocols.tasks.commands import TaskSpec
from protocols.tasks.events import (
    AttemptsFailed,
    AttemptsStarted,
    CancelAnswered,
    Drained,
    Settled,
    TasksAccepted,
    TasksAttached,
    TasksSettled,
)
from protocols.tasks.messages import JobKey, Outcome, Results, ResultsAck
from protocols.wire import encode
from simulations.adversaries.latecomer import Latecomer
from simulations.agents import WRONG, ModelledSkill, answer
from simulations.checkers.accepted import AcceptedTasksEnd
from simulations.checkers.acknowledged import AcknowledgedResultsCount
from simulations.checkers.answers import RequestsAreAnswered
from simulations.checkers.attempts import AttemptsRunOnce, ResultsAreEarned
from simulations.checkers.blame import NobodyHonestIsBlamed
from simulations.checkers.ends import CancelledStaysCancelled, EndsHaveReasons
from simulations.checkers.keys import OneKeyOneTask
from simulations.checkers.membership import MembershipConverges, NobodyIsBuriedAlive
from simulations.checkers.nothing_left import NothingIsLeft
from simulations.checkers.promptness import LossesAreSeenAtOnce
from simulations.checkers.results import ResultsAreRight
from simulations.checkers.slots import OneWinnerPerSlot
from simulations.observations import (
    Asked,
    DiskForgot,
    JobFinished,
    JobHanded,
    PeerStarted,
    PeerStopped,
    RequestRefused,
    Sent,
    WrongAnswer,
)
from simulations.world import Checker, Violation, World

INPUT = {"index": 7}
RIGHT = answer("work", INPUT)
SPEC = TaskSpec(skill="work", input=msgspec.Raw(encode(INPUT)))
SKILL = ModelledSkill("work", slots=2)


def settled(state: str = "done", value: object = RIGHT, producer: bytes = b"") -> TasksSettled:
    raw = msgspec.Raw(encode(value) if state == "done" else b"")
    return TasksSettled((Settled("t", state, raw, "", "", 1, False, producer, -1, 0),))


class Stage:
    """Two peers that run, and a checker that is told what did not happen."""

    def __init__(self, make: Callable[[], Checker]) -> None:
        self.world = World(1, 2)
        self.one, self.two = self.world.peers
        for peer in self.world.peers:
            peer.start((SKILL,))
        self.world.run(SECOND_NS)
        self.world.requests[1] = (SPEC,)
        self.checker = make()

    def tell(self, *events: msgspec.Struct) -> None:
        for event in events:
            assert isinstance(event, self.checker.hears), "it would never hear of it"
            self.checker.event(self.world, self.one, event)

    def finish(self) -> None:
        self.checker.finish(self.world)


ACCEPTED = TasksAccepted(1, ("t",), "work", "")


def test_a_lost_task_is_caught() -> None:
    stage = Stage(AcceptedTasksEnd)
    stage.tell(ACCEPTED)
    with pytest.raises(Violation, match="no-accepted-task-lost"):
        stage.finish()
    with pytest.raises(Violation, match="no-accepted-task-lost"):
        stage.tell(TasksAttached(2, ("t",)))


def test_two_ends_of_a_task_are_caught() -> None:
    stage = Stage(AcceptedTasksEnd)
    stage.tell(ACCEPTED, settled(), settled())
    with pytest.raises(Violation, match="one-end"):
        stage.tell(settled("failed"))


def test_a_wrong_result_is_caught() -> None:
    stage = Stage(ResultsAreRight)
    stage.tell(ACCEPTED, settled())
    with pytest.raises(Violation, match="right-result"):
        stage.tell(settled(value={"index": 8}))


def test_two_tasks_for_one_key_are_caught() -> None:
    stage = Stage(OneKeyOneTask)
    stage.world.requests[1] = stage.world.requests[2] = (msgspec.structs.replace(SPEC, key="k"),)
    stage.tell(ACCEPTED)
    with pytest.raises(Violation, match="one-key-one-task"):
        stage.tell(TasksAccepted(2, ("other",), "work", ""))


def test_one_id_for_two_tasks_is_caught() -> None:
    stage = Stage(OneKeyOneTask)
    stage.world.requests[2] = (SPEC,)
    stage.tell(ACCEPTED)
    with pytest.raises(Violation, match="one-key-one-task"):
        stage.tell(TasksAccepted(2, ("t",), "work", ""))


def test_an_attempt_that_runs_twice_is_caught() -> None:
    stage = Stage(AttemptsRunOnce)
    handed = JobHanded(stage.two.peer, "t", 1, "work")
    stage.tell(handed)
    with pytest.raises(Violation, match="one-run-an-attempt"):
        stage.tell(handed)
    with pytest.raises(Violation, match="one-peer-an-attempt"):
        stage.checker.event(stage.world, stage.two, handed)


def test_a_result_that_nobody_computed_is_caught() -> None:
    stage = Stage(ResultsAreEarned)
    stage.tell(JobHanded(stage.one.peer, "t", 1, "work"), JobFinished(stage.one.peer, "t", 1, "ok"))
    stage.tell(settled(producer=stage.one.peer))
    with pytest.raises(Violation, match="earned-result"):
        stage.tell(settled(producer=stage.two.peer))


def test_a_liar_may_answer_what_it_was_handed_and_nothing_else() -> None:
    stage = Stage(ResultsAreEarned)
    stage.two.liar = Latecomer()
    stage.checker.event(stage.world, stage.two, JobHanded(stage.one.peer, "t", 1, "work"))
    stage.tell(settled(producer=stage.two.peer))
    with pytest.raises(Violation, match="earned-result"):
        stage.checker.event(stage.world, stage.two, settled(producer=stage.two.peer))


def test_a_slot_with_two_winners_is_caught() -> None:
    stage = Stage(OneWinnerPerSlot)
    stage.tell(PeerStarted(1), SlotsGranted("a", stage.two.peer, "work", "1", 2))
    with pytest.raises(Violation, match="one-winner"):
        stage.tell(SlotsGranted("b", stage.two.peer, "work", "1", 1))
    stage.checker.event(stage.world, stage.two, PeerStarted(1))
    with pytest.raises(Violation, match="grants-are-leased"):
        stage.finish()


def test_work_after_its_result_was_acknowledged_is_caught() -> None:
    stage = Stage(AcknowledgedResultsCount)
    outcome = Outcome("t", 1, "ok", msgspec.Raw(encode(RIGHT)), 1)
    sent = Sent(stage.one.peer, Results(5, (outcome,)))
    stage.checker.event(stage.world, stage.two, sent)
    again = AttemptsStarted(stage.two.peer, "", "work", (JobKey("t", 2),))
    stage.tell(again)
    acknowledged = Sent(stage.two.peer, ResultsAck((5,)))
    stage.checker.event(stage.world, stage.one, acknowledged)
    stage.tell(again)
    stage.world.run(SECOND_NS)
    with pytest.raises(Violation, match="acknowledged-counts"):
        stage.tell(again)


@pytest.mark.parametrize("state", ["failed", "dead", "cancelled", "expired"])
def test_an_end_without_reason_is_caught(state: str) -> None:
    stage = Stage(lambda: EndsHaveReasons(can_fail=False))
    stage.tell(ACCEPTED)
    with pytest.raises(Violation, match="reasoned-end"):
        stage.tell(settled(state))


def test_a_deadline_that_passes_unseen_is_caught() -> None:
    stage = Stage(lambda: EndsHaveReasons(can_fail=False))
    stage.world.requests[1] = (msgspec.structs.replace(SPEC, deadline_ms=100),)
    stage.tell(ACCEPTED)
    stage.world.run(5 * SECOND_NS)
    with pytest.raises(Violation, match="deadline-kept"):
        stage.finish()
    with pytest.raises(Violation, match="deadline-kept"):
        stage.tell(settled())


@pytest.mark.parametrize(("after_ms", "is_early"), [(100, False), (99, True)])
def test_a_deadline_runs_from_the_asking_not_from_the_answer(after_ms: int, is_early: bool) -> None:
    stage = Stage(lambda: EndsHaveReasons(can_fail=False))
    stage.world.requests[1] = (msgspec.structs.replace(SPEC, deadline_ms=100),)
    stage.tell(Asked(1))
    stage.world.run(8 * MILLISECOND_NS)
    stage.tell(ACCEPTED)
    stage.world.run((after_ms - 8) * MILLISECOND_NS)
    with pytest.raises(Violation, match="reasoned-end") if is_early else nullcontext():
        stage.tell(settled("expired"))


@pytest.mark.parametrize("is_refused", [False, True])
def test_a_deadline_runs_from_an_asking_that_a_crash_left_without_answer(is_refused: bool) -> None:
    stage = Stage(lambda: EndsHaveReasons(can_fail=False))
    spec = msgspec.structs.replace(SPEC, key="k", deadline_ms=100)
    stage.world.requests.update({1: (spec,), 2: (spec,)})
    stage.tell(Asked(1), *([RequestRefused(1, "Busy")] if is_refused else []))
    stage.tell(PeerStopped("crash"))
    stage.world.run(100 * MILLISECOND_NS)
    stage.tell(Asked(2), TasksAccepted(2, ("t",), "work", ""))
    with pytest.raises(Violation, match="reasoned-end") if is_refused else nullcontext():
        stage.tell(settled("expired"))


def test_a_cancelled_task_that_turns_done_is_caught() -> None:
    stage = Stage(CancelledStaysCancelled)
    stage.tell(CancelAnswered(3, "t", "cancelled"), settled())
    with pytest.raises(Violation, match="cancelled-stays"):
        stage.finish()


def test_a_cancellation_without_effect_is_caught() -> None:
    stage = Stage(lambda: EndsHaveReasons(can_fail=False))
    with pytest.raises(Violation, match="cancel-ends"):
        stage.tell(CancelAnswered(3, "t", "running"))


def test_a_request_without_answer_is_caught() -> None:
    stage = Stage(RequestsAreAnswered)
    stage.tell(Asked(1))
    stage.world.run(6 * SECOND_NS)
    with pytest.raises(Violation, match="one-answer"):
        stage.finish()
    stage.tell(ACCEPTED)
    with pytest.raises(Violation, match="one-answer"):
        stage.tell(ACCEPTED)


def test_a_loss_that_is_seen_late_is_caught() -> None:
    stage = Stage(lambda: LossesAreSeenAtOnce(applies=True))
    stage.tell(AttemptsStarted(stage.two.peer, "", "work", (JobKey("t", 1),)))
    stage.checker.event(stage.world, stage.two, PeerStopped("crash"))
    with pytest.raises(Violation, match="losses-seen"):
        stage.finish()
    stage.world.run(SECOND_NS)
    with pytest.raises(Violation, match="losses-seen"):
        stage.tell(AttemptsFailed(stage.two.peer, (("t", 1, "lost", "", True),)))


def test_blame_of_the_honest_is_caught() -> None:
    stage = Stage(NobodyHonestIsBlamed)
    with pytest.raises(Violation, match="honest-not-blamed"):
        stage.tell(Accuse(stage.two.peer, "an offence", ()))
    with pytest.raises(Violation, match="no-remote-assertion"):
        stage.tell(Accuse(stage.two.peer, "isolated: Ping broke an invariant", ()))


def test_a_burial_in_peace_is_caught() -> None:
    stage = Stage(lambda: NobodyIsBuriedAlive(peaceful=True))
    with pytest.raises(Violation, match="nobody-buried-alive"):
        stage.tell(MemberDown(stage.two.peer, "peer-2", 1, "dead"))


def test_a_peer_that_is_held_alive_for_ever_is_caught() -> None:
    stage = Stage(MembershipConverges)
    stage.finish()
    stage.two.core = None
    with pytest.raises(Violation, match="membership-converges"):
        stage.finish()


def test_a_door_that_nobody_was_told_of_is_caught() -> None:
    stage = Stage(MembershipConverges)
    stage.two.door = "sim://elsewhere"
    with pytest.raises(Violation, match="membership-converges"):
        stage.finish()


def test_a_peer_that_never_drains_is_caught() -> None:
    stage = Stage(NothingIsLeft)
    with pytest.raises(Violation, match="drained-is-idle"):
        stage.finish()  # the world of this stage tells the checker nothing
    stage.tell(Drained(0))
    with pytest.raises(Violation, match="drained-is-idle"):
        stage.tell(JobHanded(stage.two.peer, "t", 1, "work"))


def test_a_disk_is_held_to_what_it_kept_and_to_nothing_that_it_forgot() -> None:
    for since, is_excused in ((0, True), (10 * SECOND_NS, False)):
        stage = Stage(AcceptedTasksEnd)
        stage.tell(ACCEPTED, settled(), DiskForgot(since))
        if is_excused:
            stage.tell(settled("failed"), TasksAttached(2, ("t",)))
        else:
            with pytest.raises(Violation, match="one-end"):
                stage.tell(settled("failed"))
            with pytest.raises(Violation, match="no-accepted-task-lost"):
                stage.tell(TasksAttached(2, ("t",)))


def test_a_wrong_answer_counts_only_where_a_handler_gave_it() -> None:
    stage = Stage(ResultsAreRight)
    stage.tell(ACCEPTED)
    with pytest.raises(Violation, match="right-result"):
        stage.tell(settled(value=WRONG))
    stage.tell(WrongAnswer(stage.one.peer, "t", 1), settled(value=WRONG))
