"""Answers of the outside are recorded once, and replayed under any faults."""

import asyncio
import json
from pathlib import Path

import pytest
import trio

from mesh.agent import Agent, Context, Result, TaskFailed
from mesh.testing import BadRecording, ForeignAwait, LocalMesh, NotRecorded


class Model:
    """The outside: it counts how often it is asked, and is down at first where told to be."""

    def __init__(self, failures: int = 0) -> None:
        self.asked: list[str] = []
        self._failures = failures

    async def answer(self, prompt: str) -> str:
        self.asked.append(prompt)
        await asyncio.sleep(0.001)
        if self._failures:
            self._failures -= 1
            raise ConnectionError("the model is down")
        return f"{prompt}, {len(self.asked)}"


def crew(model: Model) -> Agent:
    agent = Agent("crew")

    @agent.skill(slots=2)
    async def ask(prompt: str) -> Result[str]:
        return Result(await model.answer(prompt), confidence=0.5)

    @agent.skill
    async def review(ctx: Context, files: list[str]) -> list[str]:
        await ctx.sleep(1)
        answers: list[str] = await ctx.map("ask", [{"prompt": name} for name in files])
        return answers

    @agent.skill(retries=0)
    async def mixes(ctx: Context) -> str:
        await ctx.sleep(1)
        return await model.answer("why")

    return agent


def review(model: Model, files: list[str], **how: object) -> object:
    with LocalMesh(peers=3, agents=crew(model), seed=5, **how) as mesh:  # type: ignore[arg-type]  # as given
        return mesh.client.call("review", files=files)


def test_a_replay_gives_what_was_recorded_without_the_outside(tmp_path: Path) -> None:
    tape = tmp_path / "tape.json"
    first, later = Model(), Model()
    recorded = review(first, ["a", "b", "a"], record=tape)
    assert sorted(first.asked) == ["a", "a", "b"]
    assert review(later, ["a", "b", "a"], replay=tape) == recorded
    assert later.asked == []
    entries = json.loads(tape.read_text())["entries"]
    assert [(e["skill"], e["inputs"], len(e["calls"])) for e in entries] == [
        ("ask", {"prompt": "a"}, 2),
        ("ask", {"prompt": "b"}, 1),
    ]


def test_attempts_that_faults_add_get_the_same_answers(tmp_path: Path) -> None:
    tape = tmp_path / "tape.json"
    recorded = review(Model(), ["a", "b"], record=tape)
    for seed in range(3):
        with LocalMesh(
            peers=4, agents=crew(Model()), seed=seed, replay=tape, takes={"ask": 2}
        ) as mesh:
            handle = mesh.client.submit("review", files=["a", "b"])
            mesh.run(2)  # its children run, at some peers
            for peer in mesh.running()[:2]:
                mesh.kill(peer)
            assert handle.result() == recorded


def test_a_call_that_was_not_recorded_ends_the_test(tmp_path: Path) -> None:
    tape = tmp_path / "tape.json"
    review(Model(), ["a"], record=tape)
    with pytest.raises(NotRecorded, match=r'skill ask .* 0 calls with inputs \{"prompt": "c"\}'):
        review(Model(), ["c"], replay=tape)
    with pytest.raises(NotRecorded, match=r"1 calls .* this is call 2"):
        review(Model(), ["a", "a"], replay=tape)


def test_a_recording_holds_errors_and_what_came_after_them(tmp_path: Path) -> None:
    tape = tmp_path / "tape.json"
    first = Model(failures=1)
    recorded = review(first, ["a"], record=tape)
    assert recorded == ["a, 2"]
    (entry,) = json.loads(tape.read_text())["entries"]
    (call,) = entry["calls"]
    assert [end.get("status", "ok") for end in call["ends"]] == ["failed", "ok"]
    assert "Traceback" not in tape.read_text()
    with LocalMesh(agents=crew(Model()), replay=tape) as mesh:
        assert mesh.client.call("review", files=["a"]) == recorded
    with (
        LocalMesh(agents=crew(Model()), replay=tape) as mesh,
        pytest.raises(TaskFailed, match="ConnectionError: the model is down"),
    ):
        mesh.client.options(retries=0).call("ask", prompt="a")


