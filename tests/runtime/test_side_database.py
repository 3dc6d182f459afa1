"""Questions in SQL: what they read, and what they cannot do."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mesh.runtime import side_database, side_tables
from mesh.runtime.side_database import Rows, SideDatabase
from protocols.blackboard.keys import PHEROMONE, REGISTER, SET
from protocols.blackboard.reading import Entry
from protocols.errors import Refused

OWN = "me"
NAMES = {"me": "peer-1", "other": "peer-2"}
ENDLESS = "with recursive r(x) as (select 1 union all select x+1 from r) select count(*) from r"


def write(folder: Path, *events: dict[str, Any]) -> None:
    with (folder / "events.jsonl").open("a") as file:
        file.write("".join(json.dumps({"peer": "peer-1", **event}) + "\n" for event in events))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SideDatabase]:
    made = SideDatabase(tmp_path / "events.jsonl", OWN)
    yield made
    made.close()


def life_of(task: str, peer: str, time: float, *, ok: bool = True) -> list[dict[str, Any]]:
    """The custodian's events of a task with one attempt."""
    state = "done" if ok else "failed"
    settled = {"task": task, "state": state, "attempts": 1, "bytes": 3, "elapsed_us": 1500}
    failed = {
        "task": task, "attempt": 1, "status": "failed", "message": "no luck", "retried": False,
    }  # fmt: skip
    return [
        {"time": time, "event": "tasks.accepted", "skill": "s", "trace": "t", "tasks": [task]},
        {"time": time, "event": "tasks.attempts-started", "peer": peer, "lot": "l", "skill": "s",
         "tasks": [task], "attempts": [1]},
        *([] if ok else [{"time": time + 1, "event": "tasks.attempts-failed", "peer": peer,
                          "attempts": [failed]}]),
        {"time": time + 1, "event": "tasks.settled", "tasks": [settled]},
    ]  # fmt: skip


def ask(database: SideDatabase, sql: str, limit: int = 100, seconds: float = 5) -> Rows:
    return database.answer(sql, NAMES, limit, seconds)


def test_the_success_rate_of_each_peer_by_minute_is_one_statement(
    database: SideDatabase, tmp_path: Path
) -> None:
    write(
        tmp_path,
        *life_of("a", "me", 60), *life_of("b", "me", 61, ok=False), *life_of("c", "other", 62),
        *life_of("d", "other", 130),
    )  # fmt: skip
    rows = ask(
        database,
        "select peer, cast(ended / 60 as integer) * 60 as minute, avg(status = 'ok') as rate "
        "from attempts where ended is not null group by peer, minute order by peer, minute",
    )
    assert rows.columns == ["peer", "minute", "rate"]
    assert rows.rows == [["peer-1", 60, 0.5], ["peer-2", 60, 1.0], ["peer-2", 120, 1.0]]


def test_each_question_takes_in_what_has_come_since(database: SideDatabase, tmp_path: Path) -> None:
    assert ask(database, "select count(*) from tasks").rows == [[0]]
    write(tmp_path, *life_of("a", "me", 1)[:1])
    assert ask(database, "select task, state from tasks").rows == [["a", "accepted"]]
    write(tmp_path, *life_of("a", "me", 1)[1:])
    assert ask(database, "select task, state, elapsed_ms from tasks").rows == [["a", "done", 1.5]]


def test_an_attempt_that_ran_here_for_another_is_this_peers(
    database: SideDatabase, tmp_path: Path
) -> None:
    ran = {
        "time": 5, "event": "tasks.attempts-ran", "peer": "other", "skill": "s", "trace": "",
        "tasks": ["x"], "attempts": [2], "statuses": ["ok"], "waited_us": [1000],
        "held_us": [2000], "elapsed_us": [500],
    }  # fmt: skip
    write(tmp_path, ran)
    rows = ask(
        database,
        "select task, attempt, peer, status, waited_ms, elapsed_ms from attempts",
    )
    assert rows.rows == [["x", 2, "peer-1", "ok", 1.0, 0.5]]


