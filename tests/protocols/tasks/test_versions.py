"""Versions come from other peers, as any text: comparing them never fails."""

import pytest

from protocols.tasks.catalogue import Catalogue
from protocols.tasks.commands import PeerUp
from protocols.tasks.outbox import Outbox
from protocols.tasks.parameters import TaskParameters
from protocols.tasks.versions import version_order
from tests.protocols.tasks.support import compile_schema


@pytest.mark.parametrize("version", ["²", "1.²", "٣", "", "..", "1-rc", "9" * 32])
def test_any_text_is_a_version_that_can_be_compared(version: str) -> None:
    catalogue = Catalogue(b"m" * 32, TaskParameters(), compile_schema, Outbox())
    advertised = (("echo", version, b"d" * 16), ("echo", "1.2", b"e" * 16))
    catalogue.up(PeerUp(b"p" * 32, "liar", 1, advertised), 0)
    assert catalogue.newest("echo") in (version, "1.2")


def test_versions_are_compared_as_people_count() -> None:
    rising = ["rc", "", "1-rc", "1", "1.1.9", "1.2", "1.10", "2-beta", "2-rc1", "2-rc2", "2", "10"]
    shuffled = [*rising[::2], *rising[1::2]]
    assert sorted(shuffled, key=version_order) == rising
