"""Foragers: agents that share a list of work by marks alone. No forager tells another anything.

    mesh up -n 3 --agents docs/examples/foragers.py --detach
    python docs/examples/foragers.py          # how much marks are worth, in a simulated mesh

A patch is an entry in the space ``patches``. Who begins on one leaves a mark there, and others
keep away while they smell it; what is done is an entry in ``harvest``. Where a forager dies, its
mark fades and another one comes: nobody has to notice. Two that look at the same moment may
begin on the same patch, and write the same: work that is shared so must bear being done twice.
"""

import random
from collections.abc import AsyncIterator
from typing import Any

from mesh import Agent, Context
from mesh.agent.rules import follow_marks

agent = Agent("foragers")
STRONG = 0.5
"""A mark of 1 keeps others away until half of it has gone."""


@agent.skill(timeout=900, slots=2)
async def forage(
    ctx: Context, patch_s: float = 0.2, half_life: float = 2.0, marks: bool = True
) -> int:
    """Works on patches until none is left; returns on how many.

    Args:
        ctx: of the task.
        patch_s: how long a patch takes.
        half_life: of a mark: several times as long as a patch takes, and longer than the peers'
            clocks differ.
        marks: whether to leave marks and to mind them.
    """
    board, rng = ctx.board, random.Random(ctx.task)
    visited = 0
    while True:
        harvest = await names(board.ls("harvest/"))
        patches = await names(board.ls("patches/"))
        left = [name for name in patches if name not in harvest]
        if not left:
            return visited
        smelt = await names(board.ls("marks/")) if marks else {}
        # The fainter the marks of others, the more a patch draws; strong ones keep away.
        draws = {name: max(0.0, STRONG - smelt.get(name, 0.0)) for name in left}
        if not any(draws.values()):
            await ctx.sleep(patch_s / 4)
            continue
        name = follow_marks(draws, rng, explore=0)
        if marks:
            await board.deposit(f"marks/{name}", half_life=half_life)
        await ctx.sleep(patch_s)  # the work
        await board.put(f"harvest/{name}", f"what grew on {patches[name]}")
        visited += 1


async def names(entries: AsyncIterator[Any]) -> dict[str, Any]:
    """Values by name, without the space."""
    return {entry.key.partition("/")[2]: entry.value async for entry in entries}


def visits(seed: int, marks: bool, patches: int = 60, foragers: int = 6) -> int:
    """How often patches were worked on, in a simulated mesh of three peers."""
    from mesh.testing import LocalMesh

    with LocalMesh(peers=3, agents=agent, seed=seed) as mesh:
        mesh.client.board.put_many({f"patches/{n}": n for n in range(patches)})
        how = {"patch_s": 5.0, "half_life": 90.0, "marks": marks}
        return sum(mesh.client.map("forage", [how] * foragers))


if __name__ == "__main__":
    print("seed  patches  visits without marks  with marks")
    for seed in range(5):
        print(f"{seed:4}  {60:7}  {visits(seed, False):20}  {visits(seed, True):10}")
