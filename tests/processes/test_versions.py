"""Versions of a skill side by side, and callers that want one of them."""

from pathlib import Path

import pytest

from mesh import Refused
from tests.processes.rig import local_mesh, until

AGENT = """
from mesh import Agent, Context
agent = Agent("{name}")


@agent.skill(version="{version}")
async def say() -> str:
    return "{version}"


@agent.skill(name="relay-{version}")
async def relay(ctx: Context) -> list[str]:
    pinned = ctx.options(version="9")
    return [await ctx.call("say"), await pinned.call("say"), await ctx.call("say@9")]
"""


@pytest.mark.slow
def test_callers_pin_a_version_or_take_the_highest(tmp_path: Path) -> None:
    files = []
    for version in ("9", "10", "10-rc1"):
        file = tmp_path / f"say_{version.replace('-', '_')}.py"
        file.write_text(AGENT.format(name=f"say-{version}", version=version))
        files.append(str(file))
    nine, ten, candidate = files
    placed = [f"{nine}@peer-1,peer-2", f"{ten}@peer-2", f"{candidate}@peer-2"]
    with local_mesh(tmp_path / "mesh", 2, placed) as mesh:
        with mesh.client("peer-1") as client:
            assert client.call("say") == "10", "the highest, wherever it is"
            assert [client.call(f"say@{v}") for v in ("9", "10", "10-rc1")] == ["9", "10", "10-rc1"]
            pinned = client.options(version="9")
            assert pinned.call("say") == "9"
            assert set(pinned.map("say", [{}] * 20)) == {"9"}
            assert client.call("relay-9") == ["10", "9", "9"]
            assert {skill.row["result"] for skill in [mesh.cli("call", "say@9")]} == {"9"}
            with pytest.raises(Refused, match="say@11"):
                client.call("say@11")
        mesh.kill("peer-2")
        until(lambda: mesh.status("peer-1")["alive"] == 1, "the death of peer-2 is known")
        with mesh.client("peer-1") as client:
            assert client.call("say") == "9"
            with pytest.raises(Refused, match=r"there is say@9$"):
                client.call("say@10")
