"""Clients of one peer that share the slots of a skill."""

import time
from pathlib import Path

import pytest

from tests.processes.rig import LocalMesh, finish


@pytest.mark.slow
def test_a_single_call_does_not_wait_for_another_clients_long_map(
    probes: LocalMesh, tmp_path: Path
) -> None:
    inputs = tmp_path / "inputs.jsonl"
    inputs.write_text('{"seconds": 0.05}\n' * 400, encoding="utf-8")
    mapping = probes.start_cli("map", "sleep", str(inputs), "--json")
    with probes.client("peer-1") as client:
        client.call("sleep", seconds=0)
        begin = time.monotonic()
        for _ in range(3):
            client.call("sleep", seconds=0.05)
        waited = time.monotonic() - begin
        assert mapping.poll() is None, "the map goes on"
    began = time.monotonic()
    assert finish(mapping).status == 0
    assert waited < max(1.0, (time.monotonic() - began) / 2)
