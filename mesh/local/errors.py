"""What goes wrong for people who call skills, whether from a script or from a handler."""


class MeshError(Exception):
    """The root of every error that the mesh raises to its users on purpose."""


class NoPeer(MeshError):
    """No peer of the mesh can be reached."""


class ConnectionLost(MeshError):
    """The peer closed the connection, or does not speak this protocol."""


class Refused(MeshError):
    """A request was refused, and nothing has changed.

    Attributes:
        kind: a stable CamelCase word that scripts may match on, such as ``UnknownSkill``.
        message: what failed, why, and what to try.
        index: the offending input of a batch, or -1.
    """

    def __init__(self, kind: str, message: str, index: int = -1) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message
        self.index = index


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
        super().__init__(f"task {task} {state} after {attempts} attempts: {kind}: {first_line}")
        self.task = task
        self.state = state
        self.kind = kind
        self.message = message
        self.attempts = attempts
