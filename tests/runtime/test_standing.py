"""What becomes of links when a root retires."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from mesh.runtime.standing import Standing
from mesh.runtime.transport import Transport
from mesh.storage.authority import PeerMaterial
from mesh.storage.folder import PeerFolder
from mesh.storage.keys import PeerKeys
from protocols.credentials import CLOCK_TOLERANCE_S
from protocols.identity import Ed25519Keyring
from protocols.machine import SECOND_NS, Now
from protocols.statements import RootSucceeded, consent_of
from protocols.trust import Verdict
from protocols.wire import seal
from tests.core.lone_core import ROOT, WALL_S, LoneCore

RETIRES_S = WALL_S + 1000


class Links:
    """Counts how often all links are looked at again."""

    reconsidered = 0

    def reconsider(self) -> None:
        self.reconsidered += 1


class Steps:
    def submit(self, command: msgspec.Struct) -> None:
        """Nothing is asked for here."""

    def flush(self) -> None:
        """Nothing leaves."""


class Nobody:
    def may_issue(self) -> bool:
        return False

    def sign(self, peer: bytes, curve: bytes, roles: Sequence[str]) -> bytes:
        raise AssertionError("it has no key")


def test_links_that_rest_on_a_root_are_looked_at_again_once_when_it_has_retired(
    tmp_path: Path,
) -> None:
    lone, links = LoneCore(1), Links()
    now = [Now(0, WALL_S * SECOND_NS)]
    keys = cast(PeerKeys, None)
    standing = Standing(
        PeerFolder(tmp_path),
        PeerMaterial(keys, lone.credential, ROOT),
        lone.core,
        lone.keyring,
        Nobody(),
        lambda: now[0],
    )
    standing.begin(Steps(), cast(Transport, cast(Any, links)))
    old, new = (Ed25519Keyring(seed * 32, ROOT) for seed in (b"r", b"s"))
    said = RootSucceeded(new.peer, RETIRES_S, consent_of(new, old.peer, RETIRES_S))
    assert lone.core.trust.take(said, seal(old, said), lone.keyring) is Verdict.NEW
    for after_s, looked in ((-1, 0), (CLOCK_TOLERANCE_S, 0), (CLOCK_TOLERANCE_S + 1, 1), (9999, 1)):
        now[0] = Now(0, (RETIRES_S + after_s) * SECOND_NS)
        standing.look_at_roots()
        assert links.reconsidered == looked
    assert standing.due_at_s() < RETIRES_S, "its own credential was renewed long before"
