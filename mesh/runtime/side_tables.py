"""The tables that questions in SQL are asked of, and how events become their rows.

Each table has a view in front of it in which ids of peers are names; a question
names the views. `docs/how-to/ask-in-sql.md` describes their columns.
"""

import sqlite3
from collections.abc import Iterable
from typing import Any

import msgspec

from protocols.blackboard.keys import PHEROMONE
from protocols.blackboard.reading import Entry

MICRO = 1_000_000
ROWS_LIMIT = 400_000
"""Rows of each table that events fill; the oldest make room."""
EVENT_BYTES_LIMIT = 256 * 1024
"""Bytes of an event that are kept in `events.data`; the rows of longer ones have none."""

SCHEMA = """
create table _names (id text primary key, name text) without rowid;
create table _events (number integer primary key, time real, event text, peer text, data text);
create table _tasks (
    number integer primary key, task text unique, skill text, trace text, parent text,
    accepted real, settled real, state text, attempts integer, error text, bytes integer,
    elapsed_ms real);
create table _attempts (
    number integer primary key, task text, attempt integer, peer text, lot text, skill text,
    started real, ended real, status text, message text, retried integer,
    waited_ms real, held_ms real, elapsed_ms real, unique (task, attempt));
create table _awards (
    number integer primary key, lot text, skill text, version text, units integer,
    awarded integer, opened real, cleared real, bidder text, bid_units integer,
    completion_ms real, cost real, confidence real, multiplier real, slots integer,
    outcome text);
create table _entries (
    key text primary key, type text, value, writer text, updated real, expires real,
    conflicts integer, has_embedding integer) without rowid;

create view events as select number, time, event, coalesce(name, peer) as peer, data
    from _events left join _names on id = peer;
create view tasks as select task, skill, trace, parent, accepted, settled,
    coalesce(state, 'accepted') as state, attempts, error, bytes, elapsed_ms from _tasks;
create view attempts as select task, attempt, coalesce(name, peer) as peer, lot, skill,
    started, ended, coalesce(status, 'running') as status, message, retried, waited_ms,
    held_ms, elapsed_ms from _attempts left join _names on id = peer;
create view awards as select lot, skill, version, units, awarded, opened, cleared,
    coalesce(name, bidder) as bidder, bid_units, completion_ms, cost, confidence, multiplier,
    slots, outcome from _awards left join _names on id = bidder;
create view entries as select key, type, value, coalesce(name, writer) as writer, updated,
    expires, conflicts, has_embedding from _entries left join _names on id = writer;
"""
BOUNDED = ("_events", "_tasks", "_attempts", "_awards")

Event = dict[str, Any]

_ACCEPTED = """insert into _tasks (task, skill, trace, parent, accepted) values (?, ?, ?, ?, ?)
    on conflict (task) do update set skill = excluded.skill, accepted = excluded.accepted"""
_SETTLED = """insert into _tasks (settled, state, attempts, error, bytes, elapsed_ms, task)
    values (?, ?, ?, ?, ?, ?, ?) on conflict (task) do update set settled = excluded.settled,
    state = excluded.state, attempts = excluded.attempts, error = excluded.error,
    bytes = excluded.bytes, elapsed_ms = excluded.elapsed_ms"""
_STARTED = """insert into _attempts (task, attempt, peer, lot, skill, started)
    values (?, ?, ?, ?, ?, ?) on conflict (task, attempt) do update set
    peer = excluded.peer, lot = excluded.lot, started = excluded.started"""
_RAN = """insert into _attempts
    (task, attempt, peer, skill, ended, status, waited_ms, held_ms, elapsed_ms)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (task, attempt) do update set
    ended = excluded.ended, status = excluded.status, waited_ms = excluded.waited_ms,
    held_ms = excluded.held_ms, elapsed_ms = excluded.elapsed_ms"""
_FAILED = """insert into _attempts (task, attempt, peer, ended, status, message, retried)
    values (?, ?, ?, ?, ?, ?, ?) on conflict (task, attempt) do update set
    ended = excluded.ended, status = excluded.status, message = excluded.message,
    retried = excluded.retried"""
_ENDED = """update _attempts set ended = ?, status = ? where task = ? and ended is null"""
_AWARD = "insert into _awards values (null, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ENTRY = "insert or replace into _entries values (?, ?, ?, ?, ?, ?, ?, ?)"

_decoder = msgspec.json.Decoder(dict[str, Any])


def make(connection: sqlite3.Connection) -> None:
    """Makes the tables and their views."""
    connection.executescript(SCHEMA)


def name_peers(connection: sqlite3.Connection, names: dict[str, str]) -> None:
    """Takes what peers are called, by their text ids."""
    connection.execute("delete from _names")
    connection.executemany("insert or replace into _names values (?, ?)", names.items())


