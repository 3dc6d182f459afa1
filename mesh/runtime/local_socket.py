"""The Unix socket that a peer listens at, and what it tells those who are too many."""

import contextlib
import os
import socket
from pathlib import Path

from mesh.local.codec import pack
from mesh.local.messages import Refused
from protocols.errors import ConfigurationError

SOCKET_PATH_LIMIT = 107 if os.uname().sysname == "Linux" else 103
"""Bytes in the path of a Unix socket."""
CONNECTIONS_LIMIT = 1024
FULL_RETRY_MS = 1000
"""When a client that was turned away may come again."""
GREETING_BYTES = 4096
"""More than the first words of any client."""
BACKLOG = 128


def turn_away(sock: socket.socket) -> None:
    """Closes a connection that is too many; says when to come again, as far as it can."""
    text = f"{CONNECTIONS_LIMIT} clients and workers are connected to this peer already"
    refusal = Refused(request=0, kind="Busy", message=text, retry_after_ms=FULL_RETRY_MS)
    sock.setblocking(False)
    with contextlib.suppress(OSError):
        sock.send(pack(refusal))
        # What is left unread would reset the connection, and the refusal would not be seen.
        sock.shutdown(socket.SHUT_RD)
        sock.recv(GREETING_BYTES)
    sock.close()


def listen(path: Path) -> socket.socket:
    """Listens at a path, for this user alone.

    Raises:
        ConfigurationError: the path is too long, or another process listens there.
    """
    if len(os.fsencode(path)) > SOCKET_PATH_LIMIT:
        raise ConfigurationError(
            f"the socket path {path} is longer than {SOCKET_PATH_LIMIT} bytes; "
            "use a shorter runtime folder"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            path.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigurationError(f"cannot listen at {path}: {error}") from error
        else:
            raise ConfigurationError(f"another process listens at {path}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with contextlib.suppress(OSError):
        # Before binding, so that nobody else can connect in between (Linux).
        os.fchmod(listener.fileno(), 0o600)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener
