"""Leases for exclusive tasks, asked of electors by peers that are none."""

from collections.abc import Callable

import msgspec
import pytest

from protocols.quorum import tolerated
from protocols.voting.leasing import ASKED_LIMIT, SERVED_PER_PEER, TTL_LIMIT_MS
from protocols.voting.ledger import PLACE_BITS, Acquire, Release, Renew
from protocols.voting.log_commands import (
    AskLease,
    FollowElectorate,
    LeaseAction,
    LeaseAnswered,
    LogElectorDown,
    LogElectorUp,
)
from protocols.voting.log_messages import LeaseAnswer, LeaseAsk
from tests.protocols.voting.office import Clerk, Office, bundle_of

TTL_MS = 10_000


def office_with_a_guest(n: int = 4) -> tuple[Office, Clerk]:
    """Electors, and a peer that is none but has heard who they are."""
    office = Office(n, guests=1)
    guest = office.clerks[n]
    guest.do(guest.machine.submit, FollowElectorate(bundle_of(list(range(n)))))
    return office, guest


def acquire(clerk: Clerk, name: str = "tasks/k", more: str = "1") -> Acquire:
    return Acquire(name, f"{clerk.keyring.peer.hex()}/{more}", TTL_MS)


def ask(office: Office, clerk: Clerk, request: int, action: LeaseAction) -> LeaseAnswered | None:
    """What came of a question within half a second."""
    clerk.do(clerk.machine.submit, AskLease(request, action))
    office.run(0.5)
    return answer_to(clerk, request)


def answer_to(clerk: Clerk, request: int) -> LeaseAnswered | None:
    answers = [each for each in clerk.events if isinstance(each, LeaseAnswered)]
    return next((each for each in answers if each.request == request), None)


def granted(answer: LeaseAnswered | None) -> int:
    assert answer is not None
    assert answer.is_done, answer.text
    return answer.token


def asked_by(clerk: Clerk) -> list[tuple[bytes, LeaseAsk]]:
    """Everything that a clerk asks electors from now on."""
    said: list[tuple[bytes, LeaseAsk]] = []

    def keep(to: bytes, message: msgspec.Struct) -> list[msgspec.Struct]:
        if isinstance(message, LeaseAsk):
            said.append((to, message))
        return [message]

    clerk.lies = keep
    return said


def test_an_elector_gets_a_lease_from_its_own_log() -> None:
    office = Office(4)
    clerk = office.clerks[0]
    said = asked_by(clerk)
    token = granted(ask(office, clerk, 1, acquire(clerk)))
    assert token >> 16 == 1
    assert said == []
    assert not clerk.done, "nobody else is told"


@pytest.mark.parametrize("n", [1, 3, 4, 7])
def test_a_peer_that_is_no_elector_asks_one_more_than_may_lie(n: int) -> None:
    office, guest = office_with_a_guest(n)
    said = asked_by(guest)
    token = granted(ask(office, guest, 1, acquire(guest)))
    assert len({to for to, _ in said}) == tolerated(n) + 1
    renewed = ask(office, guest, 2, Renew("tasks/k", token, TTL_MS))
    assert granted(renewed) == token
    ask(office, guest, 3, Release("tasks/k", token))
    other = granted(ask(office, guest, 4, acquire(guest, more="2")))
    assert other > token
    assert all(clerk.blamed == [] for clerk in office.clerks)


def test_a_lease_that_another_holds_is_refused_and_the_answer_says_so() -> None:
    office, guest = office_with_a_guest()
    clerk = office.clerks[0]
    token = granted(ask(office, clerk, 1, acquire(clerk)))
    answer = ask(office, guest, 1, acquire(guest))
    assert answer is not None
    assert (answer.is_done, answer.reason) == (False, "held")
    assert "another attempt holds" in answer.text
    ask(office, clerk, 2, Release("tasks/k", token))
    assert granted(ask(office, guest, 2, acquire(guest))) > token


