"""What a worker must never say: the values of secrets that its handlers were given.

Every text that leaves a worker passes here, and so does what it prints. A value is known
again as it is, as JSON, Python and a URL write it, and in base64; what a handler derives
from it otherwise, its hash or half of it, is not.
"""

import base64
import json
import threading
from collections.abc import Iterable
from typing import Any, TextIO
from urllib.parse import quote

from mesh.local.errors import Refused

VALUE_LEAST = 6
"""Shorter values cannot be told from ordinary text."""
INPUTS_LIMIT = 128
"""Sensitive inputs that are kept out of texts at once, the newest ones."""
LINE_LEAST = 16
"""Of a value of several lines, lines from this length on are known by themselves."""


class Redactor:
    """Takes the values of secrets out of texts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._secrets: dict[str, str] = {}
        self._inputs: dict[str, dict[str, str]] = {}
        self._shown: dict[str, str] = {}
        """What stands for each text that must not be said, the longest first."""

    def keep_out(self, value: str, name: str) -> None:
        """From now on this value is never said."""
        with self._lock:
            self._secrets |= _spelt(value, f"[secret {name}]")
            self._order()

    def keep_input_out(self, value: str, name: str) -> None:
        """The same of a sensitive input, until `INPUTS_LIMIT` others have come after it."""
        if len(value) < VALUE_LEAST:
            return
        with self._lock:
            self._inputs.pop(value, None)
            self._inputs[value] = _spelt(value, f"[sensitive {name}]")
            if len(self._inputs) > INPUTS_LIMIT:
                del self._inputs[next(iter(self._inputs))]
            self._order()

    def _order(self) -> None:
        shown = {text: said for spelt in self._inputs.values() for text, said in spelt.items()}
        shown |= self._secrets
        self._shown = dict(sorted(shown.items(), key=lambda pair: -len(pair[0])))

    def clean(self, text: str) -> str:
        """The text without secrets."""
        for value, shown in self._shown.items():
            if value in text:
                text = text.replace(value, shown)
        return text

    def plain(self, value: Any) -> Any:
        """A plain value without secrets in its texts."""
        if not self._shown:
            return value
        if isinstance(value, str):
            return self.clean(value)
        if isinstance(value, dict):
            return {self.plain(key): self.plain(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.plain(each) for each in value]
        return value

    def found_in(self, encoded: bytes | memoryview, *, but_inputs: bool = False) -> str:
        """What stands for the first secret in encoded bytes; "" where there is none.

        With `but_inputs` those of `keep_input_out` may be there.
        """
        known = self._secrets if but_inputs else self._shown
        if not known:
            return ""
        data = bytes(encoded)
        return next((shown for value, shown in known.items() if value.encode() in data), "")


def _spelt(value: str, shown: str) -> dict[str, str]:
    lines = [line for line in value.splitlines() if len(line) >= LINE_LEAST]
    return {text: shown for each in (value, *lines) for text in _spellings(each)}


def _spellings(value: str) -> list[str]:
    data = value.encode()
    return [
        value,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
        quote(value, safe=""),
        base64.b64encode(data).decode(),
        base64.urlsafe_b64encode(data).decode(),
    ]


redactor = Redactor()
"""That of this process."""


def refuse_secrets(skill: str, key: str, inputs: Iterable[bytes | memoryview]) -> None:
    """Checks what another skill is to be given.

    Raises:
        Refused: it holds a secret.
    """
    for encoded in (key.encode(), *inputs):
        # A sensitive input is written down already, as any input is.
        found = redactor.found_in(encoded, but_inputs=True)
        if found:
            raise Refused(
                "SecretInInput",
                f"what {skill} is to be given holds {found}, and inputs are written down: let its "
                "handler ask for the secret by itself",
            )


class CleanStream:
    """A text stream, as ``sys.stdout``, to which no secret is written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes the text without secrets."""
        self._stream.write(redactor.clean(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Writes several."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
