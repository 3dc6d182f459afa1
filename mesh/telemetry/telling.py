"""An event as one line for people."""

import time
from typing import Any

from mesh.telemetry.reading import Entry, Event

ID_SHOWN = 8
TASKS_SHOWN = 3
TEXT_SHOWN = 160
PEER_KEYS = ("peer", "bidder", "issuer", "accused")
LEFT_OUT = frozenset({"time", "event", "level"})


class Names:
    """Peers' names by their text ids, as the folder and gossip tell them."""

    def __init__(self, known: dict[str, str]) -> None:
        """Takes the names that are known already."""
        self._names = dict(known)

    def of(self, peer: str) -> str:
        """A peer's name; the start of its id where it is not known."""
        known = self._names.get(peer)
        return known or (peer[:ID_SHOWN] if len(peer) > 2 * ID_SHOWN else peer)

    def learn(self, event: Event) -> None:
        """Takes a name from an event of gossip."""
        if event["event"] == "gossip.member-up":
            self._names[str(event.get("peer"))] = str(event.get("name"))


def told(entry: Entry, names: Names) -> str:
    """What happened, in one line without time and writer."""
    event = entry.event
    kind = event["event"]
    names.learn(event)
    if kind in ("peer.log", "worker.output"):
        who = f"{event['agent']}: " if kind == "worker.output" else ""
        return f"{who}{event['text']}"
    try:
        tell = _TOLD.get(kind)
        return f"{kind}  {tell(event, names) if tell is not None else _plain(event, names)}"
    except (KeyError, TypeError, IndexError, ValueError, AttributeError):
        # Of another release: its keys are shown as they are.
        return f"{kind}  {_plain(event, names)}"


def clock(seconds: float) -> str:
    """A time of day, to the millisecond."""
    whole, part = divmod(round(seconds * 1000), 1000)
    return f"{time.strftime('%H:%M:%S', time.localtime(whole))}.{part:03d}"


def _plain(event: Event, names: Names) -> str:
    words = []
    for key, value in event.items():
        if key in LEFT_OUT or (key == "peer" and value == names.of(str(value))):
            continue
        words.append(f"{key}={_value(key, value, names)}")
    return " ".join(words)


def _value(key: str, value: Any, names: Names) -> str:
    if isinstance(value, str):
        return names.of(value) if key in PEER_KEYS else value[:TEXT_SHOWN]
    if isinstance(value, list):
        return f"[{len(value)}]"
    return str(value)


def _tasks(event: Event) -> str:
    tasks = [str(task) for task in event["tasks"]]
    shown = " ".join(tasks[:TASKS_SHOWN])
    return shown + (f" and {event['count'] - TASKS_SHOWN} more" if len(tasks) > TASKS_SHOWN else "")


def _accepted(event: Event, names: Names) -> str:
    parent = f" for task {event['parent']}" if event.get("parent") else ""
    return f"{event['skill']}: {_tasks(event)}{parent}, trace {event['trace']}"


def _started(event: Event, names: Names) -> str:
    return f"{event['skill']} at {names.of(event['peer'])}: {_tasks(event)}"


def _ran(event: Event, names: Names) -> str:
    slowest = max(event["elapsed_us"], default=0) / 1000
    waited = max(event["waited_us"], default=0) / 1000
    return (
        f"{event['skill']} for {names.of(event['peer'])}: {_tasks(event)}; "
        f"ran {slowest:.1f} ms, waited {waited:.1f} ms"
    )


def _failed(event: Event, names: Names) -> str:
    rows = event["attempts"]
    first = rows[0]
    message = str(first["message"]).partition("\n")[0][:TEXT_SHOWN]
    more = f" and {event['count'] - 1} more" if event["count"] > 1 else ""
    where = f" at {names.of(event['peer'])}" if event["peer"] else ""
    retried = ", to be retried" if first["retried"] else ""
    return (
        f"{first['task']} attempt {first['attempt']}{where} {first['status']}: "
        f"{message}{retried}{more}"
    )


def _settled(event: Event, names: Names) -> str:
    states = ", ".join(f"{count} {state}" for state, count in event["states"].items())
    tasks = [str(row["task"]) for row in event["tasks"]]
    return f"{states}: {_tasks({'tasks': tasks, 'count': event['count']})}"


def _cleared(event: Event, names: Names) -> str:
    won = [
        f"{names.of(bid['bidder'])} {bid['slots_won']}" for bid in event["bids"] if bid["slots_won"]
    ]
    took = (event["cleared_wall_ns"] - event["opened_wall_ns"]) / 1e6
    return (
        f"{event['skill']}@{event['version']}: {event['awarded']} of {event['units']} slots "
        f"in {took:.1f} ms, {len(event['bids'])} asked; won: {', '.join(won) or 'nobody'}"
    )


def _logged(event: Event, names: Names) -> str:
    fields = event.get("fields")
    more = " ".join(f"{k}={v}" for k, v in fields.items()) if isinstance(fields, dict) else ""
    return f"{event['task']}: {event['text']} {more}".rstrip()


def _member(event: Event, names: Names) -> str:
    return _plain({"member": event["name"], **_without(event, "peer", "name", "skills")}, names)


def _without(event: Event, *keys: str) -> Event:
    return {key: value for key, value in event.items() if key not in keys}


_TOLD = {
    "tasks.accepted": _accepted,
    "tasks.attempts-started": _started,
    "tasks.attempts-ran": _ran,
    "tasks.attempts-failed": _failed,
    "tasks.settled": _settled,
    "auction.lot-cleared": _cleared,
    "agent.log": _logged,
    "gossip.member-up": _member,
    "gossip.member-suspected": _member,
    "gossip.member-down": _member,
}
