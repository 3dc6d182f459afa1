"""The ordered log: blocks, catching up, liars, restarts, and histories that are linearisable."""

import random

import msgspec
import pytest

from protocols.errors import Refused
from protocols.machine import SECOND_NS
from protocols.quorum import quorum, tolerated
from protocols.voting import log_messages as messages
from protocols.voting.blocks import (
    CLOCK_SLACK_MS,
    STATE_EVERY,
    Block,
    decode_block,
    instance_of,
    sign_order,
)
from protocols.voting.chain import BLOCKS_KEPT
from protocols.voting.ledger import Acquire, Transact
from protocols.voting.log_commands import FollowElectorate, LogElectorUp, PutInOrder
from protocols.voting.marks import digest_of
from protocols.voting.orders import WAITING_LIMIT
from protocols.wire import encode
from simulations.linearisability import NEVER, Operation, is_linearisable
from tests.protocols.voting.office import (
    KEYRINGS,
    TICK_NS,
    Clerk,
    Office,
    bundle_of,
    get,
    put,
    swap,
)


def leader_of(office: Office) -> Clerk:
    """Who leads the next height."""
    machine = office.clerks[0].machine
    assert machine.electorate is not None
    name = instance_of(1, machine.height + 1)
    return office.clerks[machine.electorate.order(name)[0]]


@pytest.mark.parametrize("n", [4, 5, 7])
def test_an_entry_takes_three_delays_from_the_proposal(n: int) -> None:
    office = Office(n)
    leader = leader_of(office)
    begun = office.monotonic_ns
    leader.put(1, put("a", b"1"))
    office.run(1, lambda: 1 in leader.done)
    assert (office.monotonic_ns - begun) // TICK_NS == 3
    office.run(1)
    assert office.same() == 1
    assert all(clerk.blamed == [] for clerk in office.clerks)


@pytest.mark.parametrize("n", [2, 4, 7])
def test_what_comes_meanwhile_goes_into_one_block(n: int) -> None:
    office = Office(n)
    for request in range(200):
        office.clerks[request % n].put(request, swap("a", None, b"1"), get("a"))
    office.run(5)
    done = {k: v for clerk in office.clerks for k, v in clerk.done.items()}
    assert len(done) == 200
    assert sum(each.results[0].is_done for each in done.values()) == 1, "one wins"
    assert all(each.results[1].values[0][1] == b"1" for each in done.values())
    assert office.same() <= 200 // min(32, 200 // n) + 2
    assert all(clerk.blamed == [] for clerk in office.clerks)


@pytest.mark.parametrize("n", [4, 5, 7])
def test_f_dead_electors_do_not_stop_the_log_and_one_more_does(n: int) -> None:
    office = Office(n)
    for place in range(1, 1 + tolerated(n)):
        office.down(place)
    for request in range(8):
        office.clerks[0].put(request, put("a", b"%d" % request))
        office.run(20, lambda: request in office.clerks[0].done)  # noqa: B023
        assert request in office.clerks[0].done
    for place in range(1, n - quorum(n) + 2):
        office.down(place)
    with pytest.raises(Refused, match="NoQuorum"):
        office.clerks[0].put(99, put("a", b""))


def test_a_silent_leader_costs_a_view_and_no_more() -> None:
    office = Office(4)
    leader = leader_of(office)
    leader.lies = lambda to, message: []
    asker = next(clerk for clerk in office.clerks if clerk is not leader)
    asker.put(1, put("a", b"1"))
    office.run(5, lambda: 1 in asker.done)
    assert 1 in asker.done


@pytest.mark.parametrize("missed", [3, BLOCKS_KEPT + 10])
def test_an_elector_that_was_away_catches_up(missed: int) -> None:
    office = Office(4)
    away = office.clerks[3]
    away.put(1, put("before", b"1"))
    office.run(2)
    office.down(3)
    for request in range(missed):
        office.clerks[0].put(request + 10, put(f"k{request % 7}", b"%d" % request))
        office.run(5, lambda: request + 10 in office.clerks[0].done)  # noqa: B023
    away.is_up = True
    away.restart()
    for other in office.clerks[:3]:
        away.do(away.machine.submit, LogElectorUp(other.keyring.peer))
    office.run(2)
    office.clerks[1].put(5, get("k0"))
    office.run(60, lambda: away.machine.height == office.clerks[0].machine.height)
    office.run(5)
    assert office.same() == missed + 2
    away.put(6, put("after", b"1"))
    office.run(5)
    assert 6 in away.done
    away.restart(True)
    away.restart()


def test_states_are_finalised_now_and_then() -> None:
    office = Office(1)
    for request in range(STATE_EVERY):
        office.clerks[0].put(request, put("a", b"%d" % request))
    (record,) = [each for each in office.clerks[0].machine.snapshot()
                 if isinstance(each, messages.BlockRecord) and each.block.state]  # fmt: skip
    assert record.block.state


