"""An agent that asks what a file says, and is as well as another file says.

Both are named after the peer's socket, so that each peer of a mesh has its own.
"""

import os
import time
from pathlib import Path

from mesh import Agent, Bid, Offer

agent = Agent("priced")
WORD = Path(os.environ.get("PRICED_FOLDER", "."))
ME = Path(__import__("sys").argv[__import__("sys").argv.index("--socket") + 1]).stem


def word(kind: str) -> str:
    """What the test says to this peer's agent."""
    try:
        return (WORD / f"{ME}.{kind}").read_text()
    except OSError:
        return ""


@agent.skill(slots=2)
def where(seconds: float = 0.0) -> str:
    """The name of the peer that runs this."""
    time.sleep(seconds)
    return ME


@agent.bid(every=0.05, timeout=0.2)
def price(offer: Offer) -> Bid | None:
    """What the file asks: a number of seconds, nothing, or trouble."""
    said = word("price")
    if said == "hang":
        time.sleep(3600)
    return Bid(seconds=float(said)) if said else None


@agent.health(every=0.05, timeout=0.5)
async def backend() -> str:
    """Why the file says that the backend is down."""
    return word("sick")
