"""The report of a run: one HTML page that needs nothing else, neither a network nor a script.

It shows who saw whom how, which attempts ran where, which faults struck, how
soon ended processes were noticed, and what was sent. `story.py` gathers it from
the trace; `charts.py` draws.
"""

from collections import Counter
from html import escape
from importlib.resources import files
from statistics import median

import msgspec

from simulations.charts import (
    AXIS_HEIGHT,
    LEFT,
    RIGHT,
    WIDTH,
    Axis,
    area,
    dot,
    line,
    packed,
    rect,
    scale,
    svg,
    text,
)
from simulations.story import BIN_S, PROTOCOLS, Attempt, Span, Story, TaskStory

OBSERVERS_APART_MOST = 12
"""Up to so many peers each observer has a line of its own; beyond, lines show shares."""
ATTEMPT_ROWS_MOST = 10
FAULT_ROWS_MOST = 6
ATTEMPTS_SHOWN_MOST = 6_000
ROWS_SHOWN_MOST = 60
STATUSES = ("ok", "failed", "timeout", "crashed", "cancelled", "lost", "running")


class Facts(msgspec.Struct, frozen=True):
    """What the page says of the run as a whole. `violation` is empty where all held."""

    scenario: str
    seed: int
    digest: str
    virtual_seconds: float
    events: int
    violation: str = ""
    replay: str = ""


def page(facts: Facts, story: Story) -> str:
    """The whole page."""
    axis = Axis(0.0, max(story.shown_until, 1.0))
    style = files("simulations").joinpath("report.css").read_text(encoding="utf-8")
    title = f"{facts.scenario}, seed {facts.seed}"
    sections = (
        _section("Faults and members", _members_legend(), _faults(axis, story),
                 _members(axis, story)),
        _section("Work", _work_legend(story), _attempts(axis, story), _undecided(axis, story)),
        _section("Detection", _detection_words(story), _detection(axis, story)),
        _section("Messages", _traffic_legend(), _messages(axis, story)),
        _section("Bandwidth", _bandwidth_words(story), _bandwidth(axis, story)),
        _section("Tasks with a story", _tasks(story)),
        _section("Faults, one by one", _fault_table(story)),
    )  # fmt: skip
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body><main>"
        f"{_heading(facts, story, axis)}{''.join(sections)}"
        "</main></body></html>\n"
    )


def _section(title: str, *parts: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def _legend(entries: list[tuple[str, str]]) -> str:
    items = "".join(
        f'<span><i class="swatch {kind}"></i>{escape(words)}</span>' for kind, words in entries
    )
    return f'<p class="legend">{items}</p>'


def _heading(facts: Facts, story: Story, axis: Axis) -> str:
    states = Counter(task.state or "without an end" for task in story.tasks.values())
    told = ", ".join(f"{count} {state}" for state, count in states.most_common())
    sent = sum(sum(bins.values()) for bins in story.bytes.values())
    tiles = [
        ("virtual time", f"{facts.virtual_seconds:g} s", f"{facts.events:,} events"),
        ("peers", str(len(story.peers)), _peers_told(story)),
        ("tasks", f"{len(story.tasks):,}", told),
        ("attempts", f"{len(story.attempts):,}", _share_told(story)),
        ("sent", _size(sent), f"{_count(story):,} messages"),
    ]
    boxes = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(note)}</small></dd></div>"
        for name, value, note in tiles
    )
    verdict = (
        f'<p class="verdict bad"><b>Violated</b> {escape(facts.violation)}</p>'
        if facts.violation
        else '<p class="verdict good"><b>Every invariant held</b></p>'
    )
    again = f"<p>Again: <code>{escape(facts.replay)}</code></p>" if facts.replay else ""
    quiet = (
        f"<p>After {axis.end:.1f} s nothing happens but the mesh idling; the charts end there.</p>"
        if axis.end < story.end - 1
        else ""
    )
    return (
        f"<header><h1>{escape(facts.scenario)} <span>seed {facts.seed}</span></h1>{verdict}"
        f"<dl>{boxes}</dl><p>Trace digest <code>{escape(facts.digest or 'none')}</code></p>"
        f"{again}{quiet}</header>"
    )


