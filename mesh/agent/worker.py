"""A worker process: runs the skills of agent files for one peer.

Threads: the reader takes messages off the socket and hands jobs out; plain
handlers run in threads of their skill (`threads`); coroutines run on the loop
in the main thread (`coroutines`), where also children are awaited. The process
ends with its peer's socket.
"""

import argparse
import importlib.util
import os
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import msgspec

from mesh.agent import interpreter, process
from mesh.agent.agent import Agent, Loop, Skill
from mesh.agent.asking import Asking
from mesh.agent.children import Children
from mesh.agent.context import Context
from mesh.agent.coroutines import CoroutineRunner
from mesh.agent.loading import BadAgentFile, load_agents, split_target
from mesh.agent.loop import LoopHost
from mesh.agent.outbox import Outbox
from mesh.agent.outcome import Cancelled
from mesh.agent.parking import Parking
from mesh.agent.threads import ThreadRunner
from mesh.agent.vault import vault
from mesh.local.codec import ProtocolError, for_local
from mesh.local.messages import (
    Accepted,
    Answer,
    Goodbye,
    Hello,
    JobEnd,
    LocalJob,
    LocalMessage,
    Refused,
    Register,
    Resume,
    Run,
    Settled,
    SkillDeclaration,
    Stop,
)

T = TypeVar("T")
Runner = ThreadRunner | CoroutineRunner

EXIT_BAD_AGENT = 3
"""An agent file cannot be used; starting the worker again cannot help."""
EXIT_REFUSED = 4
"""The peer would not have this worker."""
RECEIVE_BYTES = 1 << 18


