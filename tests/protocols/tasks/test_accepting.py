"""What a custodian accepts, under which id, and what it says no to."""

import msgspec
import pytest

from protocols.effects import Emit, Persist
from protocols.errors import Refused
from protocols.machine import MILLISECOND_NS, SECOND_NS
from protocols.tasks import commands, events
from protocols.tasks.messages import DescribeSkill, SkillDescribed
from protocols.tasks.parameters import PARKED_SUBMISSIONS_LIMIT, TaskParameters
from protocols.tasks.records import TasksRecorded
from protocols.tasks.submission import InputRefused
from tests.protocols.tasks.support import Town, first, peer_id, raw, skill, spec


def town(**parameters: int) -> Town:
    made = Town("a", "b", parameters=TaskParameters(**parameters))
    made.start("a")
    made.start("b", (skill(), 2), (skill("count", input_schema=b"int"), 1))
    made.run(10 * MILLISECOND_NS)
    return made


def refusal(made: Town, *specs: commands.TaskSpec) -> Refused:
    before = (made["a"].tasks.undecided, made["a"].tasks.deadline())
    with pytest.raises(Refused) as caught:
        made["a"].submit(*specs)
    assert (made["a"].tasks.undecided, made["a"].tasks.deadline()) == before
    made["a"].tasks.check()
    return caught.value


def test_a_batch_is_one_record_and_one_event_with_ids_in_order() -> None:
    made = town()
    made.auction_is_open = False
    request = commands.SubmitTasks(7, tuple(spec(value=i) for i in range(3)))
    effects = made["a"].command(request)
    records = [e.record for e in effects if isinstance(e, Persist)]
    accepted = next(e.event for e in effects if isinstance(e, Emit))
    assert len(records) == 1
    assert isinstance(records[0], TasksRecorded)
    assert isinstance(accepted, events.TasksAccepted)
    assert accepted.request == 7
    assert [entry.task for entry in records[0].groups[0][1]] == list(accepted.tasks)
    assert [msgspec.msgpack.decode(e.input) for e in records[0].groups[0][1]] == [0, 1, 2]


def test_accepted_tasks_end_with_their_results() -> None:
    made = town()
    ids = made["a"].submit(*[spec(value=i) for i in range(20)])
    made.settle()
    settled = made["a"].settled
    assert [msgspec.msgpack.decode(settled[task].value) for task in ids] == list(range(20))
    assert {settled[task].producer for task in ids} == {peer_id("b")}
    assert {settled[task].attempts for task in ids} == {1}


def test_a_peer_may_work_for_itself() -> None:
    made = Town("a")
    made.start("a", (skill(), 1))
    (task,) = made["a"].submit(spec())
    made.settle()
    assert made["a"].settled[task].producer == peer_id("a")


def test_ids_without_key_are_sixteen_characters_and_differ_over_restarts() -> None:
    made = town()
    first = made["a"].submit(spec(), spec())
    made.settle()
    made.crash("a")
    made.start("a")
    second = made["a"].submit(spec(), spec())
    assert len({*first, *second}) == 4
    assert all(len(task) == 16 and task.isalnum() and task.islower() for task in first)


def test_a_key_gives_the_same_id_at_every_peer() -> None:
    made = town()
    (at_a,) = made["a"].submit(spec(key="order-1"))
    (at_b,) = made["b"].submit(spec(key="order-1"))
    (elsewhere,) = made["a"].submit(spec(key="order-1", space="other"))
    assert at_a == at_b != elsewhere
    assert len(at_a) == 20


def test_a_key_used_again_attaches_and_runs_once() -> None:
    made = town()
    first = made["a"].submit(spec(key="k"))
    again = made["a"].submit(spec(key="k"), spec(key="k"))
    assert again == first * 2
    made.settle()
    assert len(made["b"].started) == 1


def test_attaching_to_a_settled_task_tells_its_end_again() -> None:
    made = town()
    (task,) = made["a"].submit(spec(key="k"))
    made.settle()
    made["a"].settled.clear()
    made["a"].submit(spec(key="k"))
    assert made["a"].settled[task].state == "done"
    assert len(made["b"].started) == 1


