"""Voters that are honest."""

import os
import time
from pathlib import Path

from mesh.agent import Agent, Result

agent = Agent("judges")


@agent.skill(version="1", timeout=30, slots=4)
def judge(text: str) -> Result[str]:
    """``Yes.``, and rather sure."""
    return Result("Yes." if text else "No.", confidence=0.75)


@agent.skill(version="1", timeout=30, slots=4)
def hold_judgement(path: str, gate: str) -> str:
    """Says that it has begun, and answers once the gate is there."""
    with Path(path).open("a", encoding="utf-8") as marks:
        marks.write(f"{os.getpid()}\n")
    while not Path(gate).exists():
        time.sleep(0.01)
    return "yes"
