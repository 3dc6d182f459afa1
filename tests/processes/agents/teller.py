"""A handler that is to run one at a time, and says under which token it does."""

import time
from pathlib import Path

from mesh import Agent, Context

agent = Agent("teller")


@agent.skill(slots=2, retries=0)
def pays(ctx: Context, folder: str) -> int:
    """Notes its token, and ends when it may: its attempt has a file of its own for that."""
    (Path(folder) / f"begun-{ctx.fencing_token}").touch()
    while not (Path(folder) / f"go-{ctx.attempt}").exists():
        if ctx.cancelled:
            (Path(folder) / f"stopped-{ctx.attempt}").touch()
            break
        time.sleep(0.01)
    (Path(folder) / f"ended-{ctx.attempt}").touch()
    return ctx.fencing_token
