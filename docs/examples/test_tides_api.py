"""Tests of tides_api.py on a mesh of its own: real peers, and requests without a socket."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import tides_api

HERE = Path(__file__).parent


def mesh(*words):
    subprocess.run([sys.executable, "-m", "mesh.cli", *words], check=True, capture_output=True)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MESH_DIR", str(tmp_path / ".mesh"))
    mesh("up", "-n", "2", "--agents", str(HERE / "tides.py"), "--detach")
    yield
    mesh("down")


@pytest.mark.slow
@pytest.mark.processes
async def test_each_answer_is_what_the_mesh_said(folder):
    app = tides_api.app
    transport = httpx.ASGITransport(app)
    async with (
        tides_api.lifespan(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as web,
    ):
        found = await web.get("/tides/Brest")
        assert (found.status_code, found.json()) == (200, {"place": "Brest", "metres": 4.5})
        dry = await web.get("/tides/Bern")
        assert (dry.status_code, dry.json()["kind"]) == (502, "NoRetry")
        ordered = [
            await web.post("/tides", params={"place": "Dover", "key": "order-7"}) for _ in range(2)
        ]
        assert [each.status_code for each in ordered] == [202, 202]
        task = ordered[0].json()["task"]
        assert ordered[1].json()["task"] == task, "the same key is the same task"
        assert (await web.get(f"/tasks/{task}")).json()["state"] in ("queued", "running", "done")
        assert (await web.get("/tasks/none")).status_code == 404
        mesh("down")
        gone = await web.get("/tides/Brest")
        assert (gone.status_code, gone.headers["retry-after"]) == (503, "5")
