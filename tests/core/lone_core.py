"""One core with real keys and no neighbours: frames go in, accusations come out."""

import random

from mesh.core.framing import FrameWriter
from mesh.core.outward import Accuse
from mesh.core.peer import PeerCore
from mesh.core.schemas import compile_schema
from mesh.core.settings import CoreSettings
from protocols.credentials import (
    NO_CURVE,
    ROLE_ISSUER,
    ROLE_PEER,
    Credential,
    encode_chain,
    issue,
)
from protocols.identity import Ed25519Keyring
from protocols.machine import SECOND_NS, Now

WALL_S = 1_000_000
LIFE_S = 10_000
ROOT = Ed25519Keyring(b"r" * 32, bytes(32)).peer


class LoneCore:
    """A core, and what its peer is; the peers of one test differ by their seeds."""

    def __init__(self, seed: int) -> None:
        self.keyring = Ed25519Keyring(bytes([seed]) * 32, ROOT)
        self.peer = self.keyring.peer
        self.credential = chain(self.peer, WALL_S - LIFE_S, WALL_S + LIFE_S)
        self.rng = random.Random(seed)
        self.now = Now(SECOND_NS, WALL_S * SECOND_NS)
        self.core = PeerCore(
            CoreSettings(),
            self.keyring,
            self.credential,
            ROOT,
            1,
            self.rng,
            self.rng.randbytes,
            compile_schema,
        )

    def hear(self, link: bytes, *messages: bytes) -> list[Accuse]:
        """Takes messages of a peer, in a frame of a new link: whom that makes it accuse."""
        for frame in FrameWriter(self.rng.getrandbits(62)).frames(messages):
            self.core.receive(link, frame, self.now)
        for record in self.core.take_records():
            self.core.recorded(record.number)
        return [out for out in self.core.take_outward() if isinstance(out, Accuse)]


def chain(peer: bytes, begin_s: int, end_s: int) -> bytes:
    """An encoded chain for a peer of that mesh, between two wall seconds."""
    root, issuer = Ed25519Keyring(b"r" * 32, ROOT), Ed25519Keyring(b"i" * 32, ROOT)
    of_issuer = Credential(
        ROOT, issuer.peer, NO_CURVE, (ROLE_ISSUER,), (), WALL_S - LIFE_S, WALL_S + 10 * LIFE_S, 1
    )
    of_peer = Credential(ROOT, peer, b"c" * 32, (ROLE_PEER,), (), begin_s, end_s, 2)
    return encode_chain(issue(root, of_issuer), issue(issuer, of_peer))
