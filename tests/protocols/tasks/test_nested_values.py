"""Values that nest too deep for a message or a record are refused where they come in."""

import msgspec
import pytest

from protocols.errors import Refused
from protocols.tasks import commands, events
from protocols.tasks.messages import Outcome, Results
from protocols.tasks.nesting import NESTING_LIMIT, is_too_deep
from tests.protocols.tasks.support import Peer, Town, echo, raw, skill, spec

LISTS, OBJECTS = b"\x91", b"\x81\xa1x"
"""What begins a list of one element, and an object of one key."""


def nested(depth: int, head: bytes = LISTS) -> msgspec.Raw:
    return msgspec.Raw(head * (depth - 1) + b"\x90")


@pytest.mark.parametrize("head", [LISTS, OBJECTS])
def test_the_limit_itself_is_allowed_and_one_more_is_not(head: bytes) -> None:
    assert not is_too_deep(nested(NESTING_LIMIT, head))
    assert is_too_deep(nested(NESTING_LIMIT + 1, head))
    assert is_too_deep(nested(990, head)), "deeper than a decoder goes"
    assert is_too_deep(nested(100_000, head))


def test_depth_is_not_mistaken_for_breadth_or_for_text() -> None:
    assert not is_too_deep(raw([{"x": [i]} for i in range(1_000)]))
    assert not is_too_deep(raw(["\u00df\u4e00" * 1_000]))
    assert not is_too_deep(raw(b"\x91" * 10_000))
    assert not is_too_deep(msgspec.Raw(b"\x92" * 100 + b"\xc1" * 100)), "not a value at all"


def one_worker() -> Town:
    made = Town("a", "b")
    made.start("a")
    made.start("b", (skill(), 1))
    made.run()
    return made


def test_an_input_that_nests_too_deep_is_refused_and_nothing_changes() -> None:
    made = one_worker()
    deep = commands.TaskSpec("echo", nested(NESTING_LIMIT + 1))
    with pytest.raises(Refused) as refused:
        made["a"].submit(spec(), deep)
    assert refused.value.kind == "InvalidInput"
    assert "echo: a value nested deeper than 128" in refused.value.message
    assert made["a"].tasks.undecided == 0


def test_an_input_at_the_limit_makes_the_whole_way() -> None:
    made = one_worker()
    value = nested(NESTING_LIMIT)
    (task,) = made["a"].submit(commands.TaskSpec("echo", value))
    made.settle()
    assert bytes(made["a"].settled[task].value) == bytes(value)
    assert made.blamed == []


def test_an_output_that_nests_too_deep_is_rejected_by_its_workers_peer() -> None:
    made = one_worker()

    def deep(peer: Peer, job: events.RunJob) -> tuple[int, Outcome]:
        return 1, Outcome(job.task, job.attempt, "ok", nested(NESTING_LIMIT + 1), 1)

    made["b"].run = deep
    (task,) = made["a"].submit(spec())
    made.settle()
    settled = made["a"].settled[task]
    assert (settled.state, settled.error_kind) == ("failed", "InvalidOutput")
    sent = [message for _, _, message in made.sent if isinstance(message, Results)]
    assert [outcome.status for results in sent for outcome in results.outcomes] == ["rejected"]


def test_an_output_that_nests_too_deep_is_rejected_by_the_custodian_too() -> None:
    made = one_worker()
    made["b"].run = echo(10**12)
    (task,) = made["a"].submit(spec())
    made.run()
    deep = Outcome(task, 1, "ok", nested(NESTING_LIMIT + 1), 1)
    made["a"].receive(made["b"], Results(1, (deep,)))
    assert made["a"].settled[task].error_kind == "InvalidOutput"
