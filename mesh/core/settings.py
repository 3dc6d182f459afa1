"""The parameters of one core: each machine's own handful, side by side."""

import msgspec

from protocols.auction.parameters import AuctionParameters
from protocols.blackboard.parameters import BoardParameters
from protocols.blobs.parameters import BlobParameters
from protocols.gossip.parameters import GossipParameters
from protocols.tasks.parameters import TaskParameters


class CoreSettings(msgspec.Struct, frozen=True):
    """Everything that may differ between two peers of one mesh, and between tests."""

    gossip: GossipParameters = GossipParameters()
    auction: AuctionParameters = AuctionParameters()
    tasks: TaskParameters = TaskParameters()
    board: BoardParameters = BoardParameters()
    blobs: BlobParameters = BlobParameters()
