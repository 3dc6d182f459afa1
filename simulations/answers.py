"""What a recorded core was answered by its keyring and its entropy, given once more."""

from collections import deque
from collections.abc import Callable

from mesh.core.image import stand_in
from mesh.core.recorded_core import ENTROPY, KEYRING
from mesh.core.recording import Drew, Signed
from protocols.errors import MeshError
from protocols.identity import Ed25519Keyring

_VERIFIES_ONLY = bytes(32)
"""The seed of a keyring that only verifies."""


class Diverged(MeshError):
    """The core did not do here what it did there."""


class Answers:
    """What the keyring and the entropy answered in the step that is replayed."""

    def __init__(self) -> None:
        """Nothing is answered yet; `left` is filled for each step."""
        self.left: deque[Signed | Drew] = deque()
        self.missed = ""

    def next(self, wanted: str) -> bytes:
        """The next answer, where it is of the wanted kind."""
        answer = self.left.popleft() if self.left else None
        kind = type(answer).__name__
        if answer is None or kind != wanted:
            # Kept as well: a core answers an exception in a remote step by isolating the sender.
            self.missed = f"the core asks for what is {wanted} where the recorded one did not"
            raise Diverged(self.missed)
        return answer.data


class ReplayedKeyring:
    """Verifies, and answers with recorded signatures."""

    def __init__(self, peer: bytes, root: bytes, answers: Answers) -> None:
        self.peer = peer
        self.verify = Ed25519Keyring(_VERIFIES_ONLY, root).verify
        self._answers = answers

    def sign(self, domain: str, body: bytes) -> bytes:
        """The recorded signature."""
        return self._answers.next("Signed")

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return stand_in, (KEYRING,)


class ReplayedEntropy:
    """Answers with recorded secrets."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def __call__(self, size: int) -> bytes:
        """The recorded secret bytes."""
        return self._answers.next("Drew")

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return stand_in, (ENTROPY,)
