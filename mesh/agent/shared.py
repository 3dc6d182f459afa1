"""What handlers share with all others: the blackboard, and blobs."""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from mesh.local.async_blobs import AsyncBlobs
from mesh.local.async_board import AsyncBoard
from mesh.local.blobs import Blobs
from mesh.local.board import Board
from mesh.local.board_requests import BoardAsked
from mesh.local.messages import LocalJob

if TYPE_CHECKING:
    from mesh.agent.children import Children

T = TypeVar("T")


class Asking(Protocol):
    """What these need of the process that runs the handler."""

    @property
    def children(self) -> "Children":
        """The children of this process, and its questions."""

    def run_on_loop(self, job: int, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Runs a coroutine of a job on the loop, from the job's thread, and waits for it."""


class Shared:
    """The part of a context that is about what all share."""

    _job: LocalJob
    _port: Asking

    @property
    def board(self) -> AsyncBoard:
        """The blackboard, for coroutine handlers: ``await ctx.board.get("key")``."""
        return AsyncBoard(self._port.children.ask)

    @property
    def board_sync(self) -> Board:
        """The blackboard, for plain handlers."""
        return Board(self._ask_on_loop)

    @property
    def blobs(self) -> AsyncBlobs:
        """Blobs, for coroutine handlers: ``await ctx.blobs.get(ref)``."""
        return AsyncBlobs(self._port.children.ask)

    @property
    def blobs_sync(self) -> Blobs:
        """Blobs, for plain handlers."""
        return Blobs(self._ask_on_loop)

    def _ask_on_loop(self, asked: BoardAsked) -> Any:
        return self._port.run_on_loop(self._job.job, lambda: self._port.children.ask(asked))