def test_a_lease_that_has_run_out_is_not_renewed() -> None:
    office, guest = office_with_a_guest()
    token = granted(ask(office, guest, 1, acquire(guest)))
    office.run(TTL_MS / 1000)
    later = granted(ask(office, office.clerks[0], 1, acquire(office.clerks[0])))
    assert later > token
    answer = ask(office, guest, 2, Renew("tasks/k", token, TTL_MS))
    assert answer is not None
    assert (answer.is_done, answer.reason) == (False, "ended")


def lying(clerk: Clerk, lie: Callable[[LeaseAnswer], LeaseAnswer]) -> None:
    """An elector that answers what it likes."""
    clerk.lies = lambda to, m: [lie(m) if isinstance(m, LeaseAnswer) else m]


@pytest.mark.parametrize("liar", range(4))
def test_one_lying_elector_of_four_makes_nobody_believe_in_a_lease(liar: int) -> None:
    office, guest = office_with_a_guest()
    holder = office.clerks[(liar + 1) % 4]
    granted(ask(office, holder, 1, acquire(holder)))
    lying(office.clerks[liar], lambda m: LeaseAnswer(m.request, "done", 99 << 16, 2**50))
    answers = [ask(office, guest, 1, acquire(guest)) for _ in range(4)]
    answer = answers[-1]
    assert answer is not None, "the honest ones are asked in turn"
    assert answer.reason == "held"


@pytest.mark.parametrize("liar", range(4))
def test_one_lying_elector_of_four_takes_no_lease_away(liar: int) -> None:
    office, guest = office_with_a_guest()
    token = granted(ask(office, guest, 1, acquire(guest)))
    lying(office.clerks[liar], lambda m: LeaseAnswer(m.request, "ended"))
    answers = [ask(office, guest, 2, Renew("tasks/k", token, TTL_MS)) for _ in range(4)]
    assert granted(answers[-1]) == token


def test_an_elector_that_is_dead_is_passed_over_and_a_silent_one_left_behind() -> None:
    office, guest = office_with_a_guest()
    said = asked_by(guest)
    guest.do(guest.machine.submit, AskLease(1, acquire(guest)))
    first = {to for to, _ in said}
    silent = next(c for c in office.clerks if c.keyring.peer in first)
    silent.lies = lambda to, m: [] if isinstance(m, LeaseAnswer) else [m]
    office.run(1)
    assert answer_to(guest, 1) is None
    for _ in range(3):
        ask(office, guest, 1, acquire(guest))
    assert granted(answer_to(guest, 1))
    office.down(office.clerks.index(silent))
    said.clear()
    granted(ask(office, guest, 2, acquire(guest, "tasks/other")))
    assert silent.keyring.peer not in {to for to, _ in said}


def test_without_a_quorum_the_answer_says_what_is_missing() -> None:
    office, guest = office_with_a_guest()
    for place in (2, 3):
        office.down(place)
    answer = ask(office, guest, 1, acquire(guest))
    assert answer is not None
    assert answer.reason == "no-quorum"
    assert "too few electors are alive" in answer.text
    own = ask(office, office.clerks[0], 1, acquire(office.clerks[0]))
    assert own is not None
    assert "2 of 4 electors are alive" in own.text


@pytest.mark.parametrize("place", [0, 4])
def test_a_question_that_a_quorum_can_settle_no_more_is_answered_when_it_is_asked_again(
    place: int,
) -> None:
    office, guest = office_with_a_guest()
    asker = office.clerks[place]
    office.passes = lambda sender, receiver: guest in (sender, receiver)
    assert ask(office, asker, 1, acquire(asker)) is None
    for gone in (2, 3):
        office.down(gone)
    answers = [ask(office, asker, 1, acquire(asker)) for _ in range(3)]
    told = [answer for answer in answers if answer is not None]
    assert {answer.reason for answer in told} == {"no-quorum"}


