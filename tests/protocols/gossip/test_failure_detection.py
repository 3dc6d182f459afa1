import pytest

from protocols.effects import Effect, Send
from protocols.gossip.awareness import LocalHealth
from protocols.gossip.commands import LinkLost
from protocols.gossip.events import MemberDown, MemberSuspected, MemberUp
from protocols.gossip.messages import Ack, Digest, MemberVersion, Nack, Ping, PingRequest
from protocols.gossip.observers import observers_of
from protocols.gossip.parameters import GossipParameters
from protocols.wire import Signed
from tests.protocols.gossip.one import ME, One, accusation, blames, events, record, sent
from tests.protocols.gossip.support import peer_id

PLAIN = GossipParameters.plain_swim()


def strangers_to(suspect: int, count: int) -> list[int]:
    """Members among 1..count that do not observe `suspect`."""
    everyone = [peer_id(number) for number in range(count + 1)]
    observers = observers_of(peer_id(suspect), everyone, 8)
    return [n for n in range(1, count + 1) if n != suspect and peer_id(n) not in observers]


def answer(one: One, link: int, effects: object) -> None:
    """Acks whatever pings the peer `link` was sent."""
    assert isinstance(effects, list | tuple)
    for ping in sent(effects, Ping, to=link):
        one.plain(link, Ack(ping.nonce, 0))


def until_helpers_are_asked(one: One) -> list[Effect]:
    """Lets a probe time out; no later than the probe timeout after it began."""
    effects: list[Effect] = []
    for _ in range(60):
        some = one.run(0.05)
        effects += some
        if any(isinstance(e, Send) and isinstance(e.message, PingRequest) for e in some):
            return effects
    raise AssertionError("no helper was asked")


def asked(effects: list[Effect]) -> list[int]:
    """The helpers that were asked."""
    return [n for n in range(1, 13) if sent(effects, PingRequest, to=n)]


def test_a_live_member_is_pinged_once_an_interval() -> None:
    one = One(members=1)
    effects = []
    for _ in range(40):
        some = one.run(0.25)
        effects += some
        answer(one, 1, some)
    assert len(sent(effects, Ping, to=1)) == 10
    assert one.state(1) == "alive"


def test_a_silent_member_is_probed_through_its_observers() -> None:
    one = One(members=12)
    effects = until_helpers_are_asked(one)
    silent = next(n for n in range(1, 13) if sent(effects, Ping, to=n))
    observers = observers_of(peer_id(silent), [peer_id(n) for n in range(13)], 8)
    helpers = asked(effects)
    assert len(helpers) == 3
    assert all(peer_id(n) in observers for n in helpers)


def test_an_ack_passed_on_by_a_helper_that_was_asked_ends_the_probe() -> None:
    one = One(members=12, parameters=PLAIN)
    effects = until_helpers_are_asked(one)
    helper = asked(effects)[0]
    request = sent(effects, PingRequest, to=helper)[0]
    one.plain(helper, Ack(request.nonce, 0))
    assert events(one.run(0.8), MemberSuspected) == []


def test_an_ack_from_somebody_who_was_not_asked_ends_nothing() -> None:
    one = One(members=12, parameters=PLAIN)
    effects = until_helpers_are_asked(one)
    target = next(n for n in range(1, 13) if sent(effects, Ping, to=n))
    helpers = asked(effects)
    other = next(n for n in range(1, 13) if n != target and n not in helpers)
    one.plain(other, Ack(sent(effects, Ping, to=target)[0].nonce, 0))
    assert [e.peer for e in events(one.run(1), MemberSuspected)] == [peer_id(target)]


def test_an_observer_accuses_after_sixteen_pings_over_a_second() -> None:
    one = One(members=1)
    effects = list(one.submit(LinkLost(peer_id(1), refused=True)))
    effects += one.run(1.0)
    assert events(effects, MemberSuspected) == []
    effects += one.run(0.1)
    assert len(events(effects, MemberSuspected)) == 1
    assert len(sent(effects, Ping, to=1)) >= 16