def _peers_told(story: Story) -> str:
    liars = ", ".join(f"{peer}: {name}" for peer, name in sorted(story.liars.items()))
    return f"{len(story.faults)} faults struck" + (f"; liars {liars}" if liars else "")


def _share_told(story: Story) -> str:
    statuses = Counter(attempt.status for attempt in story.attempts)
    return ", ".join(f"{count} {status}" for status, count in statuses.most_common())


def _count(story: Story) -> int:
    return sum(sum(bins.values()) for bins in story.messages.values())


def _size(count: float) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


# Faults and members.


def _faults(axis: Axis, story: Story) -> str:
    kinds = list(dict.fromkeys(struck.kind for struck in story.faults))
    if not kinds:
        return "<p>No fault struck.</p>"
    y, parts = 6.0, []
    for kind in kinds:
        own = [struck for struck in story.faults if struck.kind == kind]
        rows = packed(((each.at, each.at + each.lasts) for each in own), FAULT_ROWS_MOST)
        parts.append(text(LEFT - 8, y + 10, kind, "label", "end"))
        for row, struck in zip(rows, own, strict=True):
            x = axis.x(struck.at)
            width = max(axis.x(struck.at + struck.lasts) - x, 3)
            title = f"{struck.at:.3f} s {struck.peer}: {struck.text}"
            parts.append(rect(x, y + row * 9 + 2, width, 8, "fault", title))
        y += (max(rows) + 1) * 9 + 6
    bottom = y
    parts.insert(0, axis.draw(6.0, bottom))
    return svg(bottom + AXIS_HEIGHT, "When which faults struck", *parts)


def _members_legend() -> str:
    return _legend(
        [
            ("up", "its process runs"),
            ("alive", "seen alive"),
            ("suspect", "suspected"),
            ("dead", "declared dead"),
            ("left", "said to have left"),
            ("fault", "a fault; on a peer's own line, a pause"),
        ]
    )


def _members(axis: Axis, story: Story) -> str:
    apart = len(story.peers) <= OBSERVERS_APART_MOST
    y, parts = 8.0, []
    for subject in story.peers:
        height = 5.0 * (len(story.peers) - 1) if apart else 7.0
        parts.append(text(LEFT - 8, y + 8, subject, "label", "end"))
        if subject in story.liars:
            parts.append(text(LEFT - 8, y + 22, "(a liar)", "tick", "end"))
        for span in story.processes[subject]:
            if span.state == "up":
                title = f"{subject} runs from {span.begin:.3f} s to {span.end:.3f} s"
                parts.append(_span(axis, span, y, 4.0, "up", title))
        for struck in story.faults:
            if struck.peer == subject and struck.kind == "pause":
                span = Span(struck.at, struck.at + struck.lasts, "paused")
                parts.append(_span(axis, span, y, 4.0, "fault", f"{subject} is paused"))
        y += 6
        if apart:
            for observer in story.peers:
                if observer != subject:
                    parts.append(_view(axis, story, subject, observer, y))
                    y += 5
        else:
            parts.append(_shares(axis, story, subject, y, height))
            y += height
        y += 10 if apart else 4
    words = (
        "Below each peer's own line, one line for each other peer: how that one sees it."
        if apart
        else "Below each peer's own line: the share of the others that sees it so."
    )
    chart = svg(y + AXIS_HEIGHT, "Who saw whom how", axis.draw(4, y), *parts)
    return f'<p class="note">{words}</p>{chart}'


def _span(axis: Axis, span: Span, y: float, height: float, kind: str, title: str) -> str:
    if span.begin > axis.end:
        return ""
    x = axis.x(span.begin)
    return rect(x, y, axis.x(span.end) - x, height, kind, title)


def _view(axis: Axis, story: Story, subject: str, observer: str, y: float) -> str:
    return "".join(
        _span(
            axis, span, y, 4.0, span.state,
            f"{observer} sees {subject} {span.state}, {span.begin:.3f} s to {span.end:.3f} s",
        )
        for span in story.views.get((subject, observer), [])
    )  # fmt: skip


