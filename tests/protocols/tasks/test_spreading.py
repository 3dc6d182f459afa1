"""Strategy `least_loaded`: two peers are sampled, and the one with less to do takes the task."""

from collections import Counter

from protocols.machine import MILLISECOND_NS, SECOND_NS
from protocols.tasks import commands, events
from protocols.tasks.breakers import FAULTS_LEAST
from protocols.tasks.dispatch import DIRECT_SLOTS
from tests.protocols.tasks.support import Town, echo, failing, hanging, peer_id, skill, spec

LEAST = spec(strategy="least_loaded")


def town(*hosts: str) -> Town:
    made = Town("a", *hosts)
    made.start("a")
    for name in hosts:
        made.start(name, (skill(), 1))
    made.run(10 * MILLISECOND_NS)
    return made


def loaded(made: Town, **loads: int) -> None:
    for name, load_ms in loads.items():
        made["a"].command(commands.PeerLoad(peer_id(name), load_ms))


def member(made: Town, name: str, sick: tuple[tuple[str, str], ...] = ()) -> commands.PeerUp:
    peer = made[name]
    hosted = tuple((one.name, one.version, one.digest()) for one, _ in peer.skills)
    return commands.PeerUp(peer.id, name, peer.boot, hosted, sick)


def _out(made: Town) -> list[events.AttemptView]:
    return [made["a"].view(task).history[-1] for task in made["a"].accepted]


def producers(made: Town) -> Counter[bytes]:
    return Counter(one.producer for one in made["a"].settled.values() if one.state == "done")


def test_tasks_are_spread_over_the_hosts_without_an_auction() -> None:
    made = town("b", "c", "d")
    made["a"].submit(*[LEAST] * 60)
    made.settle()
    counts = producers(made)
    assert sum(counts.values()) == 60
    assert min(counts[peer_id(name)] for name in "bcd") >= 10
    assert not made["a"].seen(events.SlotsWanted)


def test_of_two_peers_the_one_with_less_to_do_takes_the_task() -> None:
    made = town("b", "c")
    loaded(made, b=500, c=20)
    for _ in range(5):
        made["a"].submit(LEAST)
        made.settle()
    assert producers(made) == {peer_id("c"): 5}


def timed_town() -> Town:
    """At b and c a task lasts a second, and the custodian knows it."""
    made = town("b", "c")
    for name in "bc":
        made[name].run = echo(SECOND_NS)
    made["a"].submit(*[LEAST] * 6)
    made.settle()
    return made


def sent_to(made: Town) -> bytes:
    """Where one more task goes."""
    made["a"].submit(LEAST)
    made.run(10 * MILLISECOND_NS)
    return _out(made)[-1].peer


def test_what_a_peer_said_of_a_task_from_here_is_not_counted_again() -> None:
    made = timed_town()
    loaded(made, b=0, c=1100)
    assert sent_to(made) == peer_id("b")
    loaded(made, b=1000)
    assert sent_to(made) == peer_id("b"), "a second in all, and not two"


def test_what_a_peer_said_before_the_tasks_came_makes_them_weigh_no_less() -> None:
    made = timed_town()
    loaded(made, b=0, c=900)
    assert sent_to(made) == peer_id("b")
    loaded(made, b=0)
    assert sent_to(made) == peer_id("c")


def test_what_was_sent_since_a_peer_spoke_counts_beside_what_it_said() -> None:
    made = timed_town()
    loaded(made, b=800, c=900)
    assert [sent_to(made), sent_to(made)] == [peer_id("b"), peer_id("c")]


def test_what_ended_since_a_peer_spoke_is_taken_off_what_it_said() -> None:
    made = timed_town()
    loaded(made, b=0, c=500)
    assert sent_to(made) == peer_id("b")
    loaded(made, b=1000)
    made.settle()
    assert sent_to(made) == peer_id("b")


def test_a_load_is_kept_when_its_peer_says_something_else_of_itself() -> None:
    made = town("b", "c")
    loaded(made, b=500, c=20)
    for name in "bc":
        made["a"].command(member(made, name))
    made["a"].submit(LEAST)
    made.settle()
    assert producers(made) == {peer_id("c"): 1}


def test_few_tasks_are_out_at_a_peer_and_the_rest_waits() -> None:
    made = town("b", "c")
    for name in "bc":
        made[name].run = hanging
    ids = made["a"].submit(*[LEAST] * 50)
    made.run(100 * MILLISECOND_NS)
    out = [task for task in ids if made["a"].view(task).state == "running"]
    assert len(out) == 2 * DIRECT_SLOTS


def test_what_is_out_from_here_counts_where_nothing_was_said() -> None:
    made = town("b", "c")
    for name in "bc":
        made[name].run = hanging
    made["a"].submit(*[LEAST] * 6)
    made.run(100 * MILLISECOND_NS)
    assert Counter(attempt.peer for attempt in _out(made)) == {peer_id("b"): 3, peer_id("c"): 3}


def test_tasks_of_a_peer_that_ended_are_run_by_others() -> None:
    made = town("b", "c")
    made["a"].submit(*[LEAST] * 30)
    made.run(15 * MILLISECOND_NS)
    made.crash("b")
    made.settle()
    assert sum(producers(made).values()) == 30


def test_tasks_without_a_host_wait_for_one() -> None:
    made = town("b")
    made["b"].run = hanging
    (task,) = made["a"].submit(LEAST)
    made.run(10 * MILLISECOND_NS)
    made.crash("b")
    made.run(5 * SECOND_NS)
    assert made["a"].view(task).state == "accepted"
    made.start("b", run=echo())
    made.settle()
    assert made["a"].view(task).state == "done"


def test_a_sick_host_is_passed_over() -> None:
    made = town("b", "c")
    made["a"].command(member(made, "b", sick=(("echo", "1"),)))
    made["a"].submit(*[LEAST] * 10)
    made.settle()
    assert producers(made) == {peer_id("c"): 10}


def test_a_draining_peer_does_not_draw_the_tasks_that_it_refuses() -> None:
    made = town("b", "c")
    made["b"].command(commands.Drain())
    loaded(made, b=0, c=900)
    made["a"].submit(*[LEAST] * 3)
    made.run(SECOND_NS)
    assert producers(made) == {peer_id("c"): 3}


def test_a_peer_behind_an_open_breaker_gets_nothing_until_its_pause_is_over() -> None:
    made = town("b", "c")
    loaded(made, b=0, c=900)
    made["b"].run = failing("crashed")
    for _ in range(2 * FAULTS_LEAST):
        made["a"].submit(LEAST)
    made.run(900 * MILLISECOND_NS)
    assert [view.state for view in made["a"].tasks.breakers() if view.peer == peer_id("b")] == [
        "open"
    ]
    before = len(made["b"].started)
    made["a"].submit(LEAST)
    made.run(20 * MILLISECOND_NS)
    assert len(made["b"].started) == before
    made["b"].run = echo()
    made.run(2 * SECOND_NS)
    made["a"].submit(LEAST)
    made.settle()
    assert len(made["b"].started) == before + 1
