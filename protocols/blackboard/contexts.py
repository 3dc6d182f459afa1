"""What an op supersedes: its causal context, made of the ops that its writer saw."""

from collections.abc import Iterable

from protocols.blackboard.ops import Context, Op


def context_of(sources: Iterable[Op]) -> Context:
    """What an op supersedes that knows of these: they themselves, and all that they did."""
    context: dict[tuple[bytes, int], int] = {}
    for op in sources:
        for writer, generation, sequence in op.context:
            if sequence > context.get((writer, generation), 0):
                context[writer, generation] = sequence
        if op.sequence > context.get((op.writer, op.generation), 0):
            context[op.writer, op.generation] = op.sequence
    return tuple((*chain, context[chain]) for chain in sorted(context))
