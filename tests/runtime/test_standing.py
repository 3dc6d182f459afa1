"""What becomes of links when a root retires, and when this peer's own credential has ended."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from mesh.runtime.standing import Standing
from mesh.runtime.transport import Transport
from mesh.storage.authority import PeerMaterial
from mesh.storage.folder import PeerFolder
from mesh.storage.keys import PeerKeys
from protocols.credentials import CLOCK_TOLERANCE_S, CredentialRefused
from protocols.identity import Ed25519Keyring
from protocols.machine import SECOND_NS, Now
from protocols.statements import RootSucceeded, consent_of
from protocols.trust import Verdict
from protocols.wire import seal
from tests.core.lone_core import LIFE_S, ROOT, WALL_S, LoneCore, chain

RETIRES_S = WALL_S + 1000


class Links:
    """Counts how often all links are looked at again, and how often they are closed."""

    reconsidered = 0
    hung_up = 0

    def hang_up(self) -> None:
        self.hung_up += 1

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


def standing_of(lone: LoneCore, links: Links, now: list[Now], place: Path) -> Standing:
    standing = Standing(
        PeerFolder(place),
        PeerMaterial(cast(PeerKeys, None), lone.credential, ROOT),
        lone.core,
        lone.keyring,
        Nobody(),
        lambda: now[0],
    )
    standing.begin(Steps(), cast(Transport, cast(Any, links)))
    return standing


def test_links_that_rest_on_a_root_are_looked_at_again_once_when_it_has_retired(
    tmp_path: Path,
) -> None:
    lone, links = LoneCore(1), Links()
    now = [Now(0, WALL_S * SECOND_NS)]
    standing = standing_of(lone, links, now, tmp_path)
    old, new = (Ed25519Keyring(seed * 32, ROOT) for seed in (b"r", b"s"))
    said = RootSucceeded(new.peer, RETIRES_S, consent_of(new, old.peer, RETIRES_S))
    assert lone.core.trust.take(said, seal(old, said), lone.keyring) is Verdict.NEW
    for after_s, looked in ((-1, 0), (CLOCK_TOLERANCE_S, 0), (CLOCK_TOLERANCE_S + 1, 1), (9999, 1)):
        now[0] = Now(0, (RETIRES_S + after_s) * SECOND_NS)
        standing.look_at_roots()
        assert links.reconsidered == looked
    assert standing.due_at_s() < RETIRES_S, "its own credential was renewed long before"


def test_a_credential_that_lies_in_the_folder_is_taken_where_it_is_newer_and_good(
    tmp_path: Path,
) -> None:
    lone, links = LoneCore(1), Links()
    now = [Now(0, WALL_S * SECOND_NS)]
    standing = standing_of(lone, links, now, tmp_path)
    file = PeerFolder(tmp_path).credential
    file.write_bytes(lone.credential)
    assert standing.take_kept() is None
    file.write_bytes(chain(lone.peer, WALL_S - LIFE_S, WALL_S + LIFE_S - 1))
    assert standing.take_kept() is None, "it is older"
    file.write_bytes(chain(LoneCore(2).peer, WALL_S, WALL_S + 2 * LIFE_S))
    with pytest.raises(CredentialRefused, match="other keys"):
        standing.take_kept()
    newer = chain(lone.peer, WALL_S, WALL_S + 2 * LIFE_S)
    file.write_bytes(newer)
    assert standing.take_kept() is not None
    assert standing.credential == newer
    assert links.hung_up == 0, "the old one was good still, and so are the links"


def test_who_takes_a_credential_after_the_old_one_ended_opens_its_links_anew(
    tmp_path: Path,
) -> None:
    lone, links = LoneCore(1), Links()
    now = [Now(0, WALL_S * SECOND_NS)]
    standing = standing_of(lone, links, now, tmp_path)
    assert not standing.has_ended()
    now[0] = Now(0, (WALL_S + LIFE_S + 1) * SECOND_NS)
    assert standing.has_ended()
    standing.take(chain(lone.peer, WALL_S, WALL_S + 2 * LIFE_S))
    assert (standing.has_ended(), links.hung_up) == (False, 1)
