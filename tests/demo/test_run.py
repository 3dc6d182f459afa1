import io
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mesh.agent.loading import load_agents
from mesh.client import Client
from mesh.demo.chaos import choose_victim
from mesh.demo.crew import Stream, TaskWentWrong, gather_all
from mesh.demo.face import AGENTS_BY_PEER, DemoClient, DemoMesh, placed
from mesh.demo.findings import Finding
from mesh.demo.narration import PlainNarrator, TerminalNarrator, narrator_for
from mesh.demo.run import DemoOptions, NothingToAudit, run_demo, verify
from tests.demo.rehearsal import Ended, Rehearsal, RehearsedClient
from tests.demo.trees import make_tree


def options(tmp_path: Path, **changes: Any) -> DemoOptions:
    root = tmp_path / "tree"
    if not root.exists():
        root.mkdir()
        make_tree(root)
    return DemoOptions(path=root, out=tmp_path / "out", **changes)


def told(stream: io.StringIO) -> list[str]:
    return [line.split(" s  ", 1)[1] for line in stream.getvalue().splitlines()]


def test_a_run_with_a_kill_loses_nothing_and_verifies(tmp_path: Path) -> None:
    mesh = Rehearsal()
    stream = io.StringIO()
    chosen = options(tmp_path)
    outcome = run_demo(chosen, mesh, PlainNarrator(stream))
    assert (outcome.files, outcome.tasks, outcome.tasks_lost) == (6, 18, 0)
    assert len(outcome.peers_killed) == len(mesh.killed) == 1
    assert outcome.tasks_rerun == 2
    assert outcome.reviewed == outcome.findings == 5
    lines = told(stream)
    assert any(f"killed {mesh.killed[0]} with SIGKILL" in line for line in lines)
    assert any("is known to be dead" in line for line in lines)
    assert sum(line.startswith("re-run:") for line in lines) == 2
    assert "18 of 18 tasks done, 100% of the work" in lines

    verified = verify(chosen, outcome, PlainNarrator(stream))
    assert verified.is_good
    assert verified.verify_sha256 == outcome.sha256
    assert verified.speedup > 0
    assert "tasks lost: 0" in verified.lines()
    assert f"sha256: {outcome.sha256}" in verified.lines()
    assert json.loads(json.dumps(verified.to_json()))["verified"] is True


def test_the_findings_are_the_same_whatever_the_order_and_the_kill(tmp_path: Path) -> None:
    digests = {
        run_demo(
            options(tmp_path, chaos=seed % 2 == 0), Rehearsal(seed), PlainNarrator(io.StringIO())
        ).sha256
        for seed in range(4)
    }
    assert len(digests) == 1


def test_jurors_settle_every_reviewed_finding_and_the_report_carries_the_certificates(
    tmp_path: Path,
) -> None:
    mesh = Rehearsal()
    outcome = run_demo(options(tmp_path), mesh, PlainNarrator(io.StringIO()))
    assert outcome.decided == outcome.certified == outcome.reviewed == mesh.decided == 5
    assert "settled by vote: 5, 5 certified" in outcome.lines()
    report = Path(outcome.report).read_text()
    folder = tmp_path / "out" / "certificates"
    for number in range(1, 6):
        assert (folder / f"{number:02}.cert").read_bytes().startswith(b"proof of ")
        assert f"`certificates/{number:02}.cert`" in report
    assert (folder / "root.pub").read_bytes() == b"root"


def test_the_liar_is_a_juror_that_says_the_opposite(tmp_path: Path) -> None:
    placed_so = placed(liar=True)
    assert len(placed_so) == 7
    (file,) = [file for files in placed_so.values() for file in files if file.stem == "liar"]
    honest, lying = (
        load_agents(str(each), own_process=False)[0].skills["judge_finding", "1"].function
        for each in (file.with_name("juror.py"), file)
    )
    make_tree(tmp_path)
    finding = Finding(
        path="a.py", line=1, column=1, tool="bandit", rule="B602", kind="security-602",
        severity="high", confidence="high", message="m",
    )  # fmt: skip
    assert {honest(str(tmp_path), finding), lying(str(tmp_path), finding)} == {
        "confirmed",
        "rejected",
    }


