"""The strong board of real peers: one wins, leases end, one of four dies, all restart at once."""

import threading
from collections.abc import Iterator

import pytest

from mesh.client import Refused
from tests.processes.rig import LocalMesh, local_mesh, until


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMesh]:
    with local_mesh(tmp_path_factory.mktemp("strong"), 4) as mesh:
        yield mesh


def test_one_of_many_that_swap_at_once_wins(four: LocalMesh) -> None:
    won: list[str] = []

    def swap(name: str) -> None:
        with four.client(name) as client:
            if client.board.strong.compare_and_set("winner", None, {"name": name, "n": 1}):
                won.append(name)

    threads = [threading.Thread(target=swap, args=(name,)) for name in four.names()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    for name in four.names():
        with four.client(name) as client:
            # The order of a map's fields does not matter.
            assert client.board.strong.compare_and_set("winner", {"n": 1, "name": won[0]}, {"n": 2})
            assert client.board.strong.compare_and_set("winner", {"n": 2}, {"n": 1, "name": won[0]})


@pytest.mark.slow
def test_a_lease_goes_to_one_until_it_ends_and_later_tokens_are_greater(four: LocalMesh) -> None:
    with four.client("peer-1") as one, four.client("peer-2") as other:
        first = one.board.strong.lease("lock", ttl=60)
        assert first is not None
        assert first.is_held
        assert other.board.strong.lease("lock") is None
        assert one.board.strong.release(first)
        second = other.board.strong.lease("lock", ttl=0.2)
        assert second is not None
        assert second.token > first.token
        until(lambda: one.board.strong.lease("lock") is not None, "the lease has ended")
        late = other.board.strong.transaction(held=[second], writes={"a": 1})
        assert (late.done, late.reason) == (False, "ended")
        assert other.board.strong.renew(second) is None


@pytest.mark.slow
def test_one_of_four_dies_and_returns_and_two_are_missed(four: LocalMesh) -> None:
    with four.client("peer-1") as client:
        strong = client.board.strong
        four.kill("peer-4")
        for number in range(20):
            assert strong.compare_and_set("count", number - 1 if number else None, number)
        four.kill("peer-3")

        def is_missed() -> bool:
            try:
                strong.get("count")
            except Refused as refusal:
                return refusal.kind == "NoQuorum"
            return False

        until(is_missed, "a quorum is missed")
        four.up()
        until(lambda: not is_missed(), "a quorum is back")
        assert strong.get("count") == 19


@pytest.mark.slow
def test_all_restarted_at_once_know_what_was_settled(four: LocalMesh) -> None:
    with four.client("peer-2") as client:
        assert client.board.strong.transaction(writes={"kept": [1, 2]})
    for name in four.names():
        four.kill(name)
    four.up()
    with four.client("peer-3") as client:
        assert client.board.strong.get("kept") == [1, 2]
        assert client.board.strong.compare_and_set("kept", [1, 2], None)
        assert client.board.strong.get("kept", "gone") == "gone"