def test_lines_that_are_no_events_are_passed_over(database: SideDatabase, tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text(
        '{"event": "no time"}\nhalf a li\n{"time": 1, "event": "tasks.settled", "tasks": 5}\n[]\n'
    )
    write(tmp_path, *life_of("a", "me", 1))
    assert ask(database, "select count(*) from tasks").rows == [[1]]


@pytest.mark.parametrize(
    "sql",
    [
        "delete from _tasks",
        "insert into _tasks (task) values ('x')",
        "drop view tasks",
        "create table mine (x)",
        "pragma query_only = 0",
        "attach 'elsewhere' as x",
        "vacuum into 'elsewhere'",
        "begin",
        "select 1; delete from _tasks",
        "select load_extension('x')",
        "select randomblob(1000000000)",
        "select * from pragma_database_list",
        "selec",
        "",
        "select \x00",
    ],
)
def test_a_question_can_only_read(database: SideDatabase, tmp_path: Path, sql: str) -> None:
    write(tmp_path, *life_of("a", "me", 1))
    with pytest.raises(Refused) as refusal:
        ask(database, sql)
    assert refusal.value.kind == "InvalidSql"
    assert ask(database, "select count(*) from tasks").rows == [[1]]
    assert not (tmp_path / "elsewhere").exists()


def test_a_question_ends_at_its_time_limit(database: SideDatabase, tmp_path: Path) -> None:
    with pytest.raises(Refused) as refusal:
        ask(database, ENDLESS, seconds=0.01)
    assert refusal.value.kind == "TimedOut"
    assert ask(database, "select 1").rows == [[1]]


def test_a_peer_that_ends_gives_up_what_is_being_answered(
    database: SideDatabase, tmp_path: Path
) -> None:
    database.end()
    with pytest.raises(Refused):
        ask(database, ENDLESS, seconds=60)


def test_an_answer_is_cut_at_its_limit_of_rows_and_says_so(
    database: SideDatabase, tmp_path: Path
) -> None:
    three = "select 1 as x union select 2 union select 3"
    assert ask(database, three, limit=2) == Rows(["x"], [[1], [2]], True, "")
    assert ask(database, three, limit=3) == Rows(["x"], [[1], [2], [3]], False, "")


def test_an_answer_of_too_many_bytes_is_refused(
    database: SideDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_database, "ANSWER_BYTES_LIMIT", 10)
    with pytest.raises(Refused, match="TooLarge"):
        ask(database, "select 'more than ten bytes'")


def test_a_value_that_a_question_makes_has_a_limit(database: SideDatabase, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="InvalidSql"):
        ask(database, "select replace(printf('%.*c', 4000000, 'x'), 'x', 'yyyy')")


def test_the_oldest_rows_make_room(
    database: SideDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side_tables, "ROWS_LIMIT", 2)
    write(tmp_path, *(event for task in "abc" for event in life_of(task, "me", 1)))
    assert ask(database, "select task from tasks order by task").rows == [["b"], ["c"]]
    assert ask(database, "select count(*) from events").rows == [[2]]


def entry(key: str, value: Any, type: str = REGISTER) -> Entry:
    return Entry(key, type, msgspec.msgpack.encode(value), b"", 2000)


def test_entries_are_text_numbers_and_json(database: SideDatabase, tmp_path: Path) -> None:
    put = [
        entry("default/text", "words"),
        entry("default/number", 7),
        entry("default/map", {"a": [1, 2]}),
        entry("default/set", ["x", "y"], SET),
        entry("default/marks", 1_500_000, PHEROMONE),
        entry("default/none", None),
        entry("default/large", 2**63),
        Entry("default/torn", REGISTER, b"\xc1", b"", 0),
    ]
    database.take_entries([(each.key, each, "other") for each in put])
    found = dict(ask(database, "select substr(key, 9), value from entries").rows)
    assert found == {
        "text": "words", "number": 7, "map": '{"a":[1,2]}', "set": '["x","y"]', "marks": 1.5,
        "none": None, "large": "9223372036854775808", "torn": None,
    }  # fmt: skip
    assert ask(
        database,
        "select writer, updated, json_extract(value, '$.a[1]') from entries where key like '%map'",
    ).rows == [["peer-2", 2.0, 2]]
    database.take_entries([("default/text", None, ""), ("default/absent", None, "")])
    assert ask(database, "select count(*) from entries where key = 'default/text'").rows == [[0]]
