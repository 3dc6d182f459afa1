"""The client of a mesh, for scripts that wait."""

import copy
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from mesh.client.core import ClientCore, Entry, Question
from mesh.client.mapping import MapRun
from mesh.client.outcome import Outcome, outcome_of, value_of
from mesh.client.transport import Addresses, Carrier, Transport
from mesh.client.typed_calls import WINDOW, TypedCalls
from mesh.local.blobs import Blobs
from mesh.local.board import Board
from mesh.local.board_requests import BoardAsked
from mesh.local.codec import encode_value
from mesh.local.deciding import Decision, decision_of, wanted
from mesh.local.discovery import find_folder, sockets
from mesh.local.errors import Refused
from mesh.local.messages import Ask, Cancel, LocalMessage
from mesh.local.options import Options, SkillLike
from mesh.local.values import decode_value, encode_inputs

ASK_S = 30.0
"""How long an answer to a question may take."""
PathLike = str | os.PathLike[str]
T = TypeVar("T")


class Handle(Generic[T]):
    """One submitted task."""

    def __init__(self, client: "Client", entry: Entry) -> None:
        self._client = client
        self._entry = entry

    @property
    def id(self) -> str:
        """The task's id, from when a peer accepted it; "" where it was refused."""
        return self._entry.id

    @property
    def state(self) -> str:
        """``accepted``, or how it ended, as far as this client has heard."""
        outcome = self._entry.outcome
        if outcome is None:
            return "accepted"
        return "refused" if isinstance(outcome, Refused) else outcome.state

    def result(self, timeout: float | None = None) -> T:
        """Waits for the value.

        Raises:
            TaskFailed: the task ended without one.
            Refused: it was not accepted.
            TimeoutError: not within `timeout` seconds; the task goes on.
        """
        value: T = self.outcome(timeout).result()
        return value

    def outcome(self, timeout: float | None = None) -> Outcome:
        """Waits for the end, whatever it is.

        Raises:
            TimeoutError: not within `timeout` seconds; the task goes on.
        """
        self._client.wait_for(self._entry, timeout)
        assert self._entry.outcome is not None, "waited for"
        return outcome_of(self._entry.outcome, self._entry.order.read)

    def cancel(self, reason: str = "cancelled by the caller") -> str:
        """Stops the task wherever it runs; returns its state."""
        return self._client.cancel(self.id, reason)