def test_what_was_answered_so_is_told_no_second_time_and_may_be_asked_for_anew() -> None:
    office, _ = office_with_a_guest()
    asker = office.clerks[0]
    office.passes = lambda sender, receiver: False
    ask(office, asker, 1, acquire(asker))
    away = [clerk.keyring.peer for clerk in office.clerks[2:4]]
    for peer in away:
        asker.do(asker.machine.submit, LogElectorDown(peer))
    ask(office, asker, 1, acquire(asker))
    office.passes = lambda sender, receiver: True
    for peer in away:
        asker.do(asker.machine.submit, LogElectorUp(peer))
    office.run(5)
    answers = [each for each in asker.events if isinstance(each, LeaseAnswered)]
    assert [answer.reason for answer in answers] == ["no-quorum"]
    token = granted(ask(office, asker, 2, acquire(asker)))
    assert token >> PLACE_BITS < office.same(), "it was granted by the first"


def test_a_mesh_without_electors_says_so() -> None:
    office = Office(0, guests=1)
    answer = ask(office, office.clerks[0], 1, acquire(office.clerks[0]))
    assert answer is not None
    assert answer.reason == "no-electorate"


def test_a_question_said_twice_is_put_in_order_once() -> None:
    office, guest = office_with_a_guest(1)
    for _ in range(3):
        guest.do(guest.machine.submit, AskLease(1, acquire(guest)))
    office.run(1)
    assert granted(answer_to(guest, 1))
    assert office.same() <= 3, "as often as it came after the answer, at most"


@pytest.mark.parametrize(
    "bent",
    [
        lambda clerk: Acquire("locks/k", f"{clerk.keyring.peer.hex()}/1", TTL_MS),
        lambda clerk: Acquire("tasks/k", "somebody", TTL_MS),
        lambda clerk: Acquire("tasks/k", f"{clerk.keyring.peer.hex()}/1", TTL_LIMIT_MS + 1),
        lambda clerk: Release("locks/k", 1),
    ],
)
def test_what_no_honest_peer_asks_is_blamed_and_not_put_in_order(
    bent: Callable[[Clerk], LeaseAction],
) -> None:
    office, guest = office_with_a_guest()
    peer = guest.keyring.peer
    elector = office.clerks[0]
    elector.do(elector.machine.receive, peer, peer, LeaseAsk(1, bent(guest)))
    office.run(1)
    assert [who for who, _ in elector.blamed] == [peer]
    assert office.same() == 0


def test_nobody_gives_back_or_renews_the_lease_of_another() -> None:
    office, guest = office_with_a_guest()
    clerk = office.clerks[0]
    token = granted(ask(office, clerk, 1, acquire(clerk)))
    answer = ask(office, guest, 1, Release("tasks/k", token))
    assert answer is not None
    assert answer.reason == "not-yours"
    assert granted(ask(office, clerk, 2, Renew("tasks/k", token, TTL_MS))) == token


def test_an_elector_that_is_behind_does_not_say_that_a_lease_has_ended() -> None:
    office, guest = office_with_a_guest()
    token = 1000 << 16
    answer = ask(office, guest, 1, Renew("tasks/k", token, TTL_MS))
    assert answer is not None
    assert answer.reason == "busy"


def test_one_peer_has_only_so_much_under_way() -> None:
    office, guest = office_with_a_guest()
    elector = office.clerks[0]
    office.passes = lambda sender, receiver: guest in (sender, receiver)
    peer = guest.keyring.peer
    for request in range(SERVED_PER_PEER + 1):
        message = LeaseAsk(request, acquire(guest, f"tasks/{request}"))
        elector.do(elector.machine.receive, peer, peer, message)
    said = [message for _, _, to, message in office.under_way if to is guest]
    assert said == [LeaseAnswer(SERVED_PER_PEER, "busy")]


def test_questions_under_way_have_a_limit() -> None:
    office, guest = office_with_a_guest()
    office.passes = lambda sender, receiver: False
    for request in range(ASKED_LIMIT + 1):
        guest.machine.submit(AskLease(request, acquire(guest)), guest.now())
    guest.machine.check()


def test_an_answer_that_nobody_asked_for_is_ignored() -> None:
    office, guest = office_with_a_guest(1)
    peer = office.clerks[0].keyring.peer
    guest.do(guest.machine.receive, peer, peer, LeaseAnswer(5, "done", 1 << 16, 2**50))
    assert answer_to(guest, 5) is None