def test_a_link_that_broke_without_refusal_is_probed_next() -> None:
    one = One(members=40)
    one.submit(LinkLost(peer_id(9), refused=False))
    assert sent(one.run(1.0), Ping, to=9)


def test_one_answer_ends_a_watch() -> None:
    one = One(members=1)
    answer(one, 1, one.submit(LinkLost(peer_id(1), refused=True)))
    for _ in range(50):
        answer(one, 1, one.run(0.1))
    assert one.state(1) == "alive"


def test_a_suspect_is_told_first() -> None:
    one = One(members=12)
    effects = one.hear(3, accusation(1, accuser=3), link=2)
    assert sent(effects, Ping, to=1)[0].suspected
    assert [e.domain for e in sent(effects, Signed, to=1)][:1] == ["gossip.accusation"]


@pytest.mark.parametrize(("accusers", "state"), [(2, "suspect"), (3, "dead")])
def test_three_observers_and_ones_own_pings_make_a_death(accusers: int, state: str) -> None:
    one = One(members=8)
    for accuser in range(2, 2 + accusers):
        one.hear(accuser, accusation(1, accuser))
    assert one.state(1) == "suspect"
    one.run(0.6)
    assert one.state(1) == state


def test_accusers_that_are_not_observers_do_not_make_a_quick_death() -> None:
    one = One(members=40)
    for accuser in strangers_to(1, 40)[:6]:
        one.hear(accuser, accusation(1, accuser))
    one.run(1)
    assert one.state(1) == "suspect"


def test_no_number_of_accusers_kills_a_member_that_answers_me() -> None:
    one = One(members=8)
    for accuser in range(2, 9):
        answer(one, 1, one.hear(accuser, accusation(1, accuser)))
    for _ in range(400):
        answer(one, 1, one.run(0.1))
        assert one.state(1) != "dead"
    assert one.state(1) == "alive"


def test_an_accuser_counts_once() -> None:
    one = One(members=8)
    for _ in range(5):
        one.hear(2, accusation(1, accuser=2))
        one.hear(3, accusation(1, accuser=3))
    one.run(1.0)
    assert one.state(1) == "suspect"


@pytest.mark.parametrize(
    ("suspect", "accuser", "incarnation"),
    [(1, 77, 3), (1, 2, 2), (1, 2, 4), (88, 2, 1), (1, ME, 3)],
)
def test_accusations_by_strangers_of_strangers_or_of_other_incarnations_suspect_nobody(
    suspect: int, accuser: int, incarnation: int
) -> None:
    one = One()
    one.hear(1, record(1, incarnation=3))
    one.hear(2, record(2))
    effects = one.hear(accuser, accusation(suspect, accuser, incarnation), link=2)
    assert events(effects, MemberSuspected) == []
    assert blames(effects) == []


def test_an_accusation_in_anothers_name_is_blamed_on_its_relay() -> None:
    one = One(members=4)
    effects = one.hear(3, accusation(1, accuser=2), link=4)
    assert blames(effects) == [(peer_id(4), "gossip-accusation-by-another")]


def test_who_accuses_itself_is_blamed() -> None:
    one = One(members=2)
    assert blames(one.hear(1, accusation(1, 1), link=2)) == [(peer_id(1), "gossip-accuses-itself")]


def test_a_refuted_suspect_is_alive() -> None:
    one = One(members=8)
    one.hear(2, accusation(1, accuser=2))
    effects = one.hear(1, record(1, incarnation=2), link=3)
    assert len(events(effects, MemberUp)) == 1
    assert one.state(1) == "alive"
    one.hear(3, accusation(1, accuser=3, incarnation=1))
    assert one.state(1) == "alive"


def test_a_dead_member_comes_back_with_a_higher_incarnation_only() -> None:
    one = One(members=8)
    for accuser in (2, 3, 4):
        one.hear(accuser, accusation(1, accuser))
    effects = one.run(1)
    assert [e.confirmations for e in events(effects, MemberDown)] == [3]
    one.hear(1, record(1), link=2)
    assert one.state(1) == "dead"
    assert len(events(one.hear(1, record(1, incarnation=2)), MemberUp)) == 1
    assert one.state(1) == "alive"


