"""A skill that eats memory until it is stopped, beside one that is content."""

import os
import time

from mesh import Agent

agent = Agent("glutton", memory="120MB")


@agent.skill(slots=1, retries=0)
def eat(megabytes: int) -> int:
    """Holds so many megabytes, or is stopped before."""
    held = []
    for _ in range(megabytes):
        held.append(b"x" * 1_000_000)
        time.sleep(0.001)
    return len(held)


@agent.skill(slots=4)
def glutton_pid() -> int:
    return os.getpid()
