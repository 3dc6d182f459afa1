"""Skills whose inputs and results are too large to travel in messages."""

import hashlib

from mesh import Agent, BlobRef, Context

agent = Agent("blobber")


@agent.skill(slots=2)
async def digest(ctx: Context, book: BlobRef) -> str:
    """Of a blob, wherever it lies."""
    return hashlib.sha256(await ctx.blobs.get(book)).hexdigest()


@agent.skill(slots=2)
def digest_in_a_thread(ctx: Context, book: BlobRef) -> str:
    return hashlib.sha256(ctx.blobs_sync.get(book)).hexdigest()


@agent.skill(slots=2)
async def fill(ctx: Context, letter: str, size: int) -> BlobRef:
    """A result as a blob, which stays at the peer that made it."""
    return await ctx.blobs.put(letter.encode() * size)
