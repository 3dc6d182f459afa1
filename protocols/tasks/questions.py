"""What is asked of a custodian about its tasks; nothing is changed by it."""

import msgspec

from protocols.machine import Now
from protocols.tasks import commands
from protocols.tasks.catalogue import Catalogue
from protocols.tasks.events import TaskLookedUp, TasksAttached, TasksListed, TaskView
from protocols.tasks.ledger import Ledger
from protocols.tasks.lifecycle import SETTLED
from protocols.tasks.lookup import Lookups
from protocols.tasks.messages import INPUT_LIMIT
from protocols.tasks.outbox import Outbox
from protocols.tasks.parameters import LISTED_LIMIT
from protocols.tasks.settling import Settling
from protocols.tasks.task import Task
from protocols.tasks.views import view_of

VIEW_LIMIT = INPUT_LIMIT + 64 * 1024


class Questions:
    """Attaching, listing and looking up."""

    def __init__(
        self,
        me: bytes,
        ledger: Ledger,
        settling: Settling,
        catalogue: Catalogue,
        lookups: Lookups,
        outbox: Outbox,
    ) -> None:
        self._me = me
        self._ledger = ledger
        self._settling = settling
        self._catalogue = catalogue
        self._lookups = lookups
        self._outbox = outbox

    def attach(self, command: commands.AttachTasks) -> None:
        """Tells the ends of tasks again; what is undecided will be told when it ends."""
        unknown: list[str] = []
        settled: list[Task] = []
        for task_id in command.tasks:
            task = self._ledger.tasks.get(task_id)
            if task is None:
                unknown.append(task_id)
            elif task.state in SETTLED:
                settled.append(task)
        self._outbox.emit(TasksAttached(command.request, tuple(unknown)))
        for task in settled:
            self._settling.tell_again(task)

    def list(self, command: commands.ListTasks) -> None:
        """Tells this custodian's tasks, newest first."""
        limit = max(0, min(command.limit, LISTED_LIMIT))
        views: list[TaskView] = []
        for task in reversed(self._ledger.tasks.values()):
            if len(views) >= limit:
                break
            if not command.states or task.state in command.states:
                views.append(view_of(task, self._me, self._ledger, with_value=False))
        self._outbox.emit(TasksListed(command.request, tuple(views)))

    def shown(self, task: Task | None) -> bytes:
        """A task as another peer is shown it; empty where it is not here."""
        if task is None:
            return b""
        shown = view_of(task, self._me, self._ledger)
        view = msgspec.msgpack.encode(shown)
        if len(view) > VIEW_LIMIT:
            view = msgspec.msgpack.encode(msgspec.structs.replace(shown, history=()))
        return view

    def look_up(self, command: commands.LookUpTask, now: Now) -> None:
        """Finds a task here, or asks all members."""
        task = self._ledger.tasks.get(command.task)
        if task is not None:
            view = view_of(task, self._me, self._ledger)
            self._outbox.emit(TaskLookedUp(command.request, view))
            return
        members = list(self._catalogue.members)
        self._lookups.ask(command.request, command.task, False, members, now.monotonic_ns)
