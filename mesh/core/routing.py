"""Which machine's event is which other machine's command.

The protocols know nothing of each other; this table is all that joins them.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from mesh.core import marks
from protocols.auction import commands as auction_commands
from protocols.auction import events as auction_events
from protocols.auction.messages import KINDS as AUCTION_KINDS
from protocols.auction.records import RECORDS as AUCTION_RECORDS
from protocols.blackboard import commands as board_commands
from protocols.blackboard import events as board_events
from protocols.blackboard.messages import KINDS as BOARD_KINDS
from protocols.blackboard.records import RECORDS as BOARD_RECORDS
from protocols.blobs import commands as blob_commands
from protocols.blobs.messages import KINDS as BLOB_KINDS
from protocols.blobs.records import RECORDS as BLOB_RECORDS
from protocols.gossip import commands as gossip_commands
from protocols.gossip import events as gossip_events
from protocols.gossip.messages import KINDS as GOSSIP_KINDS
from protocols.gossip.records import KINDS as GOSSIP_RECORDS
from protocols.invitations import commands as invitation_commands
from protocols.invitations.records import RECORDS as INVITATION_RECORDS
from protocols.tasks import commands as task_commands
from protocols.tasks import events as task_events
from protocols.tasks.messages import KINDS as TASK_KINDS
from protocols.tasks.records import RECORDS as TASK_RECORDS
from protocols.voting import ballot_commands as voting_commands
from protocols.voting import log_commands
from protocols.voting.balloting import KINDS as VOTING_KINDS
from protocols.voting.balloting import RECORDS as VOTING_RECORDS
from protocols.voting.ledger import Acquire, Release, Renew
from protocols.voting.log_messages import LOG_KINDS, LOG_RECORDS

RECORD_KINDS: dict[str, tuple[type[msgspec.Struct], ...]] = {
    "gossip": GOSSIP_RECORDS,
    "auction": AUCTION_RECORDS,
    "tasks": TASK_RECORDS,
    "board": BOARD_RECORDS,
    "voting": VOTING_RECORDS,
    "log": LOG_RECORDS,
    "invitations": INVITATION_RECORDS,
    "blobs": BLOB_RECORDS,
}
"""What each machine may have written."""

MACHINE_OF: dict[type[msgspec.Struct], str] = {
    **dict.fromkeys(GOSSIP_KINDS, "gossip"),
    **dict.fromkeys(AUCTION_KINDS, "auction"),
    **dict.fromkeys(TASK_KINDS, "tasks"),
    **dict.fromkeys(BLOB_KINDS, "blobs"),
    **dict.fromkeys(BOARD_KINDS, "board"),
    **dict.fromkeys(VOTING_KINDS, "voting"),
    **dict.fromkeys(LOG_KINDS, "log"),
}
"""Which machine takes a message."""

Routed = tuple[str, msgspec.Struct]

GOSSIP, AUCTION, TASKS, INVITATIONS = "gossip", "auction", "tasks", "invitations"
BLOBS = "blobs"
BOARD, VOTING, LOG = "board", "voting", "log"


def _member_up(event: gossip_events.MemberUp) -> list[Routed]:
    skills = tuple((skill.name, skill.version) for skill in event.skills if not skill.sick)
    sick = tuple((skill.name, skill.version) for skill in event.skills if skill.sick)
    advertised = tuple((skill.name, skill.version, skill.digest) for skill in event.skills)
    return [
        (
            TASKS,
            task_commands.PeerUp(
                event.peer, event.name, event.boot, advertised, sick, event.labels
            ),
        ),
        (AUCTION, auction_commands.CandidateUp(event.peer, event.boot, skills, event.labels)),
        (BLOBS, blob_commands.HolderBack(event.peer)),
        (BOARD, board_commands.BoardPeerUp(event.peer)),
        (VOTING, voting_commands.ElectorUp(event.peer)),
        (LOG, log_commands.LogElectorUp(event.peer)),
    ]


def _credential_renewed(event: gossip_events.CredentialRenewed) -> list[Routed]:
    return [(BOARD, board_commands.CredentialSeen(event.credential))]


def _member_suspected(event: gossip_events.MemberSuspected) -> list[Routed]:
    return [(TASKS, task_commands.PeerSuspected(event.peer))]


def _member_down(event: gossip_events.MemberDown) -> list[Routed]:
    return peer_gone(event.peer, event.reason)


def _load_changed(event: gossip_events.LoadChanged) -> list[Routed]:
    return [
        (AUCTION, auction_commands.CandidateLoad(event.peer, event.load)),
        (TASKS, task_commands.PeerLoad(event.peer, event.load)),
    ]


def _slots_won(event: auction_events.SlotsWon) -> list[Routed]:
    held = task_commands.SlotsHeld(
        event.lot,
        event.skill,
        event.version,
        event.bidder,
        event.slots,
        event.completion_us,
        event.requires,
    )
    return [(TASKS, held)]


def _slots_lost(event: auction_events.SlotsLost) -> list[Routed]:
    return [(TASKS, task_commands.SlotsGone(event.lot, event.bidder, event.slots, event.reason))]


def _slots_recalled(event: auction_events.SlotsRecalled) -> list[Routed]:
    return [(TASKS, task_commands.SlotsRecalled(event.lot, event.bidder, event.slots))]


def _slots_granted(event: auction_events.SlotsGranted) -> list[Routed]:
    lent = task_commands.SlotsLent(event.lot, event.issuer, event.skill, event.version, event.slots)
    return [(TASKS, lent)]


def _slots_wanted(event: task_events.SlotsWanted) -> list[Routed]:
    seek = auction_commands.Seek(
        event.skill,
        event.version,
        event.units,
        event.estimate_us,
        event.trace,
        event.avoid,
        event.requires,
    )
    return [(AUCTION, seek)]


def _slots_returned(event: task_events.SlotsReturned) -> list[Routed]:
    return [(AUCTION, auction_commands.ReleaseSlots(event.lot, event.peer, event.slots))]


def _work_observed(event: task_events.WorkObserved) -> list[Routed]:
    work = auction_commands.ObserveWork(
        event.skill, event.version, event.queued, event.mean_us, direct=event.direct
    )
    return [(AUCTION, work)]


def _load_observed(event: task_events.LoadObserved) -> list[Routed]:
    return [
        (GOSSIP, gossip_commands.SetLoad(event.load_ms)),
        (AUCTION, auction_commands.CandidateLoad(event.peer, event.load_ms)),
        (TASKS, task_commands.PeerLoad(event.peer, event.load_ms)),
    ]


def _completion_observed(event: task_events.CompletionObserved) -> list[Routed]:
    observed = auction_commands.ObserveCompletion(
        event.peer, event.claimed_us, event.actual_us, event.skill, event.version
    )
    return [(AUCTION, observed)]


def _peer_barred(event: task_events.PeerBarred) -> list[Routed]:
    bar = auction_commands.BarCandidate(event.skill, event.version, event.peer, event.is_barred)
    return [(AUCTION, bar)]


def _contradicted(
    event: voting_commands.VoterContradicted
    | voting_commands.ElectorContradicted
    | log_commands.LogContradicted,
) -> list[Routed]:
    if isinstance(event, voting_commands.VoterContradicted):
        return [(VOTING, voting_commands.KeepEvidence(event.voter, event.evidence))]
    return [(VOTING, voting_commands.KeepEvidence(event.elector, event.evidence))]


def _disk_found_old(event: voting_commands.DiskFoundOld) -> list[Routed]:
    """What one machine was shown holds for the other: there is one disk."""
    if event.where == "log":
        return [(VOTING, voting_commands.DoubtDisk())]
    return [(LOG, log_commands.DoubtLog())]


def _offer_posted(event: task_events.OfferPosted) -> list[Routed]:
    return [(BOARD, marks.offer_written(event))]


def _places_claimed(event: task_events.PlacesClaimed) -> list[Routed]:
    return [(BOARD, marks.claim_written(event))]


def _entries_changed(event: board_events.EntriesChanged) -> list[Routed]:
    """What marks say, only who reads the blackboard can tell: see `PeerCore`."""
    return []


def _capacity_changed(event: task_events.CapacityChanged) -> list[Routed]:
    return [(AUCTION, auction_commands.SetCapacity(event.skill, event.version, event.slots))]


def _electorate_heard(event: voting_commands.ElectorateHeard) -> list[Routed]:
    return [(LOG, log_commands.FollowElectorate(event.bundle))]


def _electorate_settled(event: log_commands.ElectorateSettled) -> list[Routed]:
    return [(VOTING, voting_commands.AdoptElectorate(event.bundle))]


def _lease_asked(event: task_events.LeaseAsked) -> list[Routed]:
    action: log_commands.LeaseAction
    if event.verb == "acquire":
        action = Acquire(event.name, event.holder, event.ttl_ms)
    elif event.verb == "renew":
        action = Renew(event.name, event.token, event.ttl_ms)
    else:
        action = Release(event.name, event.token)
    return [(LOG, log_commands.AskLease(event.request, action))]


def _lease_answered(event: log_commands.LeaseAnswered) -> list[Routed]:
    verb = type(event.action).__name__.lower()
    told = task_commands.LeaseTold(
        event.request, verb, event.action.name, event.is_done, event.reason, event.text,
        event.token, event.ends_ms,
    )  # fmt: skip
    return [(TASKS, told)]


ROUTES: dict[type[msgspec.Struct], Callable[[Any], list[Routed]]] = {
    gossip_events.MemberUp: _member_up,
    gossip_events.MemberSuspected: _member_suspected,
    gossip_events.MemberDown: _member_down,
    gossip_events.CredentialRenewed: _credential_renewed,
    gossip_events.LoadChanged: _load_changed,
    auction_events.SlotsWon: _slots_won,
    auction_events.SlotsLost: _slots_lost,
    auction_events.SlotsRecalled: _slots_recalled,
    auction_events.SlotsGranted: _slots_granted,
    task_events.SlotsWanted: _slots_wanted,
    task_events.SlotsReturned: _slots_returned,
    task_events.WorkObserved: _work_observed,
    task_events.LoadObserved: _load_observed,
    task_events.PeerBarred: _peer_barred,
    task_events.CapacityChanged: _capacity_changed,
    task_events.CompletionObserved: _completion_observed,
    voting_commands.DiskFoundOld: _disk_found_old,
    voting_commands.VoterContradicted: _contradicted,
    voting_commands.ElectorContradicted: _contradicted,
    log_commands.LogContradicted: _contradicted,
    voting_commands.ElectorateHeard: _electorate_heard,
    log_commands.ElectorateSettled: _electorate_settled,
    task_events.LeaseAsked: _lease_asked,
    log_commands.LeaseAnswered: _lease_answered,
    task_events.OfferPosted: _offer_posted,
    task_events.PlacesClaimed: _places_claimed,
    board_events.EntriesChanged: _entries_changed,
}

INTERNAL = frozenset(
    (
        gossip_events.LoadChanged,
        auction_events.SlotsRecalled,
        task_events.SlotsWanted,
        task_events.SlotsReturned,
        task_events.WorkObserved,
        task_events.LoadObserved,
        task_events.PeerBarred,
        task_events.CapacityChanged,
        task_events.CompletionObserved,
        task_events.OfferPosted,
        task_events.PlacesClaimed,
        task_events.LeaseAsked,
        log_commands.LeaseAnswered,
        voting_commands.ElectorateHeard,
        log_commands.ElectorateSettled,
    )
)
"""Events that are plumbing between machines and of no interest outside."""


def peer_gone(peer: bytes, reason: str, has_ended: bool = False) -> list[Routed]:
    """What the other machines must hear when a member, or its process, is gone.

    `has_ended` where it is certain that its process is.
    """
    return [
        (AUCTION, auction_commands.CandidateDown(peer, reason)),
        (TASKS, task_commands.PeerDown(peer, reason, has_ended)),
        (BLOBS, blob_commands.HolderGone(peer)),
        (BOARD, board_commands.BoardPeerDown(peer, reason == "left")),
        (VOTING, voting_commands.ElectorDown(peer)),
        (LOG, log_commands.LogElectorDown(peer)),
    ]


COMMANDS: dict[type[msgspec.Struct], str] = {
    gossip_commands.Join: GOSSIP,
    gossip_commands.Advertise: GOSSIP,
    gossip_commands.SetLoad: GOSSIP,
    gossip_commands.Leave: GOSSIP,
    gossip_commands.LinkLost: GOSSIP,
    gossip_commands.Proclaim: GOSSIP,
    gossip_commands.ShowCredential: GOSSIP,
    invitation_commands.OpenInvitation: INVITATIONS,
    invitation_commands.Redeem: INVITATIONS,
    auction_commands.SetPrice: AUCTION,
    blob_commands.KeepBlob: BLOBS,
    blob_commands.FetchBlob: BLOBS,
    blob_commands.HoldBlob: BLOBS,
    blob_commands.ReleaseBlob: BLOBS,
    blob_commands.RemoveBlob: BLOBS,
    blob_commands.UseBlob: BLOBS,
    blob_commands.BlobRotten: BLOBS,
    blob_commands.BlobOpened: BLOBS,
    blob_commands.ChunkRead: BLOBS,
    blob_commands.ChunkWritten: BLOBS,
    blob_commands.BlobClosed: BLOBS,
    board_commands.WriteBoard: BOARD,
    board_commands.CredentialSeen: BOARD,
    voting_commands.AdoptElectorate: VOTING,
    voting_commands.ProposeElectorate: VOTING,
    voting_commands.OpenBallot: VOTING,
    voting_commands.CastAnswer: VOTING,
    log_commands.FollowElectorate: LOG,
    log_commands.PutInOrder: LOG,
    **{
        kind: TASKS
        for kind in vars(task_commands).values()
        if isinstance(kind, type)
        and issubclass(kind, msgspec.Struct)
        and kind.__module__ == task_commands.__name__
    },
}
"""Which machine takes a command that comes from outside the core."""
