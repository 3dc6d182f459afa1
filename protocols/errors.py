"""Errors that the protocols raise.

Only local callers see exceptions. What a remote peer sends is never answered
with one: admission catches `Malformed`, and everything else is `Blame`.
"""


class MeshError(Exception):
    """The root of every error that the mesh raises on purpose."""


class Refused(MeshError):
    """A local command was refused, and nothing has changed.

    Attributes:
        kind: a stable CamelCase word that scripts may match on, such as ``UnknownSkill``.
        message: what failed, why, and what to try.
        retry_after_ns: how long to wait before trying again, or None where
            trying again cannot help.
    """

    def __init__(self, kind: str, message: str, retry_after_ns: int | None = None) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message
        self.retry_after_ns = retry_after_ns


class Malformed(MeshError):
    """Bytes that do not decode to what they should; caught in admission only."""


class ConfigurationError(MeshError):
    """The folder, the options or the environment cannot work as they are."""


class StorageCorrupt(MeshError):
    """The disk holds something that was never written; the peer must stop."""
