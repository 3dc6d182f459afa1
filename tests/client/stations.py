"""An agent whose values are of a type of its own."""

import datetime
from dataclasses import dataclass

from mesh import Agent, Context

agent = Agent("stations", loop="trio")
older = Agent("older")


@dataclass
class Tide:
    place: str
    metres: float
    at: datetime.datetime | None = None


@agent.skill(inline=True)
def tide(place: str) -> Tide:
    return Tide(place, 4.5)


@agent.skill(inline=True)
async def highest(ctx: Context, places: list[str]) -> float:
    """Calls by function, whose values are of its own type."""
    tides: list[Tide] = await ctx.map(tide, [{"place": place} for place in places])
    tides.append(await ctx.call(tide, place=places[0]))
    tides.append(await (await ctx.submit(tide, place=places[0])))
    return max(each.metres for each in tides)


@older.skill(name="tide")
def older_tide(place: str) -> list[float]:
    """What another process takes the skill for."""
    return [len(place)]