def test_no_chaos_leaves_every_peer_be(tmp_path: Path) -> None:
    mesh = Rehearsal()
    outcome = run_demo(options(tmp_path, chaos=False), mesh, PlainNarrator(io.StringIO()))
    assert mesh.killed == outcome.peers_killed == []
    assert "peers killed: none" in outcome.lines()
    assert "no peer was killed" in Path(outcome.report).read_text()


def test_a_changed_tree_does_not_verify(tmp_path: Path) -> None:
    chosen = options(tmp_path)
    narrator = PlainNarrator(io.StringIO())
    outcome = run_demo(chosen, Rehearsal(), narrator)
    (tmp_path / "tree" / "latin.py").write_text("import os\nexec(os.name)\n")
    verified = verify(chosen, outcome, narrator)
    assert verified.verified is False
    assert not verified.is_good
    assert any("DIFFERENT" in line for line in verified.lines())


def test_a_task_that_fails_is_a_note_and_spoils_the_outcome(tmp_path: Path) -> None:
    mesh = Rehearsal(failing=["latin.py"])
    outcome = run_demo(options(tmp_path), mesh, PlainNarrator(io.StringIO()))
    assert (outcome.tasks_failed, outcome.tasks_lost, outcome.is_good) == (3, 0, False)
    assert "tasks failed: 3" in outcome.lines()
    assert "dead after 4 attempts: Crash: the worker died" in Path(outcome.report).read_text()


def test_a_limit_is_told(tmp_path: Path) -> None:
    outcome = run_demo(options(tmp_path, limit=2), Rehearsal(), PlainNarrator(io.StringIO()))
    assert "files: 2, the largest of 6" in outcome.lines()
    assert "The 2 largest of 6 files" in Path(outcome.report).read_text()


def test_the_report_names_every_finding_by_path_and_line(tmp_path: Path) -> None:
    outcome = run_demo(options(tmp_path), Rehearsal(), PlainNarrator(io.StringIO()))
    text = Path(outcome.report).read_text()
    found = json.loads((tmp_path / "out" / "findings.json").read_text())
    assert found["sha256"] == outcome.sha256
    for each in found["findings"]:
        assert f"`{each['path']}:{each['line']}`" in text
    assert "| 1 | `" in text
    for reviewer in ("evidence", "exposure", "idiom"):
        assert f"   - {reviewer} " in text
    assert "(dissent)" in text
    assert "bandit B602, ruff S602" in text
    assert "syntax error at line 1" in text
    assert str(tmp_path) not in text