def _shares(axis: Axis, story: Story, subject: str, y: float, height: float) -> str:
    """Of many observers: how large a share of them sees a peer how, over time."""
    changes: list[tuple[float, str, int]] = []
    for (seen, _), spans in story.views.items():
        if seen == subject:
            for span in spans:
                changes += [(span.begin, span.state, 1), (span.end, span.state, -1)]
    changes.sort()
    counts: Counter[str] = Counter()
    parts = []
    others = max(len(story.peers) - 1, 1)
    for index, (at, state, step) in enumerate(changes):
        counts[state] += step
        until = changes[index + 1][0] if index + 1 < len(changes) else axis.end
        if until - at < 1e-9 or at > axis.end:
            continue
        x, low = axis.x(at), y + height
        for kind in ("alive", "suspect", "dead", "left"):
            share = counts[kind] / others * height
            if share:
                low -= share
                title = f"{counts[kind]} see {subject} {kind} from {at:.3f} s"
                parts.append(rect(x, low, axis.x(until) - x, share, kind, title))
    return "".join(parts)


# Work.


def _work_legend(story: Story) -> str:
    statuses = {attempt.status for attempt in story.attempts}
    words = {"ok": "done", "lost": "lost with its process", "running": "never ended"}
    return _legend([(f"s-{s}", words.get(s, s)) for s in STATUSES if s in statuses])


def _attempts(axis: Axis, story: Story) -> str:
    shown = story.attempts[:ATTEMPTS_SHOWN_MOST]
    y, parts = 8.0, []
    for peer in story.peers:
        own = [attempt for attempt in shown if attempt.peer == peer]
        rows = packed(((a.begin, a.end) for a in own), ATTEMPT_ROWS_MOST)
        parts.append(text(LEFT - 8, y + 9, peer, "label", "end"))
        for row, attempt in zip(rows, own, strict=True):
            x = axis.x(attempt.begin)
            width = axis.x(attempt.end) - x
            kind = f"s-{attempt.status}"
            parts.append(rect(x, y + row * 6, width, 5, kind, _attempt_words(attempt)))
        y += max(2, *(row + 1 for row in rows), 0) * 6 + 8 if rows else 20
        parts.append(line(LEFT, y - 4, WIDTH - RIGHT, y - 4, "rule"))
    cut = len(story.attempts) - len(shown)
    note = f" The last {cut:,} are left out." if cut else ""
    words = f"Attempts with each peer's agents, waiting for a slot included.{note}"
    chart = svg(y + AXIS_HEIGHT, "Which attempts ran where", axis.draw(4, y), *parts)
    return f'<p class="note">{words}</p>{chart}'


def _attempt_words(attempt: Attempt) -> str:
    return (
        f"{attempt.task} of {attempt.custodian}, attempt {attempt.number}, {attempt.skill}: "
        f"{attempt.status}, {attempt.begin:.3f} s to {attempt.end:.3f} s"
    )


def _undecided(axis: Axis, story: Story) -> str:
    changes = [(task.accepted, 1) for task in story.tasks.values()]
    changes += [(task.ended, -1) for task in story.tasks.values() if task.ended is not None]
    top, bottom = 22.0, 102.0
    points, count, most = [(axis.begin, 0)], 0, 1
    for at, step in sorted(changes):
        points.append((at, count))
        count += step
        points.append((at, count))
        most = max(most, count)
    points.append((axis.end, count))
    limit, lines = scale(most, top, bottom, "tasks")
    corners = " ".join(
        f"{axis.x(at):.1f},{bottom - value / limit * (bottom - top):.1f}" for at, value in points
    )
    outline = f"{axis.x(axis.begin):.1f},{bottom} {corners} {axis.x(axis.end):.1f},{bottom}"
    shape = f'<polygon class="undecided" points="{outline}"/>'
    words = '<p class="note">Accepted tasks that have not ended yet.</p>'
    label = "Undecided tasks over time"
    return words + svg(bottom + AXIS_HEIGHT, label, axis.draw(top, bottom), lines, shape)


# Detection.


