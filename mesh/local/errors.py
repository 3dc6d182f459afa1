"""What goes wrong for people who call skills, whether from a script or from a handler."""

from collections.abc import Iterable


class MeshError(Exception):
    """The root of every error that the mesh raises to its users on purpose."""


class NoPeer(MeshError):
    """No peer of the mesh can be reached."""


NOBODY_ANSWERS = (
    "`mesh peers` shows which run; `mesh up` starts those that are missing, and "
    "`mesh resume PEER` lets one go on that is paused"
)
"""What to try where no peer answers."""
NOT_RUNNING, SILENT = "not running", "no answer"


def why_not(error: Exception) -> str:
    """What keeps somebody from a peer's socket, in a few words."""
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return NOT_RUNNING
    if isinstance(error, TimeoutError):
        return SILENT
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def nobody_answers(problems: Iterable[tuple[str, str]]) -> str:
    """That no peer answers, why, and what to try; peers with one trouble are told together.

    Args:
        problems: a peer's name or socket, and what is wrong with it.
    """
    by_reason: dict[str, list[str]] = {}
    for peer, reason in sorted(problems):
        by_reason.setdefault(reason, []).append(peer)
    told = "; ".join(f"{', '.join(peers)}: {reason}" for reason, peers in by_reason.items())
    return f"no peer answers ({told})\n{NOBODY_ANSWERS}"


class ConnectionLost(MeshError):
    """The peer closed the connection, or does not speak this protocol."""


class Refused(MeshError):
    """A request was refused, and nothing has changed.

    Attributes:
        kind: a stable CamelCase word that scripts may match on, such as ``UnknownSkill``.
        message: what failed, why, and what to try.
        index: the offending input of a batch, or -1.
        retry_after: seconds until trying again makes sense; None where it never does.
    """

    def __init__(
        self, kind: str, message: str, index: int = -1, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message
        self.index = index
        self.retry_after = retry_after


class PeerFull(OSError):
    """A peer takes no more connections for now; `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def counted(count: int, what: str) -> str:
    """``1 attempt``, ``2 attempts``."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


class TaskFailed(MeshError):
    """A task came to an end without a result.

    Attributes:
        task: its id.
        state: ``failed``, ``cancelled``, ``expired`` or ``dead``.
        kind: the name of the handler's exception, or of the reason.
        message: its text, and the end of its traceback.
        attempts: how many attempts were made.
    """

    def __init__(self, task: str, state: str, kind: str, message: str, attempts: int) -> None:
        first_line = message.partition("\n")[0]
        tries = counted(attempts, "attempt")
        super().__init__(f"task {task} {state} after {tries}: {kind}: {first_line}")
        self.task = task
        self.state = state
        self.kind = kind
        self.message = message
        self.attempts = attempts