class Client(TypedCalls):
    """Calls skills of a mesh from a script. Threads may share one.

    Args:
        dir: the mesh folder; by default ``$MESH_DIR``, the nearest ``.mesh``, or the
            user's only running mesh.
        address: the local socket of a peer, or of several in the order of preference,
            instead of a folder.

    Raises:
        NoPeer: no peer can be reached, or no mesh was found.
    """

    def __init__(
        self,
        dir: PathLike | None = None,
        address: PathLike | Sequence[PathLike] | None = None,
    ) -> None:
        self._core = ClientCore(os.urandom(8).hex())
        self._transport: Carrier = Transport(self._core, addresses_of(dir, address))
        self._options = Options()
        self._transport.connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Disconnects; tasks that were accepted go on."""
        self._transport.close()

    @property
    def home(self) -> str:
        """The name of the peer that this client is connected to now."""
        welcome = self._transport.welcome
        return "" if welcome is None else welcome.name

    def options(
        self,
        *,
        timeout: float | None = None,
        deadline: float | None = None,
        to: str | None = None,
        strategy: str | None = None,
        key: str | None = None,
        retries: int | None = None,
        weight: float | None = None,
        priority: int | None = None,
        version: str | None = None,
        requires: str | Iterable[str] | None = None,
        exclusive: bool | str | None = None,
        traceparent: str | None = None,
    ) -> "Client":
        """A view of this client, over the same connection, with options for its calls.

        Args:
            timeout: seconds that one attempt may run.
            deadline: seconds that a task may take from its submission.
            to: the name or id of the peer that is to run it.
            strategy: ``auction``, ``board``, ``direct`` or ``least_loaded``.
            key: idempotency key: the same key is the same task (``key/0``, … for a map).
            retries: attempts after the first.
            weight: an estimate in seconds, so that long tasks start first.
            priority: higher goes first.
            version: of the skill; else what the call names, or the highest that is hosted.
            requires: labels that the peer that runs it must have, such as ``"gpu"``.
            exclusive: a key of which no two tasks run under a valid lease at a time, and whose
                handlers have a ``ctx.fencing_token``; True for a key of the task's own.
            traceparent: the W3C trace context that the work belongs to; else a new one.
        """
        changes = {name: value for name, value in locals().items() if name != "self"}
        view = copy.copy(self)
        vars(view)["_options"] = self._options.changed(changes)
        return view

    # Work.

    def map_unordered(
        self,
        skill: SkillLike,
        inputs: Iterable[Mapping[str, Any]],
        *,
        window: int = WINDOW,
    ) -> Iterator[tuple[int, Outcome]]:
        """Runs a skill once per object of keyword inputs; yields (index, outcome) as they end."""
        return self._map_run(skill, inputs, window, collect=True).unordered()

    def cancel(self, task: str, reason: str = "cancelled by the caller") -> str:
        """Stops a task wherever it runs; returns its state, "" where nobody knows it."""
        answer = self._request(Cancel(request=0, task=task, reason=reason))
        return str(answer["state"])

    def decide(
        self,
        skill: SkillLike,
        input: Mapping[str, Any] | None = None,
        *,
        voters: int | None = None,
        rule: str = "majority",
        distinct: str | Iterable[str] = "peer",
        options: Iterable[str] = (),
        compare: str = "",
        close: float | None = None,
        deadline: float | None = None,
    ) -> Decision:
        """Runs a skill on the mesh's electors, each for itself, and settles what they answer.

        Args:
            skill: what each voter runs.
            input: its keyword inputs.
            voters: how many electors vote; all of them without it.
            rule: ``majority``, ``supermajority:2/3``, ``unanimous`` or ``median``.
            distinct: what no two voters share: ``peer``.
            options: the answers that count; any without them.
            compare: ``text`` (the usual: case and blanks do not matter) or ``exact``.
            close: seconds that voters may take; a minute without it.
            deadline: seconds after which it is given up.

        Raises:
            Refused: it cannot be held, or came to no end.
            TimeoutError: the peer gave no answer.
        """
        arguments, patience = wanted(
            skill, input, voters=voters, rule=rule, distinct=distinct, options=options,
            compare=compare, close=close, deadline=deadline,
        )  # fmt: skip
        ask = Ask(request=0, verb="decide", arguments=encode_value(arguments))
        return decision_of(self._request(ask, patience))

    # Questions.

    def task(self, task: str) -> dict[str, Any]:
        """What is known of a task, by its id."""
        return dict(self.ask("task", {"task": task}))

    def tasks(self) -> list[dict[str, Any]]:
        """The tasks that the home peer keeps."""
        return list(self.ask("tasks"))

    def why(self, task: str) -> dict[str, Any]:
        """A task's story: its attempts, and the auctions that they were won in."""
        return dict(self.ask("why", {"task": task}))

    def redrive(self, *tasks: str, skill: str = "", all: bool = False) -> dict[str, Any]:
        """Runs dead letters that the home peer keeps again: these, all of a skill, or all.

        Returns:
            ``redriven``, the ids of those that go on, and ``refused``, why others do not.

        Raises:
            Refused: not exactly one of the three was given.
        """
        return dict(self.ask("redrive", {"tasks": tasks, "skill": skill, "all": all}))

    def peers(self) -> list[dict[str, Any]]:
        """The peers of the mesh, as the home peer sees them."""
        return list(self.ask("peers"))

    def ask(self, verb: str, arguments: Any = None) -> Any:
        """Asks the home peer any question of the local protocol.

        Raises:
            Refused: it does not know the verb, or has no answer.
            TimeoutError: no answer within half a minute.
        """
        return self._request(Ask(request=0, verb=verb, arguments=encode_value(arguments)))

    # Inside.

    def _call(self, skill: SkillLike, inputs: Mapping[str, Any]) -> Any:
        entry = self._submit(skill, inputs)
        self.wait_for(entry, None)
        assert entry.outcome is not None, "waited for"
        value = value_of(entry.outcome, entry.order.read)
        if isinstance(value, Exception):
            raise value
        return value

    def _submitted(self, skill: SkillLike, inputs: Mapping[str, Any]) -> Handle[Any]:
        entry = self._submit(skill, inputs)
        self._transport.wait(lambda: entry.id or entry.outcome is not None)
        if isinstance(entry.outcome, Refused):
            raise entry.outcome
        return Handle(self, entry)

    def _mapped(
        self, skill: SkillLike, inputs: Iterable[Mapping[str, Any]], failures: bool, window: int
    ) -> Iterator[Any]:
        run = self._map_run(skill, inputs, window, collect=False)
        return run.ordered(return_exceptions=failures)

    def wait_for(self, entry: Entry, timeout: float | None) -> None:
        """Waits until a task has ended; for `Handle`."""
        if not self._transport.wait(lambda: entry.outcome is not None, timeout):
            raise TimeoutError(f"task {entry.id} has not ended within {timeout} s")

    def _submit(self, skill: SkillLike, inputs: Mapping[str, Any]) -> Entry:
        order = self._core.order(skill, self._options, collect=False)
        raw = encode_inputs(inputs)
        entry = self._core.entry(order, 0, raw, self._options.key)
        self._transport.do(lambda: self._core.submit([entry]))
        return entry

    def _map_run(
        self, skill: SkillLike, inputs: Iterable[Mapping[str, Any]], window: int, *, collect: bool
    ) -> MapRun:
        if window < 1:
            raise ValueError("a window holds at least one input")
        order = self._core.order(skill, self._options, collect=collect)
        return MapRun(self._core, self._transport, order, inputs, window)

    @property
    def board(self) -> Board:
        """The blackboard."""
        return Board(self._ask_board)

    @property
    def blobs(self) -> Blobs:
        """Large values by their content, to 64 MiB: put here, and got at any peer."""
        return Blobs(self._ask_board)

    def _ask_board(self, asked: BoardAsked) -> Any:
        ask = Ask(request=0, verb=asked.verb, arguments=encode_value(asked.arguments))
        until = self._core.clock() + ASK_S
        while True:
            try:
                answer = self._request(ask, is_repeatable=asked.is_repeatable)
            except Refused as refusal:
                pause = refusal.retry_after
                if pause is None or self._core.clock() + pause > until:
                    raise
                self._transport.wait(lambda: False, pause)
            else:
                return asked.read(answer)

    def _request(
        self, message: LocalMessage, patience: float = ASK_S, *, is_repeatable: bool = True
    ) -> Any:
        questions: list[Question] = []
        self._transport.do(
            lambda: questions.append(self._core.ask(message, is_repeatable=is_repeatable))
        )
        (question,) = questions
        if not self._transport.wait(lambda: question.answer is not None, patience):
            raise TimeoutError(f"the peer {self.home} has not answered within {patience:g} s")
        if isinstance(question.answer, Refused):
            raise question.answer
        assert question.answer is not None, "waited for"
        return decode_value(question.answer.value)


def addresses_of(dir: PathLike | None, address: PathLike | Sequence[PathLike] | None) -> Addresses:
    """Where the peers of a mesh listen.

    Raises:
        NoPeer: no mesh was found.
    """
    if address is None:
        folder = find_folder(dir)
        # Read anew each time: peers may come and go.
        return lambda: [str(path) for _, path in sockets(folder)]
    if isinstance(address, str | os.PathLike):
        address = [address]
    fixed = [str(Path(one)) for one in address]
    return lambda: fixed
