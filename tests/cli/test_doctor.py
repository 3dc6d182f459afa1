"""What `mesh doctor` finds in folders and answers, and how it tells."""

import resource
import socket
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mesh.cli import doctor_live, doctor_machine, doctor_mesh
from mesh.cli.diagnosis import Finding
from mesh.cli.doctor import doctor, told
from mesh.cli.doctor_live import Seen
from mesh.local import discovery
from mesh.local.discovery import NoMesh
from mesh.storage import authority
from mesh.storage.authority import create_mesh, enrol
from mesh.storage.folder import MeshFolder

MOUNTS = """\
overlay / overlay rw 0 0
/dev/sda1 /data ext4 rw 0 0
host:/share /data/share nfs4 rw 0 0
tmpfs /mnt/with\\040space tmpfs rw 0 0
broken
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MeshFolder:
    """A mesh of one peer that does not run, its sockets beside it."""
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    made = create_mesh(tmp_path / "mesh", "test")
    enrol(made, "peer-1")
    return made


def wrong(findings: Any) -> list[tuple[str, str]]:
    return [(each.check, each.level) for each in findings if each.level != "ok"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data/mesh", "ext4"),
        ("/data/share/mesh", "nfs4"),
        ("/data/shared", "ext4"),
        ("/mnt/with space/mesh", "tmpfs"),
        ("/home", "overlay"),
    ],
)
def test_the_file_system_is_that_of_the_innermost_mount(path: str, kind: str) -> None:
    assert doctor_machine.file_system(path, MOUNTS) == kind


def test_descriptors_are_held_against_the_size_of_the_mesh() -> None:
    assert doctor_machine.descriptors(3, 1024).level == "ok"
    assert doctor_machine.descriptors(300, 1024).level == "problem"
    assert doctor_machine.descriptors(300, resource.RLIM_INFINITY).level == "ok"


@pytest.mark.parametrize(
    ("members", "alive", "level"),
    [(1, 1, "warning"), (3, 3, "warning"), (4, 4, "ok"), (4, 3, "ok"), (4, 2, "problem")],
)
def test_an_electorate_is_judged_by_its_quorum(members: int, alive: int, level: str) -> None:
    assert doctor_live.electorate(members, alive).level == level


def test_members_that_are_no_electors_decide_nothing(folder: MeshFolder) -> None:
    alive = [{"id": name, "name": name, "state": "alive"} for name in ("b", "c", "d")]
    one = {"epoch": 1, "electors": ["one"]}
    four = {"epoch": 2, "electors": ["one", "x", "y", "z"]}
    for lists, level in (([one], "warning"), ([one, four], "problem")):
        peers = [seen("one", status={"members": alive, "electorate": each}) for each in lists]
        told = doctor_live.look(MeshOfNobody(folder), peers)
        found = [each for each in told if each.check == "electorate"]
        assert [each.level for each in found] == [level]


def test_a_folder_that_is_as_it_should_be_has_no_finding(folder: MeshFolder) -> None:
    assert wrong(doctor_mesh.look(folder)) == []


def test_a_key_that_others_can_read_is_a_problem(folder: MeshFolder) -> None:
    folder.root_key.chmod(0o644)
    assert wrong(doctor_mesh.look(folder)) == [("keys", "problem")]


def test_a_folder_that_others_may_enter_is_a_problem(folder: MeshFolder) -> None:
    folder.peer_folder("peer-1").path.chmod(0o750)
    assert wrong(doctor_mesh.look(folder)) == [("keys", "problem")]


def test_a_missing_key_is_a_problem(folder: MeshFolder) -> None:
    folder.peer_folder("peer-1").key.unlink()
    assert wrong(doctor_mesh.look(folder)) == [("keys", "problem"), ("credential", "problem")]


def test_a_credential_that_ends_soon_is_a_warning(
    folder: MeshFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, now_ns = time.time(), time.time_ns()
    soon_s = authority.PEER_LIFE_S - 5 * 86_400
    monkeypatch.setattr(time, "time", lambda: now + soon_s)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns + soon_s * 10**9)
    (finding,) = [each for each in doctor_mesh.look(folder) if each.check == "credential"]
    assert (finding.level, finding.found) == ("warning", "5 days left")
    assert "start the peer again" in finding.remedy


def test_a_peer_that_was_revoked_is_a_problem_with_the_reason(folder: MeshFolder) -> None:
    folder.peer_folder("peer-1").revoked.write_text("this peer was revoked (stolen)")
    found = doctor_live.look(folder, doctor_live.ask_all(folder))
    told = next(each for each in found if each.subject == "peer-1" and each.check == "peer")
    assert (told.level, told.why) == ("problem", "this peer was revoked (stolen)")
    assert "mesh join" in told.remedy


def test_a_socket_without_its_peer_is_told(folder: MeshFolder) -> None:
    Path(folder.peer("peer-1").socket).touch()
    assert wrong(doctor_mesh.look(folder)) == [("stale", "warning")]


def test_a_recording_above_its_bound_is_told(folder: MeshFolder) -> None:
    folder.update_peer("peer-1", recording_mb=0)
    recording = folder.peer_folder("peer-1").recording
    recording.mkdir(mode=0o700)
    (recording / "tape").write_bytes(b"x" * (2 * 1024 * 1024))
    assert wrong(doctor_mesh.look(folder)) == [("size", "warning")]


def test_a_port_is_tried_as_its_owner_or_its_neighbours_would() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        assert doctor_mesh.door("p", address, runs=True).level == "ok"
        assert doctor_mesh.door("p", address, runs=False).level == "warning"
    assert doctor_mesh.door("p", address, runs=True).level == "problem"
    assert doctor_mesh.door("p", address, runs=False).level == "ok"
    assert doctor_mesh.door("p", "", runs=False).level == "ok"


def seen(name: str, **fields: Any) -> Seen:
    status: dict[str, Any] = {"id": name, "members": [], "agents": [], "python": "3.12", "work": {}}
    given = {"pid": 1, "version": "1", "status": {**status, **fields.pop("status", {})}, **fields}
    return Seen(name, name, "", **given)


def test_what_peers_say_of_each_other_is_judged(folder: MeshFolder) -> None:
    dead = {"id": "three", "name": "three", "state": "dead"}
    failed = {"target": "crew.py", "state": "failed", "error": "trace\nNameError: x"}
    first = {"epoch": 1, "electors": ["one", "two", "three"]}
    peers = [
        seen("one", status={"members": [dead], "agents": [failed], "electorate": first}),
        seen("two", version="2", clock_off_s=9.0),
        seen("three", status={}, is_paused=True),
        Seen("four", "four", "", None),
        Seen("five", "five", "", 5),
    ]
    peers[2].status = {}
    found = wrong(doctor_live.look(MeshOfNobody(folder), peers))
    assert sorted(found) == [
        ("agent", "problem"), ("clock", "warning"), ("electorate", "warning"),
        ("member", "warning"), ("peer", "problem"), ("peer", "problem"), ("peer", "warning"),
        ("version", "warning"),
    ]  # fmt: skip


def test_clocks_are_compared_here_and_elsewhere_by_the_nearest_that_looked() -> None:
    def far(name: str, clock_ms: int | None) -> dict[str, Any]:
        return {"id": name, "name": name, "state": "alive", "clock_ms": clock_ms}

    members = [far("berlin", 40), far("oslo", -9_000), far("rome", None)]
    peers = [
        seen("one", status={"members": [far("berlin", 900), *members[1:]]}),
        seen("two", clock_off_s=-3.0, status={"members": members}),
    ]
    told = {each.subject: each for each in doctor_live._clocks(peers)}  # noqa: SLF001  one check
    assert told["two"].found == "-3.0 s from this process's"
    assert told["oslo"].found == "-9.0 s from the local peers'"
    assert told["elsewhere"].found == "berlin +0.040 s"
    assert told["peers"].found == "1 local peers agree with this process"
    assert [each.level for each in told.values()].count("warning") == 2


class MeshOfNobody:
    """A folder whose peers' sockets lead nowhere."""

    def __init__(self, folder: MeshFolder) -> None:
        self.path = folder.path

    def peers(self) -> list[Any]:
        entry = msgspec.defstruct("Entry", [("name", str), ("socket", str)])
        return [entry(name, "/nowhere") for name in ("one", "two")]


