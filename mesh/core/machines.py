"""The machines of one peer, made together."""

import random
from collections.abc import Callable
from typing import NamedTuple

from mesh.core.routing import AUCTION, BLOBS, BOARD, GOSSIP, INVITATIONS, LOG, TASKS, VOTING
from mesh.core.settings import CoreSettings
from protocols.auction.auction import Auction
from protocols.blackboard.blackboard import Blackboard
from protocols.blobs.blobs import Blobs
from protocols.gossip.gossip import Gossip
from protocols.identity import Keyring
from protocols.invitations.invitations import Invitations
from protocols.machine import Machine
from protocols.tasks.tasks import Tasks
from protocols.trust import Trust
from protocols.voting.balloting import Balloting
from protocols.voting.log import Log


class Machines(NamedTuple):
    """The machines, each by its own name."""

    gossip: Gossip
    auction: Auction
    tasks: Tasks
    board: Blackboard
    voting: Balloting
    log: Log
    invitations: Invitations
    blobs: Blobs

    def by_name(self) -> dict[str, Machine]:
        """The same, by the names that routes and records have for them."""
        return {
            GOSSIP: self.gossip,
            AUCTION: self.auction,
            TASKS: self.tasks,
            BOARD: self.board,
            VOTING: self.voting,
            LOG: self.log,
            INVITATIONS: self.invitations,
            BLOBS: self.blobs,
        }


def make_machines(
    settings: CoreSettings,
    keyring: Keyring,
    credential: bytes,
    root: bytes,
    boot: int,
    rng: random.Random,
    entropy: Callable[[int], bytes],
    compile_schema: Callable[[bytes], Callable[[object], str | None]],
) -> Machines:
    """New machines; the arguments are those of `PeerCore`."""
    one, two, three, four = (random.Random(rng.getrandbits(64)) for _ in range(4))
    trust = Trust(root)
    return Machines(
        Gossip(keyring, credential, boot, settings.gossip, one, trust),
        Auction(keyring.peer, settings.auction, two, entropy, boot),
        Tasks(keyring.peer, boot, settings.tasks, three, compile_schema),
        Blackboard(keyring, credential, settings.board, four, trust, compile_schema),
        Balloting(keyring, root, boot),
        Log(keyring, root, boot),
        Invitations(root, keyring),
        Blobs(keyring.peer, settings.blobs),
    )