def take_events(connection: sqlite3.Connection, lines: Iterable[bytes], own: str) -> None:
    """Adds the rows of events; lines that are none, as after a full disk, are passed over.

    Args:
        connection: the side database.
        lines: as they are in the file.
        own: the text id of the peer whose events they are.
    """
    rows = []
    for line in lines:
        try:
            event = _decoder.decode(line)
            rows.append((event["time"], event["event"], event.get("peer"), _kept(line)))
            _take_event(connection, event, own)
        except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError, ValueError):
            continue
    connection.executemany("insert into _events values (null, ?, ?, ?, ?)", rows)
    for table in BOUNDED:
        connection.execute(
            f"delete from {table} where number <= (select max(number) from {table}) - ?",  # noqa: S608  # a table of ours
            (ROWS_LIMIT,),
        )


def take_entries(
    connection: sqlite3.Connection, changes: Iterable[tuple[str, Entry | None, str]]
) -> None:
    """Replaces the rows of keys: each with what it reads as, and who its writer is."""
    gone, rows = [], []
    for key, entry, writer in changes:
        if entry is None:
            gone.append((key,))
        else:
            rows.append(_entry_row(entry, writer))
    connection.executemany("delete from _entries where key = ?", gone)
    connection.executemany(_ENTRY, rows)


def _kept(line: bytes) -> str | None:
    return line.decode() if len(line) <= EVENT_BYTES_LIMIT else None


def _take_event(connection: sqlite3.Connection, event: Event, own: str) -> None:
    time = event["time"]
    match event["event"]:
        case "tasks.accepted":
            told = (event["skill"], event["trace"], event.get("parent"), time)
            connection.executemany(_ACCEPTED, [(task, *told) for task in event["tasks"]])
        case "tasks.attempts-started":
            told = (event["peer"], event["lot"], event["skill"], time)
            pairs = zip(event["tasks"], event["attempts"], strict=True)
            connection.executemany(_STARTED, [(*pair, *told) for pair in pairs])
        case "tasks.attempts-ran":
            connection.executemany(_RAN, _ran(event, own))
        case "tasks.attempts-failed":
            rows = [
                (each["task"], each["attempt"], event["peer"], time, each["status"],
                 each["message"], each["retried"])
                for each in event["attempts"]
            ]  # fmt: skip
            connection.executemany(_FAILED, rows)
        case "tasks.settled":
            _settled(connection, event)
        case "auction.lot-cleared":
            connection.executemany(_AWARD, _awards(event))


def _ran(event: Event, own: str) -> list[tuple[Any, ...]]:
    # The peer that such an event names is the custodian: it ran where the event was written.
    told = (own, event["skill"], event["time"])
    names = ("tasks", "attempts", "statuses", "waited_us", "held_us", "elapsed_us")
    columns = zip(*(event[name] for name in names), strict=True)
    return [
        (task, attempt, *told, status, waited / 1000, held / 1000, elapsed / 1000)
        for task, attempt, status, waited, held, elapsed in columns
    ]


def _settled(connection: sqlite3.Connection, event: Event) -> None:
    time, tasks = event["time"], event["tasks"]
    rows = [
        (time, each["state"], each["attempts"], each.get("error"), each["bytes"],
         each["elapsed_us"] / 1000, each["task"])
        for each in tasks
    ]  # fmt: skip
    connection.executemany(_SETTLED, rows)
    states = [("ok" if each["state"] == "done" else each["state"], each["task"]) for each in tasks]
    connection.executemany(_ENDED, [(time, *state) for state in states])


def _awards(event: Event) -> list[tuple[Any, ...]]:
    lot = tuple(event[name] for name in ("lot", "skill", "version", "units", "awarded"))
    times = (event["opened_wall_ns"] / 1e9, event["cleared_wall_ns"] / 1e9)
    return [
        (
            *lot, *times, bid["bidder"], bid["units"], bid["first_completion_us"] / 1000,
            bid["first_cost"] / MICRO, bid["confidence"] / MICRO, bid["multiplier"] / MICRO,
            bid["slots_won"], bid["outcome"],
        )
        for bid in event["bids"]
    ]  # fmt: skip


def _entry_row(entry: Entry, writer: str) -> tuple[Any, ...]:
    expires = entry.expires_ms / 1000 if entry.expires_ms else None
    value = shown(entry)
    return (
        entry.key, entry.type, value, writer, entry.stamp_ms / 1000, expires, entry.conflicts,
        int(bool(entry.embedding)),
    )  # fmt: skip


def shown(entry: Entry) -> str | int | float | None:
    """A value as SQL has it: text and numbers as they are, lists and maps as JSON text."""
    try:
        value = msgspec.msgpack.decode(entry.value)
        if entry.type == PHEROMONE:
            return float(value) / MICRO
        if value is None or isinstance(value, str | float):
            return value
        if isinstance(value, int) and -(2**63) <= value < 2**63:
            return int(value)
        return msgspec.json.encode(value).decode()
    except (msgspec.MsgspecError, UnicodeError, RecursionError, TypeError, ValueError):
        return None
