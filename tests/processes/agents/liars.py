"""Voters that lie."""

from mesh.agent import Agent, Result

agent = Agent("liars")


@agent.skill(version="1", timeout=30, slots=4)
def judge(text: str) -> Result[str]:
    """Never what the others say, and surer than all of them."""
    return Result(f"never {text}", confidence=1.0)


@agent.skill(version="1", timeout=30, slots=4)
def hold_judgement(path: str, gate: str) -> str:
    """Does not wait, and says something else."""
    return f"never {path} {gate}"
