"""Handlers that are given secrets, and do with them all that they should not."""

import sys
from typing import Annotated

from mesh import Agent, Context, Sensitive

agent = Agent("keeper", labels=("vault",))


@agent.skill(retries=0)
def length(ctx: Context, name: str) -> int:
    """How long a secret is."""
    return len(ctx.secret(name))


@agent.skill(retries=0)
async def blabs(ctx: Context, how: str) -> str:
    """Says a secret in one way or another."""
    value = ctx.secret("token")
    print(f"printed {value}")
    print(f"complained {value!r}", file=sys.stderr, flush=True)
    ctx.log(f"logged {value}", token=value, deep={"list": [value]})
    ctx.progress(0.5, f"at {value}")
    match how:
        case "raises":
            raise ValueError(f"cannot use {value} at all") from KeyError(value)
        case "returns":
            return f"it is {value}"
        case "passes":
            await ctx.call("length", name=value)
    return "said"


@agent.skill(requires=("gpu",))
def renders() -> str:
    """Wants a label that not every peer has."""
    return "done"


@agent.skill(retries=0)
def signs_in(
    ctx: Context, user: str, password: Annotated[str, Sensitive], how: str = ""
) -> Annotated[str, Sensitive]:
    """Says its password wherever it can."""
    print(f"printed {password}")
    ctx.log(f"logged {password}", given=password)
    ctx.progress(0.5, f"half of {password}")
    if how == "raises":
        raise ValueError(f"wrong password {password} of {user}")
    return f"token of {password}"


@agent.skill(retries=0)
def echoes(password: Annotated[str, Sensitive]) -> str:
    return f"it was {password}"
