"""Timelines of a run: which faults struck, who saw whom how, which attempts ran where."""

from collections import Counter
from html import escape

from simulations.charts import (
    AXIS_HEIGHT,
    LEFT,
    RIGHT,
    WIDTH,
    Axis,
    line,
    packed,
    rect,
    svg,
    text,
)
from simulations.story import Attempt, Span, Story

OBSERVERS_APART_MOST = 12
"""Up to so many peers each observer has a line of its own; beyond, lines show shares."""
ATTEMPT_ROWS_MOST = 10
FAULT_ROWS_MOST = 6
ATTEMPTS_SHOWN_MOST = 6_000
STATUSES = ("ok", "failed", "timeout", "crashed", "cancelled", "lost", "running")


def legend(entries: list[tuple[str, str]]) -> str:
    """What the colours mean: (class, words) each."""
    items = "".join(
        f'<span><i class="swatch {kind}"></i>{escape(words)}</span>' for kind, words in entries
    )
    return f'<p class="legend">{items}</p>'


# Faults and members.


def faults(axis: Axis, story: Story) -> str:
    """When which faults struck, a row for each kind."""
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


def members_legend() -> str:
    """What the colours of members' timelines mean."""
    return legend(
        [
            ("up", "its process runs"),
            ("alive", "seen alive"),
            ("suspect", "suspected"),
            ("dead", "declared dead"),
            ("left", "said to have left"),
            ("fault", "a fault; on a peer's own line, a pause"),
        ]
    )


def members(axis: Axis, story: Story) -> str:
    """Who saw whom how."""
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


def work_legend(story: Story) -> str:
    """What the colours of attempts mean."""
    statuses = {attempt.status for attempt in story.attempts}
    words = {"ok": "done", "lost": "lost with its process", "running": "never ended"}
    return legend([(f"s-{s}", words.get(s, s)) for s in STATUSES if s in statuses])


def attempts(axis: Axis, story: Story) -> str:
    """Which attempts ran where."""
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
