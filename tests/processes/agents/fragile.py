"""Skills that fail until a file is there, and one that ends its worker process."""

import os
from pathlib import Path

from mesh import Agent

agent = Agent("fragile")


@agent.skill(retries=1)
def needs(path: str) -> str:
    """Gives what a file holds."""
    return Path(path).read_text(encoding="utf-8")


@agent.skill(retries=9)
def bomb() -> None:
    """Ends whoever runs it."""
    os._exit(3)