def test_what_peers_complained_of_lately_is_told(folder: MeshFolder) -> None:
    log = folder.peer_folder("peer-1").events
    rows = [
        {"time": time.time() - 7200, "event": "core.blamed", "unsaid": 4},
        {"time": time.time() - 60, "event": "core.blamed", "unsaid": 2},
        {"time": time.time() - 50, "event": "log.lost", "count": 7},
    ]
    log.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    found = [each for each in doctor_live.look(folder, []) if each.check == "events"]
    assert [(each.level, each.found) for each in found] == [
        ("warning", "3 core.blamed in the last hour"),
        ("warning", "7 log.lost in the last hour"),
    ]


def test_a_folder_without_running_peers_is_looked_at_and_is_well(
    folder: MeshFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    doctor(folder.path, as_json=True)
    rows = [msgspec.json.decode(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["level"] for row in rows} <= {"ok", "warning"}
    assert {"python", "disk", "clock", "keys", "credential", "peer"} <= {r["check"] for r in rows}


def test_a_problem_is_status_1(folder: MeshFolder, capsys: pytest.CaptureFixture[str]) -> None:
    folder.issuer_key.chmod(0o666)
    with pytest.raises(SystemExit) as end:
        doctor(folder.path, as_json=False)
    assert end.value.code == 1
    assert "PROBLEM  keys:" in capsys.readouterr().out


def test_without_any_mesh_the_machine_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nowhere(at: Path | None) -> Path:
        raise NoMesh("there is no mesh")

    monkeypatch.setattr(discovery, "find_folder", nowhere)
    doctor(None, as_json=True)
    rows = [msgspec.json.decode(line) for line in capsys.readouterr().out.splitlines()]
    assert {"python", "disk", "clock", "descriptors", "mesh"} <= {row["check"] for row in rows}
    with pytest.raises(NoMesh):
        doctor(Path("named"), as_json=True)


@pytest.mark.parametrize("columns", [80, 120])
def test_a_finding_fits_the_terminal(columns: int) -> None:
    finding = Finding("check", "subject", "warning", "word " * 40, "why " * 40, "try " * 40)
    assert max(len(line) for line in told(finding, columns)) <= columns
