"""Agents and their skills, as agent authors declare them."""

import inspect
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, Literal, TypeVar, overload

from mesh.agent.adapting import description_of, handler_of, name_of
from mesh.agent.context import Context
from mesh.agent.pricing import EVERY_S, HEALTH_TIMEOUT_S, TIMEOUT_S, Handler, asked
from mesh.agent.signature import Signature, compile_signature
from mesh.local.messages import SkillDeclaration
from mesh.local.options import labels as checked_labels
from mesh.local.options import milliseconds
from mesh.local.sizes import worker_limit

F = TypeVar("F", bound=Callable[..., Any])

Loop = Literal["asyncio", "trio"]


class Skill:
    """One skill of an agent: its handler, its limits, and what its signature compiles to.

    Attributes:
        function: the handler as it was written.
        is_async: whether it is a coroutine function; others run in threads.
        timeout: the longest that one attempt may run, in seconds; None for no limit.
        retries: attempts after the first.
        slots: how many attempts may run at once.
        inline: whether it runs in the peer's own loop.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str,
        version: str,
        timeout: float | None,
        retries: int,
        slots: int,
        inline: bool,
        description: str,
        requires: tuple[str, ...] = (),
    ) -> None:
        if not name or "@" in name:
            raise ValueError(f"{name!r} cannot name a skill")
        if slots < 1:
            raise ValueError(f"skill {name}: slots must be at least 1")
        if retries < 0:
            raise ValueError(f"skill {name}: retries must not be below zero")
        if timeout is not None and timeout <= 0:
            raise ValueError(f"skill {name}: timeout must be above zero, or None")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(f"skill {name}: a handler returns its result, it does not yield")
        self.function = function
        self.name = name
        self.version = version
        self.timeout = timeout
        self.retries = retries
        self.slots = slots
        self.inline = inline
        self.description = description
        self.requires = requires
        self.is_async = inspect.iscoroutinefunction(function)

    @cached_property
    def signature(self) -> Signature:
        """Compiled at first use, when every name that the hints mention is defined."""
        return compile_signature(self.function, Context)

    def declaration(self) -> SkillDeclaration:
        """What a peer is told about this skill."""
        return SkillDeclaration(
            name=self.name,
            version=self.version,
            input_schema=self.signature.input_schema,
            output_schema=self.signature.output_schema,
            slots=self.slots,
            timeout_ms=milliseconds(self.timeout or 0),
            retries=self.retries,
            description=self.description,
            inline=self.inline,
            requires=list(self.requires),
        )


class Agent:
    """A named set of skills, which one worker process runs.

    Args:
        name: for people, and for calls that name an agent.
        loop: the event loop that its coroutines expect.
        memory: what its worker process may hold, such as ``"512MB"``; None for no limit. The
            limits of agents in one file add up, for they share a process.
        python: the interpreter that runs the file, such as ``"venv/bin/python"`` (relative to
            the file); a plain text, for it is read before the file is imported.
        labels: what a peer is fit for as long as it runs this agent, such as ``("gpu",)``.
    """

    def __init__(
        self,
        name: str,
        *,
        loop: Loop = "asyncio",
        memory: str | int | None = None,
        python: str = "",
        labels: str | Iterable[str] = (),
    ) -> None:
        if not name:
            raise ValueError("an agent needs a name")
        if loop not in ("asyncio", "trio"):
            raise ValueError(f"loop is 'asyncio' or 'trio', not {loop!r}")
        self.name = name
        self.loop: Loop = loop
        self.python = python
        self.labels = checked_labels(labels)
        self.memory = 0 if memory is None else worker_limit(memory)
        self.skills: dict[tuple[str, str], Skill] = {}
        self.bidding: Handler | None = None
        self.checking: Handler | None = None

    def __repr__(self) -> str:
        return f"Agent({self.name!r}, skills={[name for name, _ in self.skills]})"

    @overload
    def skill(self, function: F, /) -> F: ...

    @overload
    def skill(
        self,
        /,
        *,
        version: str = "1",
        name: str | None = None,
        timeout: float | None = None,
        retries: int = 2,
        slots: int = 1,
        inline: bool = False,
        description: str | None = None,
        requires: str | Iterable[str] = (),
    ) -> Callable[[F], F]: ...

    def skill(
        self,
        function: Any = None,
        /,
        *,
        version: str = "1",
        name: str | None = None,
        timeout: float | None = None,
        retries: int = 2,
        slots: int = 1,
        inline: bool = False,
        description: str | None = None,
        requires: str | Iterable[str] = (),
    ) -> Any:
        """Makes a function a skill; the function itself stays as it is.

        Args:
            function: the handler, where the decorator is used without parentheses.
            version: raise it when inputs or outputs change.
            name: the function's name by default.
            timeout: seconds that one attempt may run.
            retries: attempts after the first, should one fail.
            slots: how many attempts one worker runs at once.
            inline: run in the peer's own loop; for short trio or plain handlers you trust.
            description: the docstring's first paragraph by default.
            requires: labels that a peer must have to run it, such as ``"gpu"``.

        Raises:
            ValueError: a name that is taken, or limits that make no sense.
        """

        def declare(handler: F) -> F:
            doc = (inspect.getdoc(handler) or "").partition("\n\n")[0].replace("\n", " ")
            skill = Skill(
                handler,
                name=name or handler.__name__,
                version=version,
                timeout=timeout,
                retries=retries,
                slots=slots,
                inline=inline,
                description=doc if description is None else description,
                requires=checked_labels(requires),
            )
            if (skill.name, skill.version) in self.skills:
                raise ValueError(f"agent {self.name} has a skill {skill.name}@{version} already")
            self.skills[skill.name, skill.version] = skill
            handler.__mesh_skill__ = skill  # type: ignore[attr-defined]  # a mark for callers
            return handler

        return declare if function is None else declare(function)

    def add(
        self,
        thing: Any,
        /,
        name: str = "",
        *,
        method: str = "",
        argument: str = "",
        description: str | None = None,
        **limits: Any,
    ) -> Any:
        """Makes a skill of what another framework built, or of any callable.

        A graph or chain with ``invoke``, a crew with ``kickoff``, a pipeline with ``run``: see
        `adapting`. Its results become plain values.

        Args:
            thing: a function, a callable object, or one with such a method.
            name: of the skill; what the thing is called by itself, otherwise.
            method: the method to call, where it is another.
            argument: the name of the skill's one input, which is handed over itself: for
                objects that take a text and not a dict.
            description: what the thing says of itself, otherwise.
            **limits: as for `skill`: ``version``, ``timeout``, ``retries``, ``slots`` and so on.

        Returns:
            The handler, by which callers may name the skill.

        Raises:
            TypeError: it cannot be called, has no name, or takes what no input can be.
            ValueError: as for `skill`.
        """
        called = name or name_of(thing)
        if not called:
            raise TypeError(f"say what the skill of {thing!r} is called: name=")
        handler = handler_of(thing, called, loop=self.loop, method=method, argument=argument)
        if description is None:
            description = description_of(thing)
        return self.skill(name=called, description=description, **limits)(handler)

    @overload
    def bid(self, function: F, /) -> F: ...

    @overload
    def bid(self, /, *, every: float = EVERY_S, timeout: float = TIMEOUT_S) -> Callable[[F], F]: ...

    def bid(
        self, function: Any = None, /, *, every: float = EVERY_S, timeout: float = TIMEOUT_S
    ) -> Any:
        """Makes a function the one that prices this agent's skills: `Offer` -> `Bid` or None.

        It is asked in the worker, ahead of any auction, and its last answer stands in all
        bids of the peer until the next. None, or no answer, leaves the price to what the
        peer has measured.

        Args:
            function: the handler, plain or a coroutine function.
            every: seconds from one answer to the next asking.
            timeout: seconds that it may take for each skill.

        Raises:
            ValueError: the agent has such a handler already, or a time makes no sense.
        """

        def declare(handler: F) -> F:
            if self.bidding is not None:
                raise ValueError(f"agent {self.name} has a bid handler already")
            self.bidding = asked("bid", handler, every, timeout)
            return handler

        return declare if function is None else declare(function)

    @overload
    def health(self, function: F, /) -> F: ...

    @overload
    def health(
        self, /, *, every: float = EVERY_S, timeout: float = HEALTH_TIMEOUT_S
    ) -> Callable[[F], F]: ...

    def health(
        self,
        function: Any = None,
        /,
        *,
        every: float = EVERY_S,
        timeout: float = HEALTH_TIMEOUT_S,
    ) -> Any:
        """Makes a function the one that says whether this agent can work.

        It returns None or True where it can; False or a reason where it cannot. An error, or no
        answer in time, is a reason too. While an agent cannot work, its peer offers none of its
        slots; what runs is left alone.

        Args:
            function: the handler, plain or a coroutine function, without parameters.
            every: seconds from one answer to the next asking.
            timeout: seconds that it may take.

        Raises:
            ValueError: the agent has such a handler already, or a time makes no sense.
        """

        def declare(handler: F) -> F:
            if self.checking is not None:
                raise ValueError(f"agent {self.name} has a health handler already")
            self.checking = asked("health", handler, every, timeout)
            return handler

        return declare if function is None else declare(function)
