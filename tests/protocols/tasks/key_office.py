"""A town with an ordered log: a real ledger, asked as the machines' routes would ask it."""

from typing import Any

import msgspec

from protocols.machine import MILLISECOND_NS
from protocols.tasks import commands, events
from protocols.voting.ledger import Acquire, Action, Ledger, Release, Renew
from tests.protocols.tasks.support import Peer, Town


class KeyTown(Town):
    """Peers whose exclusive tasks ask one ledger, in whose place a quorum would answer.

    Attributes:
        has_quorum: whether anything is answered.
        log_delay_ns: how long an answer takes.
        granted: name, token and holder of each lease, in order.
    """

    def __init__(self, *names: str, **fields: Any) -> None:
        super().__init__(*names, **fields)
        self.ledger = Ledger()
        self.height = 0
        self.has_quorum = True
        self.log_delay_ns = 3 * MILLISECOND_NS
        self.asked: list[tuple[str, events.LeaseAsked]] = []
        self.granted: list[tuple[str, int, str]] = []

    def order(self, action: Action) -> Any:
        """One action in a block of its own, at this town's wall clock."""
        self.height += 1
        time_ms = (self.clock().wall_ns - self.wall_ahead_ns) // MILLISECOND_NS
        number = self.ledger.applied(b"town") + 1
        ((result,),) = self.ledger.apply([(b"town", number, (action,))], self.height, time_ms)
        if isinstance(action, Acquire) and result.is_done:
            self.granted.append((action.name, result.version, action.holder))
        return result

    def _route(self, peer: Peer, event: msgspec.Struct) -> None:
        if not isinstance(event, events.LeaseAsked):
            super()._route(peer, event)
            return
        self.asked.append((peer.name, event))
        if self.has_quorum:
            self.after(self.log_delay_ns, lambda: self._settle(peer, event))

    def _settle(self, peer: Peer, event: events.LeaseAsked) -> None:
        action: Action
        if event.verb == "acquire":
            action = Acquire(event.name, event.holder, event.ttl_ms)
        elif event.verb == "renew":
            action = Renew(event.name, event.token, event.ttl_ms)
        else:
            action = Release(event.name, event.token)
        result = self.order(action)
        lease = result.lease
        is_ours = lease is not None and lease.holder == event.holder and event.verb == "acquire"
        told = commands.LeaseTold(
            event.request, event.verb, event.name, result.is_done or is_ours, result.reason,
            f"{result.reason} by somebody", lease.token if lease else 0,
            lease.ends_ms if lease else 0,
        )  # fmt: skip
        if peer.machine is not None:
            peer.command(told)