def _detection_words(story: Story) -> str:
    dead = sorted(d.seconds for d in story.detections if d.verdict == "dead")
    told = (
        f"{len(dead)} times a peer declared an ended process dead: after {median(dead):.2f} s in "
        f"the median, {dead[-1]:.2f} s at most."
        if dead
        else "No process was gone for long enough to be declared dead."
    )
    if story.mistaken:
        told += (
            f" {story.mistaken} times one was declared dead that had not ended: paused, or cut off."
        )
    legend = _legend([("suspect", "suspected by one observer"), ("dead", "declared dead by one")])
    return f'<p class="note">{told}</p>{legend if story.detections else ""}'


def _detection(axis: Axis, story: Story) -> str:
    if not story.detections:
        return ""
    top, bottom = 22.0, 202.0
    limit, lines = scale(max(d.seconds for d in story.detections), top, bottom, "seconds")
    dots = [
        dot(
            axis.x(found.stopped),
            bottom - found.seconds / limit * (bottom - top),
            found.verdict,
            f"{found.subject} ended at {found.stopped:.3f} s; {found.observer}: {found.verdict} "
            f"after {found.seconds:.3f} s",
        )
        for found in story.detections
    ]
    label = "How soon ended processes were noticed, by when they ended"
    return svg(bottom + AXIS_HEIGHT, label, axis.draw(top, bottom), lines, *dots)


# Traffic.


def _traffic_legend() -> str:
    return _legend([(name, name) for name in PROTOCOLS])


def _messages(axis: Axis, story: Story) -> str:
    return area(axis, story.messages, BIN_S, "per second", "Messages sent per second")


def _bandwidth_words(story: Story) -> str:
    seconds = max(story.end, 1e-9)
    told = sorted(((size / seconds, peer) for peer, size in story.sent.items()), reverse=True)
    most = ", ".join(f"{peer} {_size(rate)}/s" for rate, peer in told[:3])
    note = f"Encoded messages, before encryption and framing. The most on average: {most}."
    return f'<p class="note">{escape(note)}</p>{_traffic_legend()}'


def _bandwidth(axis: Axis, story: Story) -> str:
    kilobytes = {
        name: {index: size / 1000 for index, size in bins.items()}
        for name, bins in story.bytes.items()
    }
    return area(axis, kilobytes, BIN_S, "kB/s", "Kilobytes sent per second")


# Tables.


def _tasks(story: Story) -> str:
    rows = [task for task in story.tasks.values() if len(task.attempts) > 1 or task.state != "done"]
    if not rows:
        return "<p>Every task was done at its first attempt.</p>"
    lines = "".join(_task_row(task) for task in rows[:ROWS_SHOWN_MOST])
    note = f"{len(rows)} of {len(story.tasks)} were not done at their first attempt."
    if len(rows) > ROWS_SHOWN_MOST:
        note += f" The first {ROWS_SHOWN_MOST} of them:"
    return (
        f'<p class="note">{note}</p><div class="wide"><table><thead><tr><th>task</th>'
        "<th>custodian</th><th>skill</th><th>accepted</th><th>ended</th><th>state</th>"
        f"<th>attempts</th></tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _task_row(task: TaskStory) -> str:
    ended = f"{task.ended:.3f} s" if task.ended is not None else "never"
    chain = " → ".join(
        f'<span><i class="swatch s-{a.status}"></i>{escape(a.peer)} {a.status}</span>'
        for a in task.attempts
    )
    cells = (task.custodian, task.skill, f"{task.accepted:.3f} s", ended, task.state or "none")
    columns = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f"<tr><td><code>{escape(task.task)}</code></td>{columns}<td>{chain or 'none'}</td></tr>"


def _fault_table(story: Story) -> str:
    if not story.faults:
        return "<p>None.</p>"
    lines = "".join(
        f"<tr><td>{struck.at:.3f} s</td><td>{escape(struck.peer or 'the mesh')}</td>"
        f"<td>{escape(struck.text)}</td></tr>"
        for struck in story.faults
    )
    return (
        f"<details><summary>{len(story.faults)} faults struck</summary>"
        '<div class="wide"><table><thead><tr><th>at</th><th>peer</th><th>fault</th></tr></thead>'
        f"<tbody>{lines}</tbody></table></div></details>"
    )
