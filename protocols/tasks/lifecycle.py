"""The states of a task, and the only ways from one to the next.

States: accepted, running, waiting; then settled: done, failed, dead, cancelled, expired.
Invariants: a settled task never changes (`settled-stays`); but a dead letter may be redriven.
"""

ACCEPTED = "accepted"
RUNNING = "running"
WAITING = "waiting"
DONE = "done"
FAILED = "failed"
DEAD = "dead"
CANCELLED = "cancelled"
EXPIRED = "expired"

UNDECIDED = (ACCEPTED, RUNNING, WAITING)
SETTLED = (DONE, FAILED, DEAD, CANCELLED, EXPIRED)

WHY = {
    (ACCEPTED, RUNNING): "a slot took it",
    (ACCEPTED, DONE): "the result of an attempt given up before came after all",
    (ACCEPTED, DEAD): "its peer is gone for good",
    (DEAD, ACCEPTED): "somebody had the dead letter redriven",
    (RUNNING, DONE): "a valid result",
    (RUNNING, FAILED): "the handler failed, and no retry is allowed or can help",
    (RUNNING, DEAD): "retries or losses are used up",
    (RUNNING, WAITING): "an attempt failed; the next one is due later",
    (RUNNING, ACCEPTED): "the attempt's peer was lost, or refused it",
    (WAITING, ACCEPTED): "the next attempt is due",
    (WAITING, DONE): "the result of an attempt given up before came after all",
    **{(state, CANCELLED): "somebody asked for it" for state in UNDECIDED},
    **{(state, EXPIRED): "its deadline passed" for state in UNDECIDED},
}
"""Every transition that there is, and what causes it."""

TRANSITIONS = frozenset(WHY)

OK = "ok"
LOST = "lost"
REFUSED = "refused"
CRASHED = "crashed"
RETRIED_STATUSES = ("failed", "timeout", CRASHED)
OUTCOME_STATUSES = (OK, *RETRIED_STATUSES, "rejected", "cancelled")