def test_a_dead_member_is_told_of_its_death_at_intervals_of_at_most_eight_seconds() -> None:
    one = One(members=1)
    one.submit(LinkLost(peer_id(1), refused=True))
    one.run(10)
    assert one.state(1) == "dead"
    one.run(30)
    assert len(sent(one.run(16), Ping, to=1)) in (2, 3)


def test_a_dead_member_that_pings_is_told_of_its_death_at_once() -> None:
    one = One(members=8)
    for accuser in (2, 3, 4):
        one.hear(accuser, accusation(1, accuser))
    one.run(1)
    effects = one.plain(1, Ping(5, 0))
    assert [e.domain for e in sent(effects, Signed, to=1)] == ["gossip.member", "gossip.accusation"]


def test_a_lone_survivor_waits_for_the_least_timer_only() -> None:
    one = One(members=2)
    one.submit(LinkLost(peer_id(1), refused=True))
    one.submit(LinkLost(peer_id(2), refused=True))
    effects = one.run(4.5)
    assert [e.confirmations for e in events(effects, MemberDown)] == [0, 0]


def test_a_digest_that_calls_a_live_member_dead_makes_me_look_myself() -> None:
    one = One(members=3)
    version = MemberVersion(peer_id(2), 1, 2)
    effects = one.plain(1, Digest((version,), reply_wanted=False))
    assert sent(effects, Ping, to=2)
    assert one.state(2) == "alive"


# Refuting


def test_an_accused_peer_announces_a_higher_incarnation_to_the_messenger() -> None:
    one = One(members=3)
    before = one.incarnation
    effects = one.hear(2, accusation(ME, accuser=2, incarnation=before), link=3)
    assert one.incarnation == before + 1
    assert "gossip.member" in [e.domain for e in sent(effects, Signed, to=3)]


def test_a_stale_accusation_of_me_is_answered_with_my_record() -> None:
    one = One(members=3)
    one.hear(2, accusation(ME, accuser=2, incarnation=1))
    effects = one.hear(3, accusation(ME, accuser=3, incarnation=1))
    assert one.incarnation == 2
    assert [e.domain for e in sent(effects, Signed, to=3)] == ["gossip.member"]


def test_nobody_else_can_inflate_my_incarnation() -> None:
    one = One(members=3)
    one.hear(2, accusation(ME, accuser=2, incarnation=2**40))
    version = MemberVersion(peer_id(ME), 2**40, 2)
    one.plain(2, Digest((version,), reply_wanted=True))
    assert one.incarnation == 1


def test_my_own_signature_under_a_higher_incarnation_makes_me_go_above_it() -> None:
    one = One(members=3)
    one.hear(ME, record(ME, incarnation=500), link=2)
    assert one.incarnation == 501


def test_refutations_are_at_least_a_quarter_second_apart() -> None:
    one = One(members=3)
    for _ in range(20):
        one.hear(2, accusation(ME, accuser=2, incarnation=one.incarnation))
    assert one.incarnation == 2
    one.run(0.3)
    assert one.incarnation == 3


# Being late


def test_a_flood_of_accusations_is_refuted_ever_more_slowly_and_makes_nobody_slow() -> None:
    one = One(members=12)
    before = one.incarnation
    for _ in range(200):
        one.hear(3, accusation(ME, accuser=3, incarnation=one.incarnation))
        effects = one.run(0.1)
        for link in range(1, 13):
            answer(one, link, effects)
    assert one.incarnation - before <= 22
    assert one.gossip.local_health <= 3


@pytest.mark.parametrize(("late_ms", "accused"), [(200, True), (300, False)])
def test_a_peer_that_wakes_late_accuses_nobody(late_ms: int, accused: bool) -> None:
    one = One(members=1)
    one.submit(LinkLost(peer_id(1), refused=True))
    one.run(1.0)
    effects = [*one.oversleep(late_ms), *one.run(0.5)]
    assert bool(events(effects, MemberSuspected)) == accused
    one.run(8)
    assert one.state(1) == "dead"