@pytest.mark.parametrize("other", [spec(value=2, key="k"), spec("count", key="k")])
def test_a_key_used_for_something_else_is_a_conflict(other: commands.TaskSpec) -> None:
    made = town()
    made["a"].submit(spec(key="k"))
    assert refusal(made, other).kind == "KeyConflict"


def test_a_key_used_for_two_things_in_one_batch_is_a_conflict() -> None:
    made = town()
    assert refusal(made, spec(key="k"), spec(value=2, key="k")).kind == "KeyConflict"


@pytest.mark.parametrize(
    ("bad", "kind", "text"),
    [
        (spec("ecko"), "UnknownSkill", "did you mean echo"),
        (spec("zzz"), "UnknownSkill", "known: count, echo"),
        (spec(version="9"), "UnknownSkill", "there is echo@1"),
        (spec(strategy="magic"), "UnknownStrategy", "auction, board, direct, least_loaded"),
        (spec(strategy="direct"), "UnknownPeer", "live peer"),
        (spec(strategy="direct", to=peer_id("nobody")), "UnknownPeer", "`to` names is not alive"),
        (spec(strategy="direct", to=peer_id("a")), "UnknownSkill", "elsewhere there is echo@1"),
        (spec(depth=33), "TooDeep", "at most 32"),
        (spec("count", "no"), "InvalidInput", "count: x: 'no' is not a int"),
        (spec(value=b"x" * (8 * 1024 * 1024)), "TooLarge", "over 8388608"),
        (spec(timeout_ms=-1), "InvalidInput", "out of range"),
        (spec(weight_us=-1), "InvalidInput", "weight"),
        (spec(traceparent="x" * 65), "TooLarge", "too long"),
        (spec(key="k" * 257), "KeyConflict", "too long"),
    ],
)
def test_what_is_wrong_is_refused_and_nothing_changes(
    bad: commands.TaskSpec, kind: str, text: str
) -> None:
    refused = refusal(town(), spec(), bad)
    assert isinstance(refused, InputRefused)
    assert (refused.kind, refused.index) == (kind, 1)
    assert text in refused.message
    assert "input 1" not in refused.message, "only the caller knows how it counts inputs"


def test_what_is_no_json_is_an_invalid_input() -> None:
    made = town()
    odd = commands.TaskSpec("count", msgspec.Raw(b"\xd4\x05\x00"))
    assert refusal(made, odd).kind == "InvalidInput"


def test_beyond_the_pending_tasks_a_custodian_is_busy_and_says_when_to_try_again() -> None:
    made = town(pending_tasks=3)
    made.auction_is_open = False
    made["a"].submit(spec(), spec(), spec())
    refused = refusal(made, spec())
    assert refused.kind == "Busy"
    assert refused.retry_after_ns
    made.auction_is_open = True
    made["a"].command(commands.CancelTasks(1, made["a"].accepted[0]))
    assert made["a"].submit(spec())


def test_beyond_the_pending_bytes_a_custodian_is_busy() -> None:
    made = town(pending_bytes=100)
    made.auction_is_open = False
    made["a"].submit(spec(value=b"x" * 60))
    assert refusal(made, spec(value=b"x" * 60)).kind == "Busy"
    assert refusal(made, spec(value=b"x" * 160)).kind == "TooLarge"


def test_too_many_tasks_at_once_are_refused() -> None:
    assert refusal(town(batch_tasks=2), spec(), spec(), spec()).kind == "TooLarge"


def test_the_newest_version_is_taken_where_none_is_named() -> None:
    made = Town("a", "b", "c")
    made.start("a")
    made.start("b", (skill(version="9"), 1))
    made.start("c", (skill(version="10"), 1))
    made.run(10 * MILLISECOND_NS)
    (task,) = made["a"].submit(spec())
    assert made["a"].view(task).version == "10"


def test_limits_of_the_skill_hold_where_the_caller_names_none() -> None:
    made = Town("a")
    made.start("a", (skill(timeout_ms=1234, retries=7), 1))
    made["a"].submit(spec())
    made.run(MILLISECOND_NS)
    assert made["a"].started[0].timeout_ms == 1234


# Specs.


