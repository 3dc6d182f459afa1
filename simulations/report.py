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

from simulations.charts import AXIS_HEIGHT, Axis, area, dot, scale, svg
from simulations.story import BIN_S, PROTOCOLS, Story, TaskStory
from simulations.timelines import attempts, faults, legend, members, members_legend, work_legend

ROWS_SHOWN_MOST = 60


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
        _section("Faults and members", members_legend(), faults(axis, story),
                 members(axis, story)),
        _section("Work", work_legend(story), attempts(axis, story), _undecided(axis, story)),
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


def _heading(facts: Facts, story: Story, axis: Axis) -> str:
    states = Counter(task.state or "without an end" for task in story.tasks.values())
    told = ", ".join(f"{count} {state}" for state, count in states.most_common())
    sent = sum(sum(bins.values()) for bins in story.bytes.values())
    tiles = [
        ("virtual time", f"{facts.virtual_seconds:.1f} s", f"{facts.events:,} events"),
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
    keys = legend([("suspect", "suspected by one observer"), ("dead", "declared dead by one")])
    return f'<p class="note">{told}</p>{keys if story.detections else ""}'


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
    return legend([(name, name) for name in PROTOCOLS])


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
