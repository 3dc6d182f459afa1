"""The agents of the parity scenario, run as they are by real peers and by simulated ones."""

from mesh import Agent, Context
from mesh.agent import NoRetry

agent = Agent("troupe")


@agent.skill(slots=2)
def double(n: int) -> int:
    return 2 * n


@agent.skill(slots=2, retries=4)
def third_time(ctx: Context) -> int:
    """Raises until its third attempt."""
    if ctx.attempt < 3:
        raise ConnectionError(f"attempt {ctx.attempt}")
    return ctx.attempt


@agent.skill(slots=2, retries=2)
def hopeless() -> None:
    raise ValueError("as always")


@agent.skill(slots=2, retries=2)
def final() -> None:
    raise NoRetry("there is no use in trying again")


@agent.skill(slots=2, retries=2)
def wrong_output() -> int:
    return "not a number"  # type: ignore[return-value]  # the very point


@agent.skill(slots=2)
async def hold(ctx: Context, seconds: float) -> int:
    """Runs so long; gives the number of its attempt."""
    await ctx.sleep(seconds)
    return ctx.attempt


@agent.skill(slots=1)
async def parent(ctx: Context, n: int) -> int:
    """Has a child do its work."""
    doubled: int = await ctx.call("double", n=n)
    return doubled + 1
