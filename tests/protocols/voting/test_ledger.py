"""The ledger: what transactions and leases do, and that it is the same everywhere."""

import pytest

from protocols.voting.ledger import (
    KEYS_LIMIT,
    LEASES_LIMIT,
    Acquire,
    Action,
    Ledger,
    Release,
    Renew,
    Result,
    Transact,
    state_digest,
)


class Book:
    """A ledger to which one submitter's actions are applied, a block each."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.height = 0

    def do(self, *actions: Action, at_ms: int = 1_000) -> tuple[Result, ...]:
        self.height += 1
        order = (b"s" * 32, self.height, actions)
        (results,) = self.ledger.apply([order], self.height, at_ms)
        self.ledger.check()
        return results


def test_a_check_that_holds_lets_all_writes_through_and_another_none() -> None:
    book = Book()
    book.do(Transact(writes=(("a", b"1"), ("b", b"1"))))
    both = (("a", b"2"), ("b", None))
    (changed,) = book.do(Transact(checks=(("a", b"1"), ("b", b"x")), writes=both))
    assert (changed.is_done, changed.reason) == (False, "changed")
    assert changed.values == (("b", b"1", 1 << 16),)
    (done,) = book.do(Transact(checks=(("a", b"1"), ("b", b"1")), writes=both, reads=("a",)))
    assert done.is_done
    assert done.values == (("a", b"1", 1 << 16),), "reads are of before the writes"
    (now,) = book.do(Transact(reads=("a", "b")))
    assert now.values == (("a", b"2", 3 << 16), ("b", None, 0))


def test_a_lease_is_one_holders_until_it_ends_in_log_time() -> None:
    book = Book()
    (first,) = book.do(Acquire("lock", "one", 500), at_ms=1_000)
    (refused,) = book.do(Acquire("lock", "two", 500), at_ms=1_499)
    assert (refused.is_done, refused.reason) == (False, "held")
    assert refused.lease == first.lease
    (second,) = book.do(Acquire("lock", "two", 500), at_ms=1_500)
    assert second.is_done
    assert second.version > first.version, "a later holder has a greater token"
    (late,) = book.do(Renew("lock", first.version, 500), at_ms=1_501)
    assert (late.is_done, late.reason) == (False, "ended")
    (late,) = book.do(Release("lock", first.version), at_ms=1_501)
    assert not late.is_done


def test_a_renewed_lease_keeps_its_token_and_a_released_one_is_free() -> None:
    book = Book()
    (held,) = book.do(Acquire("lock", "one", 500), at_ms=1_000)
    (renewed,) = book.do(Renew("lock", held.version, 500), at_ms=1_400)
    assert renewed.version == held.version
    assert renewed.lease is not None
    assert renewed.lease.ends_ms == 1_900
    released, again = book.do(
        Release("lock", held.version), Acquire("lock", "one", 500), at_ms=1_500
    )
    assert released.is_done
    assert again.is_done
    assert again.version > held.version, "even within one block"


def test_a_transaction_under_a_lease_that_has_ended_changes_nothing() -> None:
    book = Book()
    (held,) = book.do(Acquire("lock", "one", 500), at_ms=1_000)
    write = Transact(held=(("lock", held.version),), writes=(("a", b"1"),))
    assert book.do(write, at_ms=1_499)[0].is_done
    (late,) = book.do(write, at_ms=1_500)
    assert (late.is_done, late.reason) == (False, "ended")


def test_a_restored_ledger_is_the_same() -> None:
    book = Book()
    book.do(Transact(writes=(("b", b"1"), ("a", b"2"))), Acquire("lock", "one", 500))
    other = Ledger()
    other.restore(book.ledger.state())
    other.check()
    assert other.state() == book.ledger.state()
    assert state_digest(other.state()) == state_digest(book.ledger.state())
    assert other.applied(b"s" * 32) == 1


def test_the_order_of_writing_does_not_show_in_the_state() -> None:
    one, other = Book(), Book()
    one.do(Transact(writes=(("a", b"1"), ("b", b"1"))))
    other.do(Transact(writes=(("b", b"1"), ("a", b"1"))))
    assert one.ledger.state() == other.ledger.state()


@pytest.mark.parametrize("what", ["keys", "leases"])
def test_a_full_ledger_refuses_more_and_lets_go(what: str) -> None:
    book = Book()
    if what == "keys":
        for first in range(0, KEYS_LIMIT, 64):
            keys = range(first, min(first + 64, KEYS_LIMIT))
            book.do(Transact(writes=tuple((f"k{key}", b"") for key in keys)))
        more: Action = Transact(writes=(("more", b""),))
        less: Action = Transact(writes=(("k0", None),))
    else:
        for first in range(0, LEASES_LIMIT, 64):
            names = range(first, min(first + 64, LEASES_LIMIT))
            book.do(*(Acquire(f"l{name}", "one", 5_000) for name in names))
        more = Acquire("more", "one", 500)
        less = Release("l0", 1 << 16)
    (full,) = book.do(more)
    assert (full.is_done, full.reason) == (False, "full")
    assert book.do(less)[0].is_done
    assert book.do(more)[0].is_done