def test_a_leader_cannot_make_up_or_change_an_order() -> None:
    office = Office(4)
    liar = leader_of(office)
    other = next(clerk for clerk in office.clerks if clerk is not liar)
    forged = sign_order(liar.keyring, 1, (put("a", b"forged"),))
    body = msgspec.msgpack.decode(forged.body)
    body[1] = other.keyring.peer
    forged = msgspec.structs.replace(forged, body=msgspec.msgpack.encode(body))
    for clerk in office.clerks:
        if clerk is not liar:
            peer = liar.keyring.peer
            clerk.do(clerk.machine.receive, peer, peer, messages.OrderSent(forged))
            assert clerk.blamed == [(peer, "an order that it did not sign")]
            assert clerk.machine.deadline() is None, "nothing to settle"


def test_an_order_is_carried_out_once_however_often_it_is_said() -> None:
    office = Office(4)
    said: list[messages.OrderSent] = []
    first = office.clerks[0]

    def keep(to: bytes, message: msgspec.Struct) -> list[msgspec.Struct]:
        if isinstance(message, messages.OrderSent):
            said.append(message)
        return [message]

    first.lies = keep
    first.put(1, swap("a", None, b"1"))
    office.run(2)
    height = office.same()
    peer = first.keyring.peer
    for clerk in office.clerks[1:]:
        clerk.do(clerk.machine.receive, peer, peer, said[0])
    office.run(30)
    assert office.same() == height


def test_a_block_with_an_order_that_was_carried_out_is_refused() -> None:
    office = Office(4)
    clerk = office.clerks[0]
    clerk.put(1, put("a", b"1"))
    office.run(2)
    payload = office.blocks[1]
    first = decode_block(payload)
    assert first is not None
    time_ms = first.time_ms + 1
    new = sign_order(clerk.keyring, 2, (get("a"),))
    for orders, is_good in ((first.orders, False), ((new,), True), ((new, new), False)):
        block = Block(2, digest_of(payload), time_ms, b"", orders)
        accepted = office.clerks[1].machine.accepts(1, encode(block), b"", 0, clerk.now())
        assert accepted is is_good


def test_electors_of_a_list_to_come_do_not_settle_the_past_anew() -> None:
    office = Office(1, guests=3)
    later = bundle_of([0, 1, 2, 3], epoch=2)
    newcomers = office.clerks[1:]
    for newcomer in newcomers:
        newcomer.do(newcomer.machine.submit, FollowElectorate(later))
        with pytest.raises(Refused, match="Busy"):
            newcomer.put(1, put("a", b"1"))
    order = messages.OrderSent(sign_order(KEYRINGS[1], 1, (put("a", b"1"),)))
    for newcomer in newcomers[1:]:
        peer = KEYRINGS[1].peer
        newcomer.do(newcomer.machine.receive, peer, peer, order)
        assert newcomer.machine.instance is None
        assert not any(isinstance(each, messages.LogMarkRecord) for each in newcomer.disk)


def test_a_block_of_the_future_waits_and_of_the_past_is_refused() -> None:
    office = Office(4)
    liar = leader_of(office)
    liar.skew_ns = (CLOCK_SLACK_MS + 5_000) * 1_000_000
    others = [clerk for clerk in office.clerks if clerk is not liar]
    others[0].put(1, put("a", b"1"))
    office.run(4, lambda: 1 in others[0].done)
    assert 1 in others[0].done, "the next leader's clock is right"
    wall_ms = others[0].now().wall_ns // 1_000_000
    assert others[0].done[1].time_ms <= wall_ms + CLOCK_SLACK_MS


def test_a_lock_whose_holder_died_is_free_again() -> None:
    office = Office(4)
    office.clerks[3].put(1, Acquire("lock", "three", 2_000))
    office.run(1)
    office.down(3)
    office.clerks[0].put(2, Acquire("lock", "zero", 2_000))
    office.run(1)
    assert office.clerks[0].done[2].results[0].reason == "held"
    office.run(2)
    office.clerks[0].put(3, Acquire("lock", "zero", 2_000))
    office.run(2)
    (held,) = office.clerks[0].done[3].results
    assert held.is_done
    assert held.version > office.clerks[3].done[1].results[0].version


def test_electors_change_through_the_log() -> None:
    office = Office(4, guests=1)
    office.clerks[0].put(1, put("a", b"1"))
    office.run(2)
    later = bundle_of([0, 1, 2, 3, 4], epoch=2)
    for clerk in office.clerks:
        clerk.do(clerk.machine.submit, FollowElectorate(later))
    assert office.clerks[0].machine.electorate is not None
    office.run(5)
    for clerk in office.clerks[:4]:
        assert clerk.machine.electorate is not None
        assert clerk.machine.electorate.epoch == 2
    newcomer = office.clerks[4]
    for other in office.clerks[:4]:
        newcomer.do(newcomer.machine.submit, LogElectorUp(other.keyring.peer))
    office.run(5)
    office.n = 5
    newcomer.put(2, get("a"))
    office.run(5)
    assert newcomer.done[2].results[0].values[0][1] == b"1"
    office.same()
    for clerk in office.clerks:
        clerk.restart()
    office.clerks[1].put(3, put("a", b"2"))
    office.run(5)
    assert 3 in office.clerks[1].done


def test_a_list_that_the_root_did_not_sign_changes_nothing() -> None:
    office = Office(4)
    bent = bytearray(bundle_of([4, 5, 6], epoch=2))
    bent[-1] ^= 1
    clerk = office.clerks[0]
    with pytest.raises(Refused, match="NoElectorate"):
        clerk.do(clerk.machine.submit, FollowElectorate(bytes(bent)))


def test_a_peer_without_a_seat_is_told_where_to_ask() -> None:
    office = Office(4, guests=1)
    guest = office.clerks[4]
    with pytest.raises(Refused, match="NoElectorate"):
        guest.put(1, get("a"))
    guest.do(guest.machine.submit, FollowElectorate(bundle_of([0, 1, 2, 3])))
    with pytest.raises(Refused, match="NotAnElector"):
        guest.put(1, get("a"))


def test_requests_that_wait_have_a_limit() -> None:
    office = Office(4)
    office.passes = lambda sender, receiver: False
    clerk = office.clerks[0]
    for request in range(WAITING_LIMIT + 1):  # the first is under way by itself
        clerk.put(request, get("a"))
    with pytest.raises(Refused, match="Busy"):
        clerk.put(WAITING_LIMIT + 1, get("a"))
    with pytest.raises(Refused, match="TooLarge"):
        clerk.do(clerk.machine.submit, PutInOrder(1, (put("a", bytes(8_000)),) * 3))


def storm(seed: int, n: int, liar: bool = False) -> None:
    """Clients ask while messages are lost and clerks restart; the history must be linearisable."""
    rng = random.Random(seed)
    office = Office(n)
    asked: dict[int, tuple[int, int, Transact]] = {}
    answered: dict[int, int] = {}
    office.passes = lambda sender, receiver: rng.random() > 0.05
    if liar:
        office.clerks[n - 1].lies = lambda to, message: [message] if rng.random() < 0.5 else []
    for request in range(60):
        clerk = rng.choice(office.clerks)
        draw = rng.randrange(4)
        expected, value = rng.choice((None, b"%d" % rng.randrange(4))), b"%d" % rng.randrange(4)
        action = get("a") if draw == 0 else swap("a", expected, value)
        asked[request] = (clerk.place, office.monotonic_ns, action)
        clerk.put(request, action)
        office.run(rng.choice((0.001, 0.003, 0.02, 0.5)))
        for each in office.clerks:
            for number in each.done:
                answered.setdefault(number, office.monotonic_ns)
        if rng.random() < 0.1:
            rng.choice(office.clerks).restart(rng.random() < 0.5)
        if rng.random() < 0.05:
            for each in office.clerks:
                each.restart()
    office.passes = lambda sender, receiver: True
    office.run(60)
    for each in office.clerks:
        for number in each.done:
            answered.setdefault(number, office.monotonic_ns)
    last = office.clerks[0]
    last.put(1_000, get("a"))
    office.run(60, lambda: 1_000 in last.done)
    assert 1_000 in last.done, f"seed {seed}: no progress after the network is whole"
    asked[1_000], answered[1_000] = (0, office.monotonic_ns, get("a")), office.monotonic_ns + 1
    office.run(10)
    office.same()
    history = [
        operation_of(office, request, asked[request], answered.get(request, NEVER))
        for request in asked
    ]
    assert is_linearisable(history), f"seed {seed}"
    assert all(clerk.blamed == [] for clerk in office.clerks)


def operation_of(
    office: Office, request: int, asked: tuple[int, int, Transact], ended: int
) -> Operation:
    """A request as the checker sees it."""
    place, began, action = asked
    done = office.clerks[place].done.get(request)
    is_write = bool(action.writes)
    expected = action.checks[0][1] if action.checks else None
    wrote = action.writes[0][1] if is_write else None
    if done is None or done.results[0].reason == "unknown":
        return Operation(began, NEVER, is_write, is_write, expected, wrote)
    (result,) = done.results
    held = result.values[0][1]
    return Operation(began, ended, is_write, is_write, expected, wrote, held, result.is_done)


@pytest.mark.parametrize("n", [1, 4, 5])
def test_histories_in_storms_are_linearisable(n: int) -> None:
    for seed in range(2):
        storm(seed, n)


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 4, 5, 7])
def test_histories_in_many_storms_are_linearisable(n: int) -> None:
    for seed in range(100, 108):
        storm(seed, n, liar=seed % 2 == 0 and n >= 4)


def test_all_restarted_at_once_go_on() -> None:
    for after in range(1, 6):
        office = Office(4)
        leader_of(office).put(1, put("a", b"1"))
        office.run(after * TICK_NS / SECOND_NS)
        for clerk in office.clerks:
            clerk.restart()
        office.clerks[0].put(2, put("b", b"1"))
        office.run(30)
        assert 2 in office.clerks[0].done
        office.same()
        assert KEYRINGS[0].peer == office.clerks[0].keyring.peer
