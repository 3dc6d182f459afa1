"""SQL, search, watch and events of real peers, through the client and the shell."""

from collections.abc import Iterator

import pytest

from mesh.client import Refused
from tests.processes.rig import LANES, LocalMesh, local_mesh, until

pytestmark = [pytest.mark.processes, pytest.mark.slow]


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMesh]:
    with local_mesh(tmp_path_factory.mktemp("queries"), 3, [LANES]) as made:
        yield made


def test_sql_sees_entries_of_others_and_tasks_of_its_own(mesh: LocalMesh) -> None:
    with mesh.client("peer-1") as near, mesh.client("peer-2") as far:
        far.board.put_many({f"shelf/{n}": {"n": n} for n in range(20)})
        far.board.increment("stock", 7)
        task = near.submit("hold", seconds=0.01)
        task.result()
        until(lambda: near.board.get("stock") == 7, "the count to arrive")
        answer = near.board.sql(
            "select count(*) as n, sum(json_extract(value, '$.n')) as total "
            "from entries where key like 'shelf/%'"
        )
        assert list(answer) == [{"n": 20, "total": 190}]
        assert list(near.board.sql("select value from entries where type = 'counter'")) == [
            {"value": 7}
        ]
        tasks = list(near.board.sql(f"select skill, state from tasks where task = '{task.id}'"))
        assert tasks == [{"skill": "hold", "state": "done"}]
        far.board.delete("shelf/3")
        until(lambda: near.board.get("shelf/3") is None, "the deletion to arrive")
        (row,) = near.board.sql("select count(*) as n from entries where key like 'shelf/%'")
        assert row["n"] == 19
        assert near.board.sql("select * from entries", limit=2).is_cut
        with pytest.raises(Refused, match="InvalidSql"):
            near.board.sql("delete from entries")


def test_search_finds_what_is_nearest_at_every_peer(mesh: LocalMesh) -> None:
    with mesh.client("peer-1") as near, mesh.client("peer-3") as far:
        vectors: dict[str, list[float]] = {"east": [1, 0], "north": [0, 1], "between": [1, 1.1]}
        for key, vector in vectors.items():
            near.board.put(f"ways/{key}", key, embedding=vector)
        until(lambda: far.board.get("ways/between") is not None, "all to arrive")
        found = far.board.search([0.9, 1.0], 2, "ways/")
        assert [each.value for each in found] == ["between", "north"]
        assert found[0].score > 0.99
        near.board.delete("ways/between")
        until(lambda: far.board.get("ways/between") is None, "the deletion to arrive")
        assert [each.value for each in far.board.search([0.9, 1.0], 1, "ways/")] == ["north"]
        with pytest.raises(Refused, match="a vector of 3 numbers"):
            far.board.search([1, 2, 3], 2, "ways/")


def test_a_watch_goes_on_at_another_peer_and_events_tell_of_a_task(mesh: LocalMesh) -> None:
    with mesh.client("peer-2") as one, mesh.client("peer-3") as other:
        one.board.put("log/1", "a")
        watch = one.board.watch("log/", since="")
        first = next(watch)
        assert (first.key, first.value) == ("log/1", "a")
        other.board.put("log/2", "b")
        assert (next(watch).key) == "log/2"
        other.board.put("log/3", "c")
        rest = other.board.watch("log/", since=first.cursor)
        assert sorted(next(rest).key for _ in range(2)) == ["log/2", "log/3"]
        task = one.submit("hold", seconds=0.01)
        task.result()
        kinds = []
        for event in one.board.events("tasks", task=task.id, since=""):
            kinds.append(event["event"])
            if event["event"] == "tasks.settled":
                break
        assert kinds[0] == "tasks.accepted"
        assert "tasks.attempts-started" in kinds
        with pytest.raises(Refused, match=r"no event 'tasks\.done'; of tasks there are"):
            next(one.board.events("tasks.done", since=""))


def test_wrong_questions_have_clear_answers_in_the_shell(mesh: LocalMesh) -> None:
    mesh.cli("board", "put", "v", "text", "--embedding", "[1, 2]")
    wrong = mesh.cli("board", "search", "[1, 2, 3]", expect=2)
    assert "a vector of 3 numbers, and the embeddings here have 2" in wrong.err
    wrong = mesh.cli("board", "events", "--kind", "nonsense", expect=2)
    assert "the groups are: agent, auction" in wrong.err
    wrong = mesh.cli("board", "put", "v", "text", "--type", "foo", expect=2)
    assert "register or a multivalue, and no 'foo'" in wrong.err
    assert "counter by increment" in wrong.err
