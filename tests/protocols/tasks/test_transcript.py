"""Five tasks and what befalls them, word for word, in `tests/transcripts/tasks.txt`.

A keeps the tasks and hosts nothing; B and C have one slot each.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec

from protocols.machine import MILLISECOND_NS, SECOND_NS
from protocols.tasks import commands, messages
from tests.protocols.tasks.support import (
    Peer,
    Run,
    Town,
    echo,
    failing,
    first,
    hanging,
    skill,
    spec,
)

GOLDEN = Path(__file__).resolve().parents[2] / "transcripts" / "tasks.txt"
NEVER_LOST = first(0, messages.Assign)


class Trace:
    """What goes on between peers, as lines; tasks are numbered as they are met."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.lose: Callable[[Peer, Peer, msgspec.Struct], bool] = NEVER_LOST
        self._tasks: dict[str, str] = {}
        self.town = Town("A", "B", "C")
        self.town.drop = self._heard
        self.town.start("A")
        for name in "BC":
            self.town.start(name, (skill(), 1))
        self.town.run(10 * MILLISECOND_NS)
        self.lines.clear()

    def scene(self, title: str) -> None:
        self.town.run(10 * SECOND_NS)  # slots go back, and everything is acknowledged
        self.lines.append(f"              {title}")

    def submit(self, run: Run) -> str:
        for name in "BC":
            self.town[name].run = run
        (task,) = self.town["A"].submit(spec())
        return task

    def settle(self, task: str) -> None:
        self.town.settle()
        settled = self.town["A"].settled[task]
        text = f"{settled.state} after {settled.attempts}"
        self.lines.append(f"{'A':>6}        {self._name(task)} is {text}")

    def _heard(self, sender: Peer, to: Peer, message: msgspec.Struct) -> bool:
        is_lost = self.lose(sender, to, message)
        lost = " (lost)" if is_lost else ""
        self.lines.append(f"{sender.name:>6} -> {to.name:<3} {self._said(message)}{lost}")
        return is_lost

    def _said(self, message: msgspec.Struct) -> str:
        kind = type(message).__name__
        match message:
            case messages.Assign():
                return " ".join(
                    [kind, *(f"{self._name(j.task)}/{j.attempt}" for j in message.jobs)]
                )
            case messages.Results():
                ends = (f"{self._name(o.task)}/{o.attempt}={o.status}" for o in message.outcomes)
                return " ".join([kind, *ends])
            case _:
                return kind

    def _name(self, task: str) -> str:
        return self._tasks.setdefault(task, f"t{len(self._tasks) + 1}")


def transcript() -> str:
    trace = Trace()
    town = trace.town
    trace.scene("a task that succeeds")
    trace.settle(trace.submit(echo()))
    trace.scene("its assignment is lost")
    trace.lose = first(1, messages.Assign)
    trace.settle(trace.submit(echo()))
    trace.lose = NEVER_LOST
    trace.scene("every attempt fails")
    trace.settle(trace.submit(failing()))
    trace.scene("its worker's peer dies")
    task = trace.submit(hanging)
    town.run_until(lambda: bool(town["B"].running or town["C"].running))
    victim = "B" if town["B"].running else "C"
    town["B"].run = town["C"].run = echo()
    town.crash(victim)
    trace.settle(task)
    town.start(victim)
    trace.scene("it is cancelled while it runs")
    task = trace.submit(hanging)
    town.run_until(lambda: bool(town["B"].running or town["C"].running))
    town["A"].command(commands.CancelTasks(9, task))
    trace.settle(task)
    town.run(SECOND_NS)
    return "\n".join(trace.lines) + "\n"


def test_tasks_go_as_written() -> None:
    assert transcript() == GOLDEN.read_text(encoding="utf-8")
