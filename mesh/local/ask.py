"""One question to one peer, over a connection of its own. For short-lived callers.

Clients that stay use `mesh.client`; this is for launchers and the command
line, which ask many peers a little, some of them stopped or gone.
"""

import socket
import time
from pathlib import Path
from typing import Any

import msgspec

from mesh.local.codec import ProtocolError, encode_value, for_local, pack
from mesh.local.errors import NOT_RUNNING, SILENT
from mesh.local.messages import Answer, Ask, Hello, LocalMessage, Ping, Pong, Refused, Welcome

READ_BYTES = 256 * 1024


class NoAnswer(Exception):
    """Nobody answered: no such socket, nobody listening, or not within the time given.

    Attributes:
        refused: True where nothing listens there, so no process is behind it;
            False where somebody does but does not answer (stopped, or too busy).
        in_short: why, in a few words, without whom.
    """

    def __init__(self, message: str, refused: bool) -> None:
        super().__init__(message)
        self.refused = refused
        self.in_short = NOT_RUNNING if refused else SILENT


class QuestionRefused(Exception):
    """The peer answered that it will not do this."""


def ask(address: Path, verb: str, arguments: Any = None, timeout_s: float = 2.0) -> Any:
    """Asks one peer one question.

    Args:
        address: the peer's local socket.
        verb: see `messages.Ask`.
        arguments: a plain value.
        timeout_s: for the whole exchange.

    Raises:
        NoAnswer: see there.
        QuestionRefused: the peer does not know the verb, or refuses.
    """
    question = Ask(request=1, verb=verb, arguments=encode_value(arguments))
    reply = _exchange(address, question, timeout_s)
    if isinstance(reply, Refused):
        raise QuestionRefused(reply.message)
    if not isinstance(reply, Answer):
        raise NoAnswer(f"{address} answered {type(reply).__name__}", refused=False)
    return msgspec.msgpack.decode(reply.value)


def greet(address: Path, timeout_s: float = 1.0) -> Welcome:
    """What a peer says of itself to whoever connects.

    Raises:
        NoAnswer: see there.
    """
    welcome = _exchange(address, None, timeout_s)
    assert isinstance(welcome, Welcome), "an exchange without a question ends with the welcome"
    return welcome


def ping(address: Path, timeout_s: float = 1.0) -> bool:
    """Whether a peer's loop answers; False for a stopped process, whose socket stays open."""
    try:
        return isinstance(_exchange(address, Ping(request=1), timeout_s), Pong)
    except NoAnswer:
        return False


def _exchange(address: Path, question: LocalMessage | None, timeout_s: float) -> LocalMessage:
    """The answer to a question; without one, the welcome."""
    ends = time.monotonic() + timeout_s
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.settimeout(timeout_s)
        try:
            stream.connect(str(address))
            asked = pack(question) if question is not None else b""
            stream.sendall(pack(Hello(role="client", name="question")) + asked)
            unpacker = for_local()
            while True:
                left = ends - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                stream.settimeout(left)
                data = stream.recv(READ_BYTES)
                if not data:
                    raise NoAnswer(f"{address} closed the connection", refused=True)
                for message in unpacker.feed(data):
                    if question is None and isinstance(message, Welcome):
                        return message
                    if question is not None and getattr(message, "request", None) == 1:
                        return message
        except TimeoutError:
            text = f"{address} did not answer within {timeout_s:g} s"
            raise NoAnswer(text, refused=False) from None
        except BlockingIOError:
            raise NoAnswer(f"{address} takes no connections", refused=False) from None
        except OSError as error:
            raise NoAnswer(f"{address}: {error.strerror or error}", refused=True) from None
        except ProtocolError as error:
            raise NoAnswer(f"{address}: {error}", refused=False) from None
