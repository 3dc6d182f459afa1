"""The checker of exclusive tasks catches what it is there for."""

from typing import Any

import msgspec
import pytest

from protocols.machine import MILLISECOND_NS, SECOND_NS
from protocols.tasks.events import Settled, TasksSettled
from protocols.voting.blocks import GENESIS, Block, sign_order
from protocols.voting.ledger import Acquire, Action, Release, Renew
from protocols.wire import encode
from simulations.auditing import Electorate
from simulations.checkers.exclusive import ExclusiveTasks
from simulations.checkers.ordered_log import OneLog
from simulations.clock import EPOCH_WALL_NS
from simulations.observations import JobFinished, JobHanded, PeerStopped
from simulations.world import Violation, World

NAME = "tasks/k"
FIRST, SECOND = 1 << 16, 3 << 16
"""What `granted` gives: at height 1, and at height 3 after the first has ended."""
BEGIN_MS = EPOCH_WALL_NS // MILLISECOND_NS + 1_000
"""The wall clocks' time when a world begins."""


class Bank:
    """Three peers that run, of which the first is a custodian; what happens there, by hand."""

    def __init__(self, *, is_timely: bool = True) -> None:
        self.world = World(1, 3)
        self.world.elect(3)
        for peer in self.world.peers:
            peer.start(())
        electorate = Electorate()
        electorate.read(self.world)
        self.log = OneLog(electorate)
        self.checker = ExclusiveTasks(self.log, is_timely)

    def block(self, after_ms: int, *actions: Action) -> None:
        """The next block, so long after the world began."""
        height = len(self.log.blocks) + 1
        order = sign_order(self.world.peers[0].keyring, height, actions)
        self.log.blocks[height] = encode(Block(height, GENESIS, BEGIN_MS + after_ms, b"", (order,)))

    def granted(self, renewed_ms: int = 900) -> None:
        """Two leases under one key, the second renewed once more."""
        self.block(0, Acquire(NAME, "a", 10_000))
        self.block(500, Release(NAME, FIRST))
        self.block(600, Acquire(NAME, "b", 10_000))
        self.block(renewed_ms, Renew(NAME, SECOND, 10_000))

    def tell(self, where: int, event: msgspec.Struct) -> None:
        assert type(event) in self.checker.hears, "it would never hear of it"
        self.checker.event(self.world, self.world.peers[where], event)

    def begins(self, where: int, number: int, token: int, task: str = "t") -> None:
        self.tell(where, JobHanded(self.world.peers[0].peer, task, number, "work", token))

    def ends(self, where: int, number: int, task: str = "t") -> None:
        self.tell(where, JobFinished(self.world.peers[0].peer, task, number, "ok"))

    def done(self, producer: int, task: str = "t") -> None:
        peer = self.world.peers[producer].peer
        fields: dict[str, Any] = {"error_kind": "", "error_message": "", "attempts": 1}
        settled = Settled(
            task, "done", msgspec.Raw(b"\xc0"), incomplete=False, producer=peer, confidence=-1,
            elapsed_us=1, **fields,
        )  # fmt: skip
        self.tell(0, TasksSettled((settled,)))

    def wait(self, ms: int) -> None:
        self.world.now += ms * MILLISECOND_NS

    def judge(self) -> None:
        self.checker.finish(self.world)


def test_attempts_one_after_another_and_the_result_of_the_last_are_right() -> None:
    bank = Bank()
    bank.granted()
    bank.begins(1, 1, FIRST)
    bank.wait(400)
    bank.ends(1, 1)
    bank.wait(300)
    bank.begins(2, 2, SECOND)
    bank.wait(100)
    bank.ends(2, 2)
    bank.done(2)
    bank.judge()
    assert bank.world.coverage["an exclusive task is done"] == 1


def test_a_token_that_nobody_granted_or_that_two_attempts_have_is_caught() -> None:
    bank = Bank()
    bank.granted()
    bank.begins(1, 1, FIRST + 1)
    with pytest.raises(Violation, match="exclusive-token: nobody granted"):
        bank.judge()
    bank = Bank()
    bank.granted()
    for number in (1, 2):
        bank.begins(1, number, FIRST)
        bank.ends(1, number)
    with pytest.raises(Violation, match="exclusive-token: two attempts"):
        bank.judge()


def test_a_later_attempt_with_a_lower_token_is_caught() -> None:
    bank = Bank(is_timely=False)
    bank.granted()
    bank.begins(1, 1, SECOND)
    bank.begins(2, 2, FIRST)
    with pytest.raises(Violation, match="exclusive-token: attempt 2 at t has a lower one"):
        bank.judge()


@pytest.mark.parametrize("task", ["t", "other"])
def test_two_attempts_at_once_under_one_key_are_caught(task: str) -> None:
    bank = Bank()
    bank.granted()
    bank.begins(1, 1, FIRST)
    bank.begins(2, 2, SECOND, task)
    with pytest.raises(Violation, match="exclusive-time: two attempts at once under tasks/k"):
        bank.judge()


@pytest.mark.parametrize("how", ["paused", "stopped"])
def test_beside_an_attempt_of_a_peer_that_is_held_up_or_gone_another_may_begin(how: str) -> None:
    bank = Bank()
    bank.granted()
    bank.begins(1, 1, FIRST)
    if how == "paused":
        bank.world.peers[1].paused_until = bank.world.now + SECOND_NS
    else:
        bank.tell(1, PeerStopped("crash"))
    bank.begins(2, 2, SECOND)
    bank.judge()


def test_an_attempt_that_begins_when_one_with_a_greater_token_has_is_caught() -> None:
    bank = Bank()
    bank.granted()
    bank.begins(2, 1, SECOND, "other")
    bank.ends(2, 1, "other")
    bank.begins(1, 1, FIRST)
    with pytest.raises(Violation, match="exclusive-time: 65536 of tasks/k begins too late"):
        bank.judge()


def test_a_result_of_an_earlier_attempt_is_caught() -> None:
    bank = Bank()
    bank.granted()
    bank.begins(1, 1, FIRST)
    bank.ends(1, 1)
    bank.begins(2, 2, SECOND)
    bank.done(1)
    with pytest.raises(Violation, match="exclusive-result: t is done by an earlier attempt"):
        bank.judge()


def test_a_result_that_nobody_asked_the_log_about_is_caught() -> None:
    bank = Bank()
    bank.granted(renewed_ms=700)
    bank.begins(2, 1, SECOND)
    bank.wait(800)
    bank.ends(2, 1)
    bank.done(2)
    with pytest.raises(Violation, match="exclusive-result: nobody asked the log about t"):
        bank.judge()
