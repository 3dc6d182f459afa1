"""Electors of the log that are started again on older copies of their disks."""

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.voting.ballot_commands import DiskFoundOld, ElectorReadmitted
from protocols.voting.log_commands import LogElectorUp, PutInOrder
from protocols.voting.log_messages import LogMark, LogProposal
from protocols.voting.log_return import HEIGHTS_LEFT
from protocols.voting.standing_messages import LogSeen
from tests.protocols.voting.office import KEYRINGS, Clerk, Office, get, put

SIGNED = (LogMark, LogProposal)


def of(clerk: Clerk, kind: type) -> list[Any]:
    return [event for event in clerk.events if isinstance(event, kind)]


def is_waiting(clerk: Clerk) -> bool:
    return clerk.machine.standing[0]


def write(office: Office, place: int, request: int) -> None:
    """One more height, as far as the others let it come to that."""
    office.clerks[place].put(request, put(f"key-{request}", b"v"))
    office.run(5.0)


def copied_before(heights: int, n: int = 4) -> tuple[Office, list[msgspec.Struct]]:
    """A log, and the second clerk's disk from before its last heights."""
    office = Office(n)
    write(office, 0, 1)
    copy = list(office.clerks[-1 if n == 1 else 1].disk)
    for request in range(2, 2 + heights):
        write(office, 0, request)
    return office, copy


def test_an_elector_waits_until_a_quorum_has_told_its_height() -> None:
    office, _ = copied_before(1)
    clerk = office.clerks[1]
    for place in (2, 3):
        office.down(place)
    clerk.restart()
    office.run(3.0)
    assert is_waiting(clerk)
    clerk.put(9, get("key-1"))
    office.run(3.0)
    assert not clerk.done
    office.clerks[2].is_up = True
    clerk.do(clerk.machine.submit, LogElectorUp(KEYRINGS[2].peer))
    office.run(3.0)
    assert not is_waiting(clerk)
    office.run(60.0, lambda: 9 in clerk.done)
    assert 9 in clerk.done


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7])
def test_all_that_start_again_at_once_go_on_at_once(n: int) -> None:
    office, _ = copied_before(1, n)
    for clerk in office.clerks:
        clerk.restart()
    office.run(0.01)
    assert not any(map(is_waiting, office.clerks))
    write(office, 0, 9)
    assert office.same() == 3
    assert not any(of(clerk, DiskFoundOld) for clerk in office.clerks)


def test_a_mesh_that_starts_again_without_f_of_its_electors_goes_on() -> None:
    office, _ = copied_before(1)
    office.down(3)
    for clerk in office.clerks[:3]:
        clerk.restart()
    office.run(0.01)
    assert not any(map(is_waiting, office.clerks[:3]))
    office.down(3)
    write(office, 0, 9)
    assert office.same() == 3


def test_a_restored_backup_leaves_the_heights_of_before_to_the_others() -> None:
    office, copy = copied_before(3)
    clerk = office.clerks[1]
    clerk.put_back(copy)
    sent: list[msgspec.Struct] = []

    def note(to: bytes, message: msgspec.Struct) -> list[msgspec.Struct]:
        sent.append(message)
        return [message]

    clerk.lies = note
    office.run(3.0)
    assert [event.where for event in of(clerk, DiskFoundOld)] == ["log"]
    assert [event.bar for event in of(clerk, ElectorReadmitted)] == [4 + HEIGHTS_LEFT]
    assert clerk.machine.standing == (False, False, 6)
    for request in (10, 11):
        write(office, 0, request)
    assert office.same() == 6
    assert not any(isinstance(message, SIGNED) for message in sent)
    write(office, 1, 12)
    assert office.same() == 7
    assert any(isinstance(message, SIGNED) for message in sent), "it signs again"
    clerk.restart(is_compacted=True)
    office.run(1.0)
    assert clerk.machine.standing == (False, False, 6)


