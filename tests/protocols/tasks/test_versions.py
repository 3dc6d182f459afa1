"""Versions come from other peers, as any text: comparing them never fails."""

import pytest

from protocols.tasks.catalogue import Catalogue
from protocols.tasks.commands import PeerUp
from protocols.tasks.outbox import Outbox
from protocols.tasks.parameters import TaskParameters
from tests.protocols.tasks.support import compile_schema


@pytest.mark.parametrize("version", ["²", "1.²", "٣", "", "..", "1-rc", "9" * 32])
def test_any_text_is_a_version_that_can_be_compared(version: str) -> None:
    catalogue = Catalogue(b"m" * 32, TaskParameters(), compile_schema, Outbox())
    advertised = (("echo", version, b"d" * 16), ("echo", "1.2", b"e" * 16))
    catalogue.up(PeerUp(b"p" * 32, "liar", 1, advertised), 0)
    assert catalogue.newest("echo") in (version, "1.2")
