"""What the core remembers of deadlines is what its machines would say."""

import pytest

from protocols.gossip.dissemination import Dissemination
from protocols.gossip.messages import MemberRecord
from protocols.machine import SECOND_NS
from protocols.wire import encode, seal
from tests.core.lone_core import LoneCore


def test_a_deadline_that_changes_outside_a_step_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    one = LoneCore(1)
    assert one.core.deadline() is None
    one.core.check()
    monkeypatch.setattr(one.core.auction, "deadline", lambda: 5 * SECOND_NS)
    with pytest.raises(AssertionError, match="deadlines-are-known: auction"):
        one.core.check()


def test_gossip_that_was_stopped_half_way_says_what_is_due_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, other = LoneCore(1), LoneCore(2)
    record = MemberRecord(other.peer, 1, False, "x", "tcp://x:1", 1, (), other.credential)

    def breaks(*_: object) -> None:
        raise KeyError("half-way")

    monkeypatch.setattr(Dissemination, "flush", breaks)
    (accused,) = one.hear(other.peer, encode(seal(other.keyring, record)))
    monkeypatch.undo()
    assert "isolated" in accused.offence
    due = one.core.deadline()
    assert due is not None, "the new member is to be told of, and to be probed"
    one.core.check()
