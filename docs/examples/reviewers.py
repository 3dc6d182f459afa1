"""Agents that review source files with a model: the subject of test_reviewers.py."""

import asyncio
import http.client
import json
import os

from mesh import Agent, Context

agent = Agent("reviewers")


@agent.skill(timeout=30, retries=3, slots=2)
async def ask(prompt: str) -> str:
    """Asks a model, over HTTP. The only skill that talks to the outside."""
    return await asyncio.to_thread(_complete, prompt)


@agent.skill
def risk(remark: str) -> int:
    """How bad a remark is, from 0 to 2."""
    words = remark.lower()
    return 2 if "leak" in words else 1 if "unclear" in words else 0


@agent.skill(timeout=600, slots=4)
async def review(ctx: Context, files: list[str]) -> dict[str, int]:
    """The risk of each file, by its name; those without any are left out."""
    remarks = await ctx.map(ask, [{"prompt": f"Review {name}."} for name in files])
    risks = await ctx.map(risk, [{"remark": remark} for remark in remarks])
    return {name: found for name, found in zip(files, risks, strict=True) if found}


def _complete(prompt: str) -> str:
    connection = http.client.HTTPConnection(os.environ.get("MODEL", "localhost:8080"), timeout=60)
    body = json.dumps({"prompt": prompt, "max_tokens": 40})
    connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
    with connection.getresponse() as response:
        return json.load(response)["choices"][0]["text"]