def test_a_spec_is_fetched_once_when_a_member_advertises_it() -> None:
    made = town()
    made.run(SECOND_NS)
    asked = [m for a, _, m in made.sent if isinstance(m, DescribeSkill) and a == "a"]
    assert len(asked) == 2


def test_a_fetched_spec_survives_a_restart() -> None:
    made = town()
    made.crash("a")
    made.sent.clear()
    made.start("a")
    assert made["a"].submit(spec())
    assert not [m for _, _, m in made.sent if isinstance(m, DescribeSkill)]


def test_a_submission_is_parked_until_the_spec_is_here() -> None:
    made = Town("a", "b")
    made.start("a")
    made.start("b", (skill(), 1))
    assert made["a"].submit(spec()) == []
    made.run(10 * MILLISECOND_NS)
    assert len(made["a"].accepted) == 1


def test_a_parked_submission_is_checked_when_the_spec_comes() -> None:
    made = Town("a", "b")
    made.start("a")
    made.start("b", (skill("count", input_schema=b"int"), 1))
    made["a"].submit(spec("count", "no"))
    made.run(10 * MILLISECOND_NS)
    (refused,) = made["a"].seen(events.SubmissionRefused)
    assert (refused.kind, refused.request, refused.index) == ("InvalidInput", made.request, 0)


def test_a_spec_that_never_comes_refuses_what_is_parked() -> None:
    made = Town("a", "b")
    made.drop = lambda sender, to, message: isinstance(message, SkillDescribed)
    made.start("a")
    made.start("b", (skill(), 1))
    made["a"].submit(spec())
    made.run(3 * SECOND_NS)
    (refused,) = made["a"].seen(events.SubmissionRefused)
    assert refused.kind == "UnknownSkill"
    assert refused.retry_after_ns > 0


def test_a_spec_is_asked_for_again_when_the_answer_is_lost() -> None:
    made = Town("a", "b")
    made.drop = first(2, SkillDescribed)
    made.start("a")
    made.start("b", (skill(), 1))
    made["a"].submit(spec())
    made.run(2 * SECOND_NS)
    assert len(made["a"].accepted) == 1


def test_parked_submissions_are_bounded() -> None:
    made = Town("a", "b")
    made.start("a")
    made.start("b", (skill(), 1))
    for _ in range(PARKED_SUBMISSIONS_LIMIT):
        made["a"].submit(spec())
    with pytest.raises(Refused) as caught:
        made["a"].submit(spec())
    assert caught.value.kind == "Busy"


def test_a_spec_that_is_not_what_its_digest_says_is_blamed() -> None:
    made = Town("a", "b")
    made.drop = lambda sender, to, message: isinstance(message, SkillDescribed)
    made.start("a")
    made.start("b", (skill(), 1))
    digest = skill().digest()
    for body in (b"\xc1", msgspec.msgpack.encode(skill("other"))):
        made["a"].receive(made["b"], SkillDescribed(digest, body))
    assert [blame.peer for blame in made.blamed] == [peer_id("b")] * 2
    made["a"].receive(made["b"], SkillDescribed(skill("other").digest(), b"\xc1"))
    assert len(made.blamed) == 2


def test_a_schema_that_does_not_compile_is_refused_not_raised() -> None:
    made = Town("a", "b")
    made.start("a")
    made.start("b", (skill(input_schema=b"nonsense"), 1))
    made.run(10 * MILLISECOND_NS)
    refused = refusal(made, spec())
    assert refused.kind == "UnknownSkill"
    assert "does not compile" in refused.message


def test_a_description_is_given_to_whoever_asks_and_only_of_what_is_known() -> None:
    made = town()
    made.sent.clear()
    made["b"].receive(made["a"], DescribeSkill(skill().digest()))
    made["b"].receive(made["a"], DescribeSkill(bytes(16)))
    answers = [m for _, _, m in made.sent if isinstance(m, SkillDescribed)]
    assert [answer.digest for answer in answers] == [skill().digest()]


def test_an_unknown_command_is_refused_and_an_unknown_message_ignored() -> None:
    made = town()
    with pytest.raises(Refused):
        made["a"].command(skill())
    assert made["a"].receive(made["b"], raw_message()) == ()


def raw_message() -> msgspec.Struct:
    return commands.TaskSpec("echo", raw(1))
