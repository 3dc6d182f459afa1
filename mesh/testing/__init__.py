"""A mesh in memory for people who test their agents: real handlers, faults, virtual time."""

from mesh.testing.errors import BadRecording, ForeignAwait, NotRecorded, Violation
from mesh.testing.local_mesh import LocalMesh
from mesh.testing.troupe import LogLine

__all__ = ["BadRecording", "ForeignAwait", "LocalMesh", "LogLine", "NotRecorded", "Violation"]
