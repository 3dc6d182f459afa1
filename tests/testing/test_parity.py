"""The same agents end the same way in a simulated mesh and in real worker processes."""

import re
from pathlib import Path
from typing import Any

from mesh.client import Client, Refused, TaskFailed
from mesh.testing import LocalMesh
from tests.agent import agents_for_tests
from tests.local.fake_peer import running_peer

ID = re.compile(r"task \w+")
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("plain", {"n": 1}),
    ("pair", {"n": 3}),
    ("broken", {"text": "ink is out"}),
    ("hopeless", {}),
    ("liar", {}),
    ("confident", {}),
    ("depth", {"levels": 5}),
    ("depth_sync", {"levels": 4}),
    ("fan_out", {"count": 10}),
    ("fan_out_sync", {"count": 10}),
    ("gathers", {}),
    ("gathers_all", {}),
    ("catches", {}),
    ("naps", {}),
    ("naps_sync", {}),
]


def ends(client: Client) -> dict[str, object]:
    """What a caller sees of each end, but for ids and places."""
    found: dict[str, object] = {}
    for skill, inputs in CALLS:
        end = client.submit(skill, **inputs).outcome(30)
        error = end.error
        assert not isinstance(error, Refused)
        told = None if error is None else (error.kind, ID.sub("task", _first_line(error)))
        found[skill] = (end.state, end.value, told, end.attempts, end.incomplete, end.confidence)
    return found


def _first_line(error: TaskFailed) -> str:
    return error.message.partition("\n")[0]


def test_handlers_end_here_as_in_worker_processes(tmp_path: Path) -> None:
    file = str(Path(agents_for_tests.__file__))
    with running_peer(tmp_path, files=[file]) as peer, Client(address=peer.socket) as client:
        real = ends(client)
    with LocalMesh(peers=1, agents=agents_for_tests.agent) as mesh:
        assert ends(mesh.client) == real
