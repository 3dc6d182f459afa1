"""A task as it is shown: to whoever looks it up, here or at another peer."""

from protocols.tasks.breakers import CLOSED, FAULTS_LEAST, OPEN, Breakers
from protocols.tasks.events import AttemptView, BreakerView, TaskView
from protocols.tasks.gate import waits_for
from protocols.tasks.ledger import Ledger
from protocols.tasks.parameters import CHILDREN_LIMIT, HISTORY_LIMIT
from protocols.tasks.task import NIL, Attempt, Task


def view_of(task: Task, me: bytes, ledger: Ledger, with_value: bool = True) -> TaskView:
    """All that its custodian knows of a task."""
    envelope = task.envelope
    children = tuple(ledger.children.get(task.id, ()))[:CHILDREN_LIMIT]
    return TaskView(
        task=task.id,
        state=task.state,
        skill=envelope.skill,
        version=envelope.version,
        space=envelope.space,
        principal=envelope.principal,
        key=task.key,
        strategy=envelope.strategy,
        parent=envelope.parent,
        traceparent=envelope.traceparent,
        custodian=me,
        accepted_wall_ns=task.accepted_wall,
        settled_wall_ns=task.settled_wall,
        value=task.value if with_value else NIL,
        error_kind=task.error_kind,
        error_message=task.error_message,
        attempts=task.tries,
        incomplete=task.incomplete,
        producer=task.producer,
        history=tuple(_attempt_view(attempt) for attempt in task.history[-HISTORY_LIMIT:]),
        children=children,
        progress=task.progress,
        confidence=task.confidence,
        redriven_wall_ns=task.redriven_wall,
        exclusive=envelope.exclusive,
        waits_for=waits_for(task),
    )


def _attempt_view(attempt: Attempt) -> AttemptView:
    status = attempt.status or ("parked" if attempt.is_parked else "running")
    return AttemptView(
        attempt.number,
        attempt.lot,
        attempt.peer,
        attempt.started_wall,
        attempt.ended_wall,
        status,
        attempt.message,
        attempt.token,
    )


def views_of(breakers: Breakers, skill: str, now: int) -> list[BreakerView]:
    """The breakers of a skill (of all where ""), those with nothing to show left out."""
    views = []
    for breaker, faults, outcomes in breakers.all_faults(now):
        name, version, peer = breaker.key
        if skill and name != skill:
            continue
        if breaker.state == CLOSED and not outcomes:
            continue
        budget = max(FAULTS_LEAST - 1, (outcomes - 1) // 2)
        left = max(0, budget - faults) if breaker.state == CLOSED else 0
        retry_ns = max(0, breaker.until - now) if breaker.state == OPEN else 0
        views.append(
            BreakerView(peer, name, version, breaker.state, faults, outcomes, left, retry_ns)
        )
    return views