class Worker:
    """One connection to a peer, and the agents behind it."""

    def __init__(
        self, sock: socket.socket, agents: list[Agent], loop: Loop, *, may_inline: bool = True
    ) -> None:
        self._sock = sock
        self._may_inline = may_inline
        self._agents = agents
        self._outbox = Outbox(sock)
        self._loop = LoopHost(loop)
        self._children: Children | None = None
        self._flush_posted = False
        self._draining = False
        self._runners: dict[tuple[str, str], Runner] = {}
        self._runner_of: dict[int, Runner] = {}
        self._parkings: dict[int, Parking] = {}
        self._scopes: dict[int, list[Any]] = {}
        for agent in agents:
            for key, skill in agent.skills.items():
                self._runners[key] = (
                    CoroutineRunner(skill, self._loop, self._coroutine_ended, self._context)
                    if skill.is_async
                    else ThreadRunner(skill, self._outbox, self._context, self._forget)
                )

    def run(self) -> None:
        """Registers and serves; the process ends with the connection."""
        self._outbox.send(Hello(role="worker", name=self._agents[0].name, pid=os.getpid()))
        askings = [
            Asking(agent, self._loop, self._outbox.send, self._running)
            for agent in self._agents
            if agent.bidding or agent.checking
        ]
        if askings:
            # A coroutine that says how its agent is needs the loop, which runs in this thread.
            threading.Thread(target=self._register, args=(askings,), daemon=True).start()
        else:
            self._register(askings)
        threading.Thread(target=self._read, name="mesh-reader", daemon=True).start()
        self._loop.run()

    def _register(self, askings: list[Asking]) -> None:
        for asking in askings:
            asking.look()
        for left, agent in zip(range(len(self._agents))[::-1], self._agents, strict=True):
            skills = [self._declared(skill) for skill in agent.skills.values()]
            self._outbox.send(
                Register(
                    agent=agent.name,
                    skills=skills,
                    memory=agent.memory,
                    more=left > 0,
                    labels=list(agent.labels),
                )
            )
        for asking in askings:
            asking.start()

    def _running(self, skill: tuple[str, str]) -> int:
        return list(self._runner_of.values()).count(self._runners[skill])

    def _declared(self, skill: Skill) -> SkillDeclaration:
        declared = skill.declaration()
        if declared.inline and not self._may_inline:
            # The peer does not have what this environment has.
            declared = msgspec.structs.replace(declared, inline=False)
        return declared

    # The port of contexts.

    def secret(self, name: str) -> str:
        """The value of a secret."""
        return vault.secret(name)

    def send(self, message: LocalMessage) -> None:
        """Sends a message to the peer."""
        self._outbox.send(message)

    @property
    def children(self) -> Children:
        """The children of this process; on the loop only."""
        if self._children is None:
            self._children = Children(self._outbox.send)
        return self._children

    def parking(self, job: int) -> Parking:
        """Where a job stands with its slot; on the loop only."""
        if job not in self._parkings:
            runner = self._runner_of[job]
            self._parkings[job] = Parking(job, self._outbox.send, runner.slot_changed)
        return self._parkings[job]

    def run_on_loop(self, job: int, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Runs a coroutine of a plain handler's job, until the job is stopped."""

        async def run() -> T:
            import anyio

            with anyio.CancelScope() as scope:
                scopes = self._scopes.setdefault(job, [])
                scopes.append(scope)
                try:
                    return await function()
                finally:
                    scopes.remove(scope)
            raise Cancelled("the job was stopped while it waited for a child")

        return self._loop.call(run)

    def _context(self, job: LocalJob) -> Context:
        return Context(job, self)

    # What the peer says, on the reader's thread.

    def _read(self) -> None:
        try:
            self._read_until_closed()
        except BaseException:  # noqa: BLE001  # the process must not live on without its reader
            traceback.print_exc()
            process.leave(1)
        process.leave(0)

    def _read_until_closed(self) -> None:
        unpacker = for_local()
        while True:
            try:
                data = self._sock.recv(RECEIVE_BYTES)
            except OSError:
                return
            if not data:
                return
            try:
                for message in unpacker.feed(data):
                    self._receive(message)
            except ProtocolError as error:
                print(f"the peer does not speak the local protocol: {error}", file=sys.stderr)
                return

    def _receive(self, message: object) -> None:
        match message:
            case Run():
                self._start(message.jobs)
            case Stop():
                for job in message.jobs:
                    self._stop(job, message.reason)
            case Resume():
                self._loop.want()
                self._loop.post(self._resume, message.jobs)
            case Refused() if message.request == 0:
                print(f"the peer refused: {message.kind}: {message.message}", file=sys.stderr)
                process.leave(EXIT_REFUSED)
            case Accepted() | Settled() | Refused() | Answer():
                self._loop.want()
                self._loop.post(self._tell_children, message)
            case Goodbye():
                self._draining = True
                if not self._runner_of:
                    self._finish()
            case _:
                pass  # Welcome, and answers that nobody waits for

    def _start(self, jobs: list[LocalJob]) -> None:
        first = 0
        while first < len(jobs):
            key = (jobs[first].skill, jobs[first].version)
            end = first + 1
            while end < len(jobs) and (jobs[end].skill, jobs[end].version) == key:
                end += 1
            batch = jobs if first == 0 and end == len(jobs) else jobs[first:end]
            self._start_batch(key, batch)
            first = end

    def _start_batch(self, key: tuple[str, str], jobs: list[LocalJob]) -> None:
        runner = self._runners.get(key)
        if runner is None:
            for job in jobs:
                text = f"this worker has no skill {key[0]}@{key[1]}"
                self._outbox.add(
                    JobEnd(job=job.job, status="failed", error_kind="NoSkill", error_message=text)
                )
            self._outbox.flush()
            return
        for job in jobs:
            self._runner_of[job.job] = runner
        if isinstance(runner, ThreadRunner):
            runner.start(jobs)
        else:
            self._loop.want()
            self._loop.post(runner.start, jobs)

    def _stop(self, job: int, reason: str) -> None:
        runner = self._runner_of.get(job)
        if isinstance(runner, ThreadRunner):
            runner.stop(job, reason)
            if self._scopes.get(job):
                self._loop.post(self._cancel_waits, job)
        elif runner is not None:
            self._loop.post(runner.stop, job, reason)

    # On the loop.

    def _cancel_waits(self, job: int) -> None:
        for scope in self._scopes.get(job, ()):
            scope.cancel()

    def _resume(self, jobs: list[int]) -> None:
        for job in jobs:
            parking = self._parkings.get(job)
            if parking is not None:
                parking.resume()

    def _tell_children(self, message: Accepted | Refused | Settled | Answer) -> None:
        self.children.receive(message)

    def _coroutine_ended(self, end: JobEnd) -> None:
        self._outbox.add(end)
        if not self._flush_posted:
            self._flush_posted = True
            self._loop.post(self._flush)
        self._forget(end.job)

    def _flush(self) -> None:
        self._flush_posted = False
        self._outbox.flush()

    # On any thread.

    def _forget(self, job: int) -> None:
        """A job has ended; one that ends while parked has no slot to give back."""
        runner = self._runner_of.pop(job)
        self._scopes.pop(job, None)
        parking = self._parkings.pop(job, None)
        if parking is not None and parking.state != "running":
            runner.slot_changed(False)
        if self._draining and not self._runner_of:
            self._finish()

    def _finish(self) -> None:
        self._outbox.drain()
        process.leave(0)


def _load(targets: list[str], chosen: str) -> tuple[list[Agent], Loop]:
    agents: list[Agent] = []
    for target in targets:
        found = load_agents(target)
        for agent in found:
            _check_interpreter(agent, target, chosen)
        agents += found
    taken: set[tuple[str, str]] = set()
    for agent in agents:
        for name, version in agent.skills:
            if (name, version) in taken:
                raise BadAgentFile(f"two agents have a skill {name}@{version}")
            taken.add((name, version))
        for skill in agent.skills.values():
            skill.declaration()
    loops = sorted({agent.loop for agent in agents})
    if len(loops) > 1:
        raise BadAgentFile("agents for asyncio and for trio need workers of their own")
    if loops == ["trio"] and importlib.util.find_spec("trio") is None:
        raise BadAgentFile(f'{sys.executable} has no trio, which loop="trio" needs')
    return agents, agents[0].loop


def _choose_interpreter(targets: list[str], chosen: str) -> None:
    """Becomes the interpreter that the files ask for, where it is another one."""
    for target in targets:
        python = interpreter.wanted(target)
        if python and python != chosen and not interpreter.is_running(python):
            interpreter.become(python, sys.argv[1:])


def _check_interpreter(agent: Agent, target: str, chosen: str) -> None:
    if agent.python:
        python = interpreter.resolved(agent.python, split_target(target)[0])
        if python != chosen and not interpreter.is_running(python):
            raise BadAgentFile(
                f"agent {agent.name} asks for {python}, but not in {target} itself, where it would "
                "be read"
            )


def main() -> None:
    """The command line of a worker."""
    parser = argparse.ArgumentParser(prog="python -m mesh.agent.worker", description=__doc__)
    parser.add_argument("--socket", required=True, help="the local socket of the peer")
    parser.add_argument("--parent", type=int, default=0, help="end with this process")
    parser.add_argument("--chosen", default="", help="the interpreter that was chosen for it")
    parser.add_argument("targets", nargs="+", metavar="FILE[:NAME]")
    options = parser.parse_args()
    process.clean_output()
    if options.parent:
        process.die_with(options.parent)
        process.offer_itself_first()
    try:
        _choose_interpreter(options.targets, options.chosen)
        agents, loop = _load(options.targets, options.chosen)
    except BadAgentFile as error:
        print(f"mesh worker: {error}", file=sys.stderr)
        process.leave(EXIT_BAD_AGENT)
    except Exception:  # noqa: BLE001  # a user's file may raise anything
        print(f"mesh worker: cannot load {' '.join(options.targets)}:", file=sys.stderr)
        traceback.print_exc()
        process.leave(EXIT_BAD_AGENT)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(options.socket)
    except OSError as error:
        print(f"mesh worker: no peer at {options.socket}: {error}", file=sys.stderr)
        process.leave(1)
    Worker(sock, agents, loop, may_inline=not options.chosen).run()


if __name__ == "__main__":
    main()