def test_a_mark_that_somebody_holds_is_enough_to_know_an_older_copy() -> None:
    office, copy = copied_before(0)
    clerk = office.clerks[1]
    # Its mark comes through, and nothing else is heard of that height.
    office.passes = lambda sender, receiver: sender.place in (0, 1) and receiver.place in (0, 1)
    write(office, 0, 5)
    assert any(height == 2 for _, height, _, _ in clerk.signed)
    office.passes = lambda sender, receiver: True
    clerk.put_back(copy)
    office.run(0.004)
    assert of(clerk, DiskFoundOld)
    office.run(10.0)
    assert office.same() == 2


def test_of_two_electors_the_restored_one_keeps_to_what_the_other_shows() -> None:
    office, copy = copied_before(0, 2)
    clerk = office.clerks[1]
    office.passes = lambda sender, receiver: sender.place == 1
    write(office, 0, 5)
    write(office, 1, 6)
    office.passes = lambda sender, receiver: True
    clerk.put_back(copy)
    office.run(30.0)
    assert of(clerk, DiskFoundOld)
    assert not is_waiting(clerk)
    write(office, 0, 7)
    assert office.same() >= 2


def test_an_earlier_life_of_a_later_disk_may_have_used_a_number_for_something_else() -> None:
    office, copy = copied_before(0)
    clerk = office.clerks[1]
    clerk.machine.submit(PutInOrder(1, (put("mine", b"1"),)), clerk.now())
    order = clerk.machine.propose(1, b"", clerk.now())
    assert order is not None
    clerk.do(clerk.machine.submit, PutInOrder(2, (put("mine", b"2"),)))
    clerk.put_back(copy)
    office.run(20.0)
    clerk.put(3, put("mine", b"3"))
    office.run(30.0)
    assert 3 in clerk.done
    office.same()


def test_who_claims_to_be_far_ahead_is_not_waited_for() -> None:
    office, _ = copied_before(1)
    liar = office.clerks[3]
    liar.lies = lambda to, message: [
        msgspec.structs.replace(message, height=2**40) if isinstance(message, LogSeen) else message
    ]
    office.clerks[1].restart()
    office.run(0.01)
    assert not is_waiting(office.clerks[1])
    assert not of(office.clerks[1], DiskFoundOld)


def test_a_proof_that_holds_its_own_mark_tells_it_though_all_have_started_again() -> None:
    office, copy = copied_before(4)
    for place in (0, 2, 3):
        office.clerks[place].restart(is_compacted=True)
    clerk = office.clerks[1]
    clerk.put_back(copy)
    office.run(3.0)
    assert of(clerk, DiskFoundOld)
    assert not is_waiting(clerk)
    assert office.same() == 5


def survives(seed: int, n: int) -> None:
    """One elector starts on older copies at any time, others on their own disks."""
    rng, office = random.Random(seed), Office(n)
    victim = office.clerks[rng.randrange(n)]
    others = [clerk for clerk in office.clerks if clerk is not victim]
    copies = [list(victim.disk)]
    away: list[int] = []
    office.passes = lambda sender, receiver: not {sender.place, receiver.place} & {*away}
    for request in range(rng.randrange(4, 12)):
        away[:] = [rng.choice(others).place] if rng.random() < 0.3 else []
        rng.choice(office.clerks).put(request, put(f"key-{rng.randrange(3)}", b"v%d" % request))
        office.run(rng.choice((0.001, 0.002, 0.003, 0.005, 2.0)))
        copies.append(list(victim.disk))
        what = rng.randrange(4)
        if what == 0:
            victim.put_back(rng.choice(copies))
        elif what == 1:
            rng.choice(others).restart(is_compacted=rng.random() < 0.5)
        office.run(rng.choice((0.002, 1.5)))
    away.clear()
    office.run(30.0)
    others[0].put(100, put("last", b"v"))
    office.run(90.0, lambda: 100 in others[0].done)
    assert 100 in others[0].done, "the others go on"
    assert not any(is_waiting(clerk) for clerk in office.clerks)


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.sampled_from([4, 5]))
def test_no_elector_signs_against_itself_on_whatever_copies_it_is_started(
    seed: int, n: int
) -> None:
    survives(seed, n)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.sampled_from([4, 5, 6, 7]))
def test_no_elector_signs_against_itself_on_copies_of_all_sorts(seed: int, n: int) -> None:
    survives(seed, n)
