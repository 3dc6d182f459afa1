"""Which ops count: judged where they are read, by the roles of who wrote them.

Nothing is refused where it arrives, for replicas that held different things would differ
for ever. Instead every replica judges alike, from ops, policies and credentials that all
of them come to have:

    void     an op at ``mesh/policies/`` whose writer has not the role `policies`: it is kept
             and passed on as any other, but shows nowhere, and supersedes its own writer's
             ops alone; so nobody else sets, changes or deletes a policy
    masked   an op at a key whose policy names roles, when its writer has none of them: it
             shows nowhere; what it superseded is gone all the same

A role that comes later gives force to what was void (`store`).
"""

from collections.abc import Callable, Iterable

from protocols.blackboard.ops import Op
from protocols.credentials import ROLE_POLICIES

POLICIES_PREFIX = "mesh/policies/"

RolesOf = Callable[[bytes], tuple[str, ...]]
"""The roles of a writer, of all its credentials that are known here."""
Shown = Callable[[bytes], bool]
"""Whether what a writer wrote shows."""


class Rights:
    """What a writer's roles let its ops do."""

    def __init__(self, roles_of: RolesOf) -> None:
        self._roles_of = roles_of

    def is_void(self, op: Op) -> bool:
        """Whether an op counts for nothing, whatever policies say."""
        return op.key.startswith(POLICIES_PREFIX) and not self.has_any(op.writer, (ROLE_POLICIES,))

    def has_any(self, writer: bytes, roles: Iterable[str]) -> bool:
        """Whether a writer has one of some roles."""
        of = self._roles_of(writer)
        return any(role in of for role in roles)

    def mask(self, roles: tuple[str, ...]) -> Shown:
        """Whose ops show where these roles are wanted."""
        return lambda writer: self.has_any(writer, roles)


def everybody(writer: bytes) -> tuple[str, ...]:
    """Where all may do everything."""
    return (ROLE_POLICIES,)
