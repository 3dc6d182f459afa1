"""A custodian whose disk lost its last moments, or is an older copy: nobody is wronged for it."""

from protocols.machine import MILLISECOND_NS
from protocols.tasks.messages import Outcome, Results
from tests.protocols.tasks.support import Town, echo, hanging, raw, skill, spec


def town() -> Town:
    made = Town("a", "b", "c")
    made.start("a")
    made.start("b", (skill(), 1))
    made.run(10 * MILLISECOND_NS)
    return made


def forget(made: Town, records: int) -> None:
    """The power fails: of what was written only so many records are there afterwards."""
    made.crash("a")
    del made["a"].records[records:]


def test_a_worker_is_not_blamed_for_an_attempt_that_its_custodian_forgot() -> None:
    made = town()
    made["b"].run = hanging
    made.auction_is_open = False
    (task,) = made["a"].submit(spec())
    kept = len(made["a"].records)
    made.auction_is_open = True
    made.run(20 * MILLISECOND_NS)
    assert len(made["b"].started) == 1
    forget(made, kept)
    made.crash("b", is_noticed=False)
    made.start("c", (skill(), 1), run=hanging)
    made.start("a")
    made.run(20 * MILLISECOND_NS)
    assert len(made["c"].started) == 1
    made["a"].receive(made["b"], Results(1, (Outcome(task, 1, "ok", raw(1), 1),)))
    assert not made.blamed


def test_a_worker_is_not_blamed_where_a_key_came_again_to_a_custodian_that_forgot_it() -> None:
    made = town()
    made["b"].run = hanging
    (task,) = made["a"].submit(spec(key="k"))
    made.run(20 * MILLISECOND_NS)
    forget(made, 0)
    made.auction_is_open = False
    made.start("a")
    made.run(20 * MILLISECOND_NS)
    assert made["a"].submit(spec(key="k")) == [task]
    made["a"].receive(made["b"], Results(1, (Outcome(task, 1, "ok", raw(1), 1),)))
    assert not made.blamed


def test_an_invented_result_of_a_task_of_this_very_process_is_blamed() -> None:
    made = town()
    made.auction_is_open = False
    (task,) = made["a"].submit(spec())
    made["a"].receive(made["b"], Results(1, (Outcome(task, 1, "ok", raw(1), 1),)))
    assert [blame.peer for blame in made.blamed] == [made["b"].id]


def test_a_peer_on_an_older_copy_of_its_disk_gives_no_id_twice() -> None:
    made = town()
    made["b"].run = echo()
    before = made["a"].submit(*[spec(value=i) for i in range(5)])
    made.settle()
    forget(made, 0)
    made["a"].boot = 0  # the counter is on the same disk
    made.start("a")
    made.run(20 * MILLISECOND_NS)
    after = made["a"].submit(*[spec(value=i) for i in range(5)])
    assert len(before) == len(after) == 5
    assert not set(before) & set(after)
