"""The tasks that handlers of this process submitted, and their ends; what they ask their peer.

Confined to one event loop: the connection hands its messages over to it.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import anyio
import msgspec

from mesh.local.board_requests import BoardAsked
from mesh.local.codec import encode_value
from mesh.local.errors import Refused, TaskFailed
from mesh.local.messages import (
    Accepted,
    Answer,
    Ask,
    Cancel,
    LocalMessage,
    Settled,
    SettledTask,
    Submit,
)
from mesh.local.messages import Refused as RefusedMessage
from mesh.local.options import ReadValue
from mesh.local.values import decode_value, value_of_done

SUBMIT_CHUNK = 256
"""Inputs in one submission of a handler's `map`."""
SUBMIT_CHUNK_BYTES = 4 * 1024 * 1024


class Event(Protocol):
    """Something that happens once, and may be awaited."""

    def set(self) -> None:
        """It has happened: whoever waits goes on."""

    async def wait(self) -> None:
        """Waits until it has happened."""


class Child:
    """One task that a handler submitted. `read`, where set, makes its value typed."""

    __slots__ = ("_ended", "_outcome", "id", "read", "skill")

    def __init__(self, task: str, skill: str, ended: Event) -> None:
        self.id = task
        self.skill = skill
        self.read: ReadValue | None = None
        self._ended = ended
        self._outcome: SettledTask | None = None

    @property
    def is_settled(self) -> bool:
        """Whether it has come to its end."""
        return self._outcome is not None

    def settle(self, outcome: SettledTask) -> None:
        """Takes the end of the task; a second one is ignored."""
        if self._outcome is None:
            self._outcome = outcome
            self._ended.set()

    async def wait(self) -> None:
        """Waits for its end."""
        await self._ended.wait()

    def value(self) -> Any:
        """The result of a settled child.

        Raises:
            TaskFailed: it ended without one.
        """
        outcome = self._outcome
        assert outcome is not None, "the child has not ended"
        if outcome.state == "done":
            return value_of_done(outcome, self.read)
        raise TaskFailed(
            outcome.task,
            outcome.state,
            outcome.error_kind,
            outcome.error_message,
            outcome.attempts,
        )


class _Request:
    """A submission or a question without its answer."""

    __slots__ = ("answer", "answered", "skill")

    def __init__(self, skill: str, answered: Event) -> None:
        self.skill = skill
        self.answered = answered
        self.answer: list[Child] | RefusedMessage | Answer | None = None


class Children:
    """Matches the peer's answers to what handlers of this process submitted.

    Args:
        send: takes messages to the peer.
        make_event: what handlers wait with; a simulated mesh has its own.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        send: Callable[[LocalMessage], None],
        make_event: Callable[[], Event] = anyio.Event,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._send = send
        self._make_event = make_event
        self._sleep = sleep
        self._number = 0
        self._requests: dict[int, _Request] = {}
        self._tasks: dict[str, list[Child]] = {}

    async def submit(self, template: Submit, inputs: list[msgspec.Raw]) -> list[Child]:
        """Submits one task per input, in chunks, waiting as long as the peer asks to.

        Args:
            template: everything but the request number and the inputs; keys as for all inputs.
            inputs: the encoded inputs.

        Raises:
            Refused: the peer refused them for good. Chunks accepted before run on.
        """
        children: list[Child] = []
        start = 0
        while start < len(inputs):
            end = _chunk_end(inputs, start)
            chunk = msgspec.structs.replace(
                template,
                inputs=inputs[start:end],
                keys=template.keys[start:end],
                weights_us=template.weights_us[start:end],
            )
            children += await self._submit_chunk(chunk, start)
            start = end
        return children

    async def _submit_chunk(self, chunk: Submit, offset: int) -> list[Child]:
        while True:
            self._number += 1
            number = self._number
            request = self._requests[number] = _Request(chunk.skill, self._make_event())
            try:
                self._send(msgspec.structs.replace(chunk, request=number))
                await request.answered.wait()
            finally:
                del self._requests[number]
            answer = request.answer
            if isinstance(answer, list):
                return answer
            assert isinstance(answer, RefusedMessage), "answered without an answer"
            if answer.retry_after_ms < 0:
                if answer.index < 0:
                    raise Refused(answer.kind, answer.message)
                index = answer.index + offset
                which = f"input {index}: " if index or len(chunk.inputs) > 1 else ""
                raise Refused(answer.kind, which + answer.message, index)
            await self._sleep(answer.retry_after_ms / 1000)

    async def ask(self, asked: BoardAsked) -> Any:
        """Asks the peer of its blackboard, again while it says when to.

        Raises:
            Refused: it cannot be done.
        """
        arguments = encode_value(asked.arguments)
        while True:
            self._number += 1
            number = self._number
            request = self._requests[number] = _Request("", self._make_event())
            try:
                self._send(Ask(request=number, verb=asked.verb, arguments=arguments))
                await request.answered.wait()
            finally:
                del self._requests[number]
            answer = request.answer
            if isinstance(answer, Answer):
                return asked.read(decode_value(answer.value))
            assert isinstance(answer, RefusedMessage), "answered without an answer"
            if answer.retry_after_ms < 0:
                raise Refused(answer.kind, answer.message)
            await self._sleep(answer.retry_after_ms / 1000)

    def cancel(self, child: Child, reason: str) -> None:
        """Asks for a child to be stopped, where it has not ended."""
        if not child.is_settled:
            self._number += 1
            self._send(Cancel(request=self._number, task=child.id, reason=reason))

    def receive(self, message: Accepted | RefusedMessage | Settled | Answer) -> None:
        """Takes a message of the peer about children, or an answer."""
        if isinstance(message, Settled):
            for outcome in message.tasks:
                for child in self._tasks.pop(outcome.task, ()):
                    child.settle(outcome)
            return
        request = self._requests.get(message.request)
        if isinstance(message, Accepted):
            skill = "" if request is None else request.skill
            children = [Child(task, skill, self._make_event()) for task in message.tasks]
            for child in children:
                self._tasks.setdefault(child.id, []).append(child)
            if request is not None:
                request.answer = children
                request.answered.set()
        elif request is not None:
            request.answer = message
            request.answered.set()


def _chunk_end(inputs: list[msgspec.Raw], start: int) -> int:
    size = 0
    limit = min(start + SUBMIT_CHUNK, len(inputs))
    for index in range(start, limit):
        size += memoryview(inputs[index]).nbytes
        if size > SUBMIT_CHUNK_BYTES and index > start:
            return index
    return limit