def test_plain_handlers_are_recorded_where_they_are_named(tmp_path: Path) -> None:
    tape = tmp_path / "tape.json"
    asked: list[int] = []
    agent = Agent("plain")

    @agent.skill
    def ask(n: int) -> int:
        asked.append(n)
        return n + len(asked)

    with LocalMesh(agents=agent, record=tape, recorded=[ask]) as mesh:
        assert list(mesh.client.map(ask, [{"n": 1}] * 2)) in ([2, 3], [3, 2])
    with LocalMesh(agents=agent, replay=tape) as mesh:
        assert set(mesh.client.map(ask, [{"n": 1}] * 2)) == {2, 3}
    assert asked == [1, 1]


def test_trio_handlers_are_recorded_under_trio(tmp_path: Path) -> None:
    tape = tmp_path / "tape.json"
    agent = Agent("three", loop="trio")

    @agent.skill
    async def ask() -> str:
        await trio.sleep(0.001)
        return "under trio"

    for how in ({"record": tape}, {"replay": tape}):
        with LocalMesh(agents=agent, **how) as mesh:  # type: ignore[arg-type]  # either of them
            assert mesh.client.call("ask") == "under trio"


def test_a_handler_cannot_be_recorded_in_part(tmp_path: Path) -> None:
    for recorded, error in ((["mixes"], BadRecording), (None, ForeignAwait)):
        with (
            pytest.raises(error, match=r"mixes"),
            LocalMesh(agents=crew(Model()), record=tmp_path / "t", recorded=recorded) as mesh,
        ):
            mesh.client.call("mixes")
    assert not (tmp_path / "t").exists()


def test_a_plain_handler_that_calls_others_cannot_be_recorded(tmp_path: Path) -> None:
    agent = Agent("plain")

    @agent.skill
    def one() -> int:
        return 1

    @agent.skill
    def two(ctx: Context) -> int:
        return 2 * int(ctx.call_sync("one"))

    with (
        pytest.raises(BadRecording, match="skill two"),
        LocalMesh(agents=agent, record=tmp_path / "t", recorded=["two"]) as mesh,
    ):
        mesh.client.call("two")


def test_a_recorded_answer_takes_as_long_as_it_took(tmp_path: Path) -> None:
    tape = tmp_path / "tape.json"
    review(Model(), ["a"], record=tape)
    text = tape.read_text()
    (entry,) = json.loads(text)["entries"]
    seconds = entry["calls"][0]["ends"][0]["seconds"]
    tape.write_text(text.replace(f'"seconds": {seconds}', '"seconds": 40.0'))
    with LocalMesh(agents=crew(Model()), replay=tape) as mesh:
        mesh.client.call("ask", prompt="a")
        assert mesh.now == pytest.approx(40, abs=0.2)


def test_a_recording_that_is_none_is_refused(tmp_path: Path) -> None:
    agent = crew(Model())
    with pytest.raises(BadRecording, match=r"there is no recording .* LocalMesh\(record"):
        LocalMesh(agents=agent, replay=tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("[]")
    with pytest.raises(BadRecording, match="is not a recording"):
        LocalMesh(agents=agent, replay=tmp_path / "bad.json")
    (tmp_path / "new.json").write_text('{"mesh_recording": 2, "entries": []}')
    with pytest.raises(BadRecording, match="format 2"):
        LocalMesh(agents=agent, replay=tmp_path / "new.json")
    with pytest.raises(ValueError, match="records, or it replays"):
        LocalMesh(agents=agent, replay=tmp_path / "a", record=tmp_path / "b")
