"""An agent that does not say how much memory it may hold."""

import time

from mesh import Agent

agent = Agent("hungry")


@agent.skill(slots=1, retries=0)
def hold_megabytes(megabytes: int) -> int:
    held = [b"x" * 1_000_000 for _ in range(megabytes)]
    time.sleep(0.5)
    return len(held)