def test_a_peer_that_was_stopped_buries_nobody_on_waking() -> None:
    one = One(members=8)
    for accuser in (2, 3, 4):
        one.hear(accuser, accusation(1, accuser))
    effects = one.oversleep(60_000)
    assert events(effects, MemberDown) == []
    assert one.gossip.local_health >= 1


def run_answered_by_all_but(one: One, suspect: int, tenths: int) -> int:
    """Lets time pass until the suspect is dead, or so long; returns the tenths of a second."""
    for tenth in range(tenths):
        effects = one.run(0.1)
        for link in range(1, 13):
            if link != suspect:
                answer(one, link, effects)
        if one.state(suspect) == "dead":
            return tenth
    return tenths


@pytest.mark.parametrize(("silent_s", "state"), [(4, "dead"), (6, "suspect")])
def test_a_peer_that_heard_nobody_for_long_counts_the_silence_of_others_anew(
    silent_s: int, state: str
) -> None:
    control = One(members=12)
    control.hear(3, accusation(1, accuser=3))
    buried_after = run_answered_by_all_but(control, 1, 300)
    assert 10 * silent_s < buried_after < 300
    one = One(members=12)
    one.hear(3, accusation(1, accuser=3))
    run_answered_by_all_but(one, 1, buried_after - 10 * silent_s - 2)
    one.plain(2, Ping(0, 0))
    one.run(silent_s)
    one.plain(2, Ping(1, 0))
    one.run(1)
    assert one.state(1) == state


def test_a_peer_that_hears_nobody_buries_nobody_for_a_minute() -> None:
    one = One(members=12)
    one.hear(3, accusation(1, accuser=3))
    assert not events(one.run(60), MemberDown)
    assert events(one.run(10), MemberDown)


def test_no_suspicion_begins_anew_for_ever() -> None:
    one = One(members=12)
    one.hear(3, accusation(1, accuser=3))
    for _ in range(12):
        one.run(6)
        one.plain(2, Ping(1, 0))  # one liar that speaks now and then keeps nobody alive
    assert one.state(1) == "dead"


def test_one_delay_is_noticed_once() -> None:
    one = One(members=3)
    one.run(0.2)
    one.at_ns += 10_000_000_000
    for _ in range(5):
        one.plain(1, Ping(1, 0))
    assert one.gossip.local_health == 1


# Local health


def test_missing_nacks_worsen_local_health() -> None:
    one = One(members=8)
    until_helpers_are_asked(one)
    one.run(0.6)
    assert one.gossip.local_health == 3


def test_local_health_stretches_timeouts_and_is_bounded() -> None:
    health = LocalHealth(8, enabled=True)
    stretched = []
    for change in (0, 3, 100, -1, -100):
        health.apply(change)
        stretched.append(health.scale(10))
    assert stretched == [10, 40, 90, 80, 10]


def test_nacks_say_that_the_fault_is_not_mine() -> None:
    one = One(members=12)
    effects = until_helpers_are_asked(one)
    for helper in asked(effects):
        for request in sent(effects, PingRequest, to=helper):
            one.plain(helper, Nack(request.nonce))
    one.run(0.6)
    assert one.gossip.local_health == 0


def test_answers_improve_local_health() -> None:
    one = One(members=1)
    one.run(2)
    worse = one.gossip.local_health
    assert worse > 0
    for _ in range(300):
        answer(one, 1, one.run(0.1))
    assert one.gossip.local_health == 0


# Plain SWIM, for comparison


def test_plain_swim_kills_when_the_timer_ends_and_not_before() -> None:
    one = One(members=12, parameters=PLAIN)
    for accuser in range(2, 8):
        one.hear(accuser, accusation(1, accuser))
    assert events(one.run(5.3), MemberDown) == []
    assert peer_id(1) in [e.peer for e in events(one.run(0.5), MemberDown)]
    assert one.gossip.local_health == 0