def test_sarif_has_what_its_readers_need(tmp_path: Path) -> None:
    outcome = run_demo(options(tmp_path), Rehearsal(), PlainNarrator(io.StringIO()))
    log = json.loads(Path(outcome.sarif).read_text())
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-2.1.0.json")
    assert [run["tool"]["driver"]["name"] for run in log["runs"]] == ["bandit", "radon", "ruff"]
    results = [(run, result) for run in log["runs"] for result in run["results"]]
    assert len(results) == outcome.findings
    for run, result in results:
        rule = run["tool"]["driver"]["rules"][result["ruleIndex"]]
        assert rule["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        assert result["message"]["text"]
        (location,) = result["locations"]
        physical = location["physicalLocation"]
        assert not physical["artifactLocation"]["uri"].startswith("/")
        assert physical["artifactLocation"]["uriBaseId"] in run["originalUriBaseIds"]
        assert physical["region"]["startLine"] >= 1
        assert physical["region"]["startColumn"] >= 1
    assert any("confirmed" in result["properties"] for _, result in results)
    (invocation,) = log["runs"][0]["invocations"]
    assert invocation["executionSuccessful"] is True
    assert invocation["toolExecutionNotifications"]


class Teacher:
    """Explains what it is asked, by the line that it sees."""

    def explain(self, finding: Finding, source: str) -> str | None:
        if finding.rule != "B602":
            return None
        return f"A shell sees {source.splitlines()[-1].strip()}."


def test_an_explainer_explains_in_the_report(tmp_path: Path) -> None:
    chosen = options(tmp_path, explainer=Teacher())
    outcome = run_demo(chosen, Rehearsal(), PlainNarrator(io.StringIO()))
    text = Path(outcome.report).read_text()
    assert "## Explanations" in text
    assert "**`pkg/shell.py:5`** A shell sees return subprocess.call" in text


def test_nothing_to_audit_is_said_before_any_task(tmp_path: Path) -> None:
    mesh = Rehearsal()
    (tmp_path / "empty").mkdir()
    for path, reason in ((tmp_path / "absent", "there is no"), (tmp_path / "empty", "no Python")):
        with pytest.raises(NothingToAudit, match=reason):
            run_demo(DemoOptions(path=path, out=tmp_path), mesh, PlainNarrator(io.StringIO()))
    assert mesh.called == []


def test_a_tree_without_findings_has_a_report(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    chosen = DemoOptions(path=tmp_path / "a.py", out=tmp_path / "out")
    narrator = PlainNarrator(io.StringIO())
    outcome = verify(chosen, run_demo(chosen, Rehearsal(), narrator), narrator)
    assert (outcome.findings, outcome.verified) == (0, True)
    assert "None." in Path(outcome.report).read_text()


def test_a_stream_that_ends_early_is_not_taken_for_whole() -> None:
    class ForgetfulClient(RehearsedClient):
        def map_unordered(
            self, skill: str, inputs: Iterable[dict[str, Any]]
        ) -> Iterator[tuple[int, Ended]]:
            return iter(list(super().map_unordered(skill, inputs))[1:])

    class Forgetful(Rehearsal):
        def connect(self) -> RehearsedClient:
            return ForgetfulClient(self)

    stream = Stream("planner", "plan_audit", [{"root": ".", "limit": 1}])
    with pytest.raises(TaskWentWrong, match="1 tasks came to no end"):
        gather_all(Forgetful(), [stream])


def test_what_a_client_raises_reaches_the_caller() -> None:
    class Unreachable(Rehearsal):
        def connect(self) -> RehearsedClient:
            raise ConnectionError("no peer")

    mesh: DemoMesh = Unreachable()
    with pytest.raises(ConnectionError, match="no peer"):
        gather_all(mesh, [Stream("a", "plan_audit", [{}]), Stream("b", "plan_audit", [{}])])


def as_the_demo_sees_it(client: Client) -> DemoClient:
    return client  # mypy says whether the client of scripts will do


def rows(*states: str) -> list[dict[str, Any]]:
    return [{"name": f"peer-{n}", "id": f"id-{n}", "state": s} for n, s in enumerate(states, 1)]


def test_the_victim_is_the_busiest_that_is_not_the_client_s_home() -> None:
    work = Counter({"peer-1": 9, "id-3": 5, "peer-2": 3})
    assert choose_victim(rows("alive", "alive", "alive"), work) == "peer-3"
    assert choose_victim(rows("alive", "alive", "dead"), work) == "peer-2"
    assert choose_victim(rows("alive", "dead", "dead"), work) is None


def test_any_one_peer_may_die_and_every_agent_is_still_hosted() -> None:
    everyone = {file for files in AGENTS_BY_PEER.values() for file in files}
    assert all(file.is_file() for file in everyone)
    assert len(everyone) == 9
    for dead in AGENTS_BY_PEER:
        left = {f for peer, files in AGENTS_BY_PEER.items() if peer != dead for f in files}
        assert left == everyone


def test_progress_is_lines_in_a_pipe_and_a_bar_on_a_terminal() -> None:
    stream = io.StringIO()
    narrator = narrator_for(stream)
    for done in range(101):
        narrator.progress(done, 100, done / 100)
    narrator.close()
    assert len(told(stream)) == 10
    bar = TerminalNarrator(stream)
    bar.say("killed [peer-3]")
    bar.progress(1, 2, 0.6)
    bar.close()
    assert "killed [peer-3]" in stream.getvalue()


def test_driving_the_audit_imports_no_analyser() -> None:
    code = "import sys, mesh.demo.run; print(sorted({'bandit', 'radon', 'rich'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
