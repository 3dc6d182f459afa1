"""What an op supersedes: its causal context, made of the ops that its writer saw."""

from collections.abc import Callable, Collection

from protocols.blackboard.ops import Context, Op

IsVoid = Callable[[Op], bool]
"""Whether an op counts for nothing, so that what it names is nobody's word."""


def _none(op: Op) -> bool:
    return False


def context_of(sources: Collection[Op], is_void: IsVoid = _none) -> Context:
    """What an op supersedes that knows of these: they themselves, and all that they did."""
    if not sources:
        return ()
    context: dict[tuple[bytes, int], int] = {}
    for op in sources:
        for writer, generation, sequence in () if is_void(op) else op.context:
            if sequence > context.get((writer, generation), 0):
                context[writer, generation] = sequence
        if op.sequence > context.get((op.writer, op.generation), 0):
            context[op.writer, op.generation] = op.sequence
    return tuple((*chain, context[chain]) for chain in sorted(context))
