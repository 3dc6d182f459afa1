"""Tasks of other custodians: found and cancelled by asking all members.

The first that knows the task answers for it; a question ends when all members
have said that they do not, or after `lookup_ns`.
"""

import msgspec

from protocols.errors import Refused
from protocols.machine import MILLISECOND_NS
from protocols.tasks.events import CancelAnswered, TaskLookedUp, TaskView
from protocols.tasks.messages import CancelTask, FindTask, TaskFound
from protocols.tasks.outbox import Outbox
from protocols.tasks.parameters import LOOKUPS_LIMIT, NEVER, TaskParameters

TASK_ID_LIMIT = 64
_decoder = msgspec.msgpack.Decoder(TaskView)


class _Question:
    """One question to all members. `request` is the client's number."""

    __slots__ = ("due", "is_cancel", "request", "task", "waiting")

    def __init__(
        self, request: int, task: str, is_cancel: bool, waiting: dict[bytes, None], due: int
    ) -> None:
        self.request = request
        self.task = task
        self.is_cancel = is_cancel
        self.waiting = waiting
        self.due = due


class Lookups:
    """Questions to other peers that wait for an answer."""

    def __init__(self, parameters: TaskParameters, outbox: Outbox) -> None:
        self._parameters = parameters
        self._outbox = outbox
        self._questions: dict[int, _Question] = {}
        self._counter = 0

    def ask(self, request: int, task: str, is_cancel: bool, members: list[bytes], now: int) -> None:
        """Asks all members for a task.

        Raises:
            Refused: too many questions wait already.
        """
        if len(self._questions) >= LOOKUPS_LIMIT:
            raise Refused("Busy", "too many tasks are looked up", 100 * MILLISECOND_NS)
        if not members or not 1 <= len(task) <= TASK_ID_LIMIT:
            self._answer(request, task, is_cancel, None)
            return
        self._counter += 1
        self._questions[self._counter] = _Question(
            request, task, is_cancel, dict.fromkeys(members), now + self._parameters.lookup_ns
        )
        question = CancelTask if is_cancel else FindTask
        for member in members:
            self._outbox.send(member, question(self._counter, task))

    def found(self, link: bytes, message: TaskFound) -> None:
        """A member answers."""
        question = self._questions.get(message.request)
        if question is None or link not in question.waiting:
            return
        if message.view:
            try:
                view = _decoder.decode(message.view)
            except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
                self._outbox.blame(link, "a view of a task that does not decode")
                return
            if view.task != question.task or view.custodian != link:
                self._outbox.blame(link, "a view of a task that was not asked for")
                return
            del self._questions[message.request]
            self._answer(question.request, question.task, question.is_cancel, view)
            return
        del question.waiting[link]
        if not question.waiting:
            self._give_up(message.request)

    def wake(self, now: int) -> None:
        """Gives up what was not answered in time."""
        for number, question in tuple(self._questions.items()):
            if question.due <= now:
                self._give_up(number)

    def deadline(self) -> int:
        """When `wake` is wanted; questions end in the order in which they were asked."""
        for question in self._questions.values():
            return question.due
        return NEVER

    def _give_up(self, number: int) -> None:
        question = self._questions.pop(number)
        self._answer(question.request, question.task, question.is_cancel, None)

    def _answer(self, request: int, task: str, is_cancel: bool, view: TaskView | None) -> None:
        if is_cancel:
            state = view.state if view is not None else ""
            self._outbox.emit(CancelAnswered(request, task, state))
        else:
            self._outbox.emit(TaskLookedUp(request, view))
