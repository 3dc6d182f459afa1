"""What `AsyncClient` takes as a skill, and the types that a decorated function keeps.

As `typed_calls.py`, for coroutines; what the overloads do is in `async_client.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from mesh.client.typed_calls import WINDOW, by_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
    from typing import Concatenate, Literal

    from mesh.agent.context import Context
    from mesh.agent.outcome import Result
    from mesh.client.async_client import AsyncHandle
    from mesh.local.options import SkillLike

P = ParamSpec("P")
T = TypeVar("T")


class TypedAsyncCalls(ABC):
    """The calls of an `AsyncClient`."""

    @overload
    async def call(
        self,
        skill: Callable[Concatenate[Context, P], Coroutine[Any, Any, Result[T]]],
        /,
        *args: P.args,
        **inputs: P.kwargs,
    ) -> T: ...

    @overload
    async def call(
        self,
        skill: Callable[Concatenate[Context, P], Coroutine[Any, Any, T]],
        /,
        *args: P.args,
        **inputs: P.kwargs,
    ) -> T: ...

    @overload
    async def call(
        self,
        skill: Callable[Concatenate[Context, P], Result[T]],
        /,
        *args: P.args,
        **inputs: P.kwargs,
    ) -> T: ...

    @overload
    async def call(
        self,
        skill: Callable[Concatenate[Context, P], T],
        /,
        *args: P.args,
        **inputs: P.kwargs,
    ) -> T: ...

    @overload
    async def call(
        self,
        skill: Callable[P, Coroutine[Any, Any, Result[T]]],
        /,
        *args: P.args,
        **inputs: P.kwargs,
    ) -> T: ...

    @overload
    async def call(
        self,
        skill: Callable[P, Coroutine[Any, Any, T]],
        /,
        *args: P.args,
        **inputs: P.kwargs,
    ) -> T: ...

    @overload
    async def call(
        self,
        skill: Callable[P, Result[T]],
        /,
        *args: P.args,
        **inputs: P.kwargs,
    ) -> T: ...

    @overload
    async def call(self, skill: Callable[P, T], /, *args: P.args, **inputs: P.kwargs) -> T: ...

    @overload
    async def call(self, skill: str, /, **inputs: Any) -> Any: ...

    async def call(self, skill: SkillLike, /, *args: Any, **inputs: Any) -> Any:
        """Runs a skill anywhere in the mesh and returns its value.

        Given the decorated function, the value is what its return annotation says.

        Raises:
            TaskFailed: the task ended without a value.
            Refused: it was not accepted: no such skill, or the inputs do not fit it.
            NoPeer: no peer of the mesh can be reached any more.
        """
        by_name(args)
        return await self._call(skill, inputs)

    @overload
    async def submit(
        self,
        skill: Callable[Concatenate[Context, P], Coroutine[Any, Any, Result[T]]],
        /,
        *args: P.args,
        **inputs: P.kwargs,
    ) -> AsyncHandle[T]: ...

    @overload
    async def submit(
        self,
        skill: Callable[Concatenate[Context, P], Coroutine[Any, Any, T]],
        /,
        *args: P.args,
        **inputs: P.kwargs,
    ) -> AsyncHandle[T]: ...

    @overload
    async def submit(
        self,
        skill: Callable[Concatenate[Context, P], Result[T]],
        /,
        *args: P.args,
        **inputs: P.kwargs,
    ) -> AsyncHandle[T]: ...

    @overload
    async def submit(
        self,
        skill: Callable[Concatenate[Context, P], T],
        /,
        *args: P.args,
        **inputs: P.kwargs,
    ) -> AsyncHandle[T]: ...

    @overload
    async def submit(
        self,
        skill: Callable[P, Coroutine[Any, Any, Result[T]]],
        /,
        *args: P.args,
        **inputs: P.kwargs,
    ) -> AsyncHandle[T]: ...

    @overload
    async def submit(
        self,
        skill: Callable[P, Coroutine[Any, Any, T]],
        /,
        *args: P.args,
        **inputs: P.kwargs,
    ) -> AsyncHandle[T]: ...

    @overload
    async def submit(
        self,
        skill: Callable[P, Result[T]],
        /,
        *args: P.args,
        **inputs: P.kwargs,
    ) -> AsyncHandle[T]: ...

    @overload
    async def submit(
        self,
        skill: Callable[P, T],
        /,
        *args: P.args,
        **inputs: P.kwargs,
    ) -> AsyncHandle[T]: ...

    @overload
    async def submit(self, skill: str, /, **inputs: Any) -> AsyncHandle[Any]: ...

    async def submit(self, skill: SkillLike, /, *args: Any, **inputs: Any) -> AsyncHandle[Any]:
        """Has a skill run; returns when a peer has accepted the task.

        Raises:
            Refused: it was not accepted.
        """
        by_name(args)
        return await self._submitted(skill, inputs)

    @overload
    def map(
        self,
        skill: Callable[..., Coroutine[Any, Any, Result[T]]],
        inputs: Iterable[Mapping[str, Any]],
        *,
        return_exceptions: Literal[False] = False,
        window: int = WINDOW,
    ) -> AsyncIterator[T]: ...

    @overload
    def map(
        self,
        skill: Callable[..., Coroutine[Any, Any, T]],
        inputs: Iterable[Mapping[str, Any]],
        *,
        return_exceptions: Literal[False] = False,
        window: int = WINDOW,
    ) -> AsyncIterator[T]: ...

    @overload
    def map(
        self,
        skill: Callable[..., Result[T]],
        inputs: Iterable[Mapping[str, Any]],
        *,
        return_exceptions: Literal[False] = False,
        window: int = WINDOW,
    ) -> AsyncIterator[T]: ...

    @overload
    def map(
        self,
        skill: Callable[..., T],
        inputs: Iterable[Mapping[str, Any]],
        *,
        return_exceptions: Literal[False] = False,
        window: int = WINDOW,
    ) -> AsyncIterator[T]: ...

    @overload
    def map(
        self,
        skill: SkillLike,
        inputs: Iterable[Mapping[str, Any]],
        *,
        return_exceptions: bool = False,
        window: int = WINDOW,
    ) -> AsyncIterator[Any]: ...

    def map(
        self,
        skill: SkillLike,
        inputs: Iterable[Mapping[str, Any]],
        *,
        return_exceptions: bool = False,
        window: int = WINDOW,
    ) -> AsyncIterator[Any]:
        """Runs a skill once per object of keyword inputs; yields values in order.

        Inputs are taken as they are needed: at most `window` wait for their results
        to be taken. Leaving the loop early leaves the submitted tasks running.

        Raises:
            TaskFailed, Refused: one of them ended without a value, in its place; with
                `return_exceptions` they are yielded instead.
        """
        return self._mapped(skill, inputs, return_exceptions, window)

    # What they do.

    @abstractmethod
    async def _call(self, skill: SkillLike, inputs: Mapping[str, Any]) -> Any:
        """Has it run, and waits for its value."""

    @abstractmethod
    async def _submitted(self, skill: SkillLike, inputs: Mapping[str, Any]) -> AsyncHandle[Any]:
        """Has it run, and waits until it is accepted."""

    @abstractmethod
    def _mapped(
        self, skill: SkillLike, inputs: Iterable[Mapping[str, Any]], failures: bool, window: int
    ) -> AsyncIterator[Any]:
        """Has it run for each, and yields the values in order."""
