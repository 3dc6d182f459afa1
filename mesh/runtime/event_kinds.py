"""The names of all events that a peer may tell: what a reader can ask for."""

from types import ModuleType

import msgspec

from mesh.core import events as core_events
from protocols.auction import events as auction_events
from protocols.blackboard import events as board_events
from protocols.blobs import events as blob_events
from protocols.errors import Refused
from protocols.gossip import events as gossip_events
from protocols.invitations import events as invitation_events
from protocols.tasks import events as task_events
from protocols.voting import ballot_commands, log_commands

MODULES: tuple[ModuleType, ...] = (
    auction_events, ballot_commands, blob_events, board_events, core_events, gossip_events,
    invitation_events, log_commands, task_events,
)  # fmt: skip
OWN = (
    "agent.bid-failed", "agent.bid-refused", "agent.bid-restored", "agent.kept", "agent.log",
    "agent.replaced", "agent.sick", "agent.well", "core.blamed", "credential.not-renewed",
    "credential.renewed", "log.gap", "log.lost", "recording.resumed", "recording.stopped",
)  # fmt: skip
"""Those that no machine tells."""


def _tags() -> frozenset[str]:
    structs = [
        each
        for module in MODULES
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, msgspec.Struct)
    ]
    tags = (each.__struct_config__.tag for each in structs)
    return frozenset(tag for tag in tags if isinstance(tag, str) and "." in tag)


KINDS = _tags() | frozenset(OWN)
GROUPS = tuple(sorted({kind.partition(".")[0] for kind in KINDS}))


def check_kind(kind: str) -> None:
    """Asserts that there is an event, or a group of events, of this name.

    Raises:
        Refused: InvalidInput, with the names that there are.
    """
    group = kind.partition(".")[0]
    if kind in KINDS or kind in GROUPS:
        return
    if group in GROUPS:
        names = sorted(each for each in KINDS if each.startswith(f"{group}."))
        raise Refused(
            "InvalidInput", f"no event {kind[:64]!r}; of {group} there are: {', '.join(names)}"
        )
    raise Refused(
        "InvalidInput",
        f"no event or group of events {kind[:64]!r}; the groups are: {', '.join(GROUPS)}",
    )
