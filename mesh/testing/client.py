"""The client of a simulated mesh: production's `Client`, over links in virtual time.

It has the fail-over of the real one: home is the first peer that runs, one that
does not answer a ping is left after a while, and what has not ended is
submitted again at the next. Waiting lets the world's time pass.
"""

from collections.abc import Callable

from mesh.client import Client
from mesh.client.core import ClientCore
from mesh.client.transport import FAIL_OVER_S, PAUSE_S, PING_S, SILENCE_S, in_order, summary
from mesh.local.codec import for_peer
from mesh.local.errors import NOT_RUNNING, ConnectionLost, NoPeer
from mesh.local.messages import LocalMessage, Welcome
from mesh.local.options import Options
from mesh.testing.executor import HandlerExecutor
from protocols.machine import MICROSECOND_NS, Instant
from simulations.peer import SimulatedPeer
from simulations.world import World

SOCKET_NS = 20 * MICROSECOND_NS
"""How long a message between a client and its home peer takes."""


class ClientLink:
    """One connection of a client to a peer's process."""

    def __init__(
        self, world: World, peer: SimulatedPeer, receive: Callable[[LocalMessage], None]
    ) -> None:
        """Connects to a peer that runs."""
        executor = peer.workers
        assert isinstance(executor, HandlerExecutor), "it runs real handlers"
        self._world = world
        self._receive = receive
        self._executor = executor
        self._unpacker = for_peer()
        self.peer = peer
        self.closed = False
        self.submitter = "client"
        self.unanswered = 0
        self.tasks: dict[str, None] = {}

    @property
    def is_broken(self) -> bool:
        """Whether the process at the other end is no more."""
        return self.peer.workers is not self._executor

    @property
    def welcome(self) -> Welcome:
        """What the peer says of itself."""
        return self._executor.desk.welcome

    def send(self, message: LocalMessage) -> None:
        """A word of the peer to the client."""

        def arrives() -> None:
            if not self.closed:
                self._receive(message)

        self._world.after(SOCKET_NS, arrives)

    def write(self, data: bytes) -> None:
        """Bytes of the client to the peer."""
        for message in self._unpacker.feed(data):
            self._world.after(SOCKET_NS, self._arrival(message))

    def _arrival(self, message: LocalMessage) -> Callable[[], None]:
        def arrives() -> None:
            if self.closed or self.is_broken:
                return
            if self.peer.paused_until > self._world.now:
                self._world.at(self.peer.paused_until, arrives)
            else:
                self._executor.desk.receive(self, message)

        return arrives

    def close(self) -> None:
        """The client leaves."""
        self.closed = True
        if not self.is_broken:
            self._executor.desk.forget(self)


class VirtualTransport:
    """Keeps a client's core connected to some live peer; the interface of `Transport`.

    Args:
        core: the client's.
        world: where its peers are.
        advance: lets time pass until something holds, or so many virtual seconds.
        patience: the most virtual seconds that a wait without a timeout lasts.
        home: the name of the peer to prefer, or "".
    """

    def __init__(
        self,
        core: ClientCore,
        world: World,
        advance: Callable[[Callable[[], object], float], bool],
        patience: float,
        home: str,
    ) -> None:
        self._core = core
        self._world = world
        self._advance = advance
        self._patience = patience
        self._prefers = home
        self._link: ClientLink | None = None
        self._left = ""
        self._lost_at: float | None = None
        self._problems = ""
        self._next_try = 0.0
        self._silent_since: float | None = None
        self._closed = False

    @property
    def welcome(self) -> Welcome | None:
        """What the home peer said of itself."""
        return None if self._link is None else self._link.welcome

    def connect(self) -> None:
        """Connects to the first live peer.

        Raises:
            NoPeer: none runs.
        """
        if not self._try_all():
            raise NoPeer(self._problems)

    def close(self) -> None:
        """Closes the connection; whoever waits is told."""
        self._closed = True
        self._drop()

    def do(self, act: Callable[[], object]) -> None:
        """Lets `act` change the core, and sends what follows from it."""
        self.pump()
        if self._link is None:
            self._wait_for(lambda: self._link is not None, None)
        act()
        self._send()

    def note(self, act: Callable[[], object]) -> None:
        """Lets `act` change the core where nothing is to be sent."""
        act()

    def wait(self, done: Callable[[], object], timeout: float | None = None) -> bool:
        """Lets time pass until `done()`; False where the timeout came first.

        Raises:
            NoPeer: no peer has run for some time.
            ConnectionLost: the client was closed.
            TimeoutError: there was no timeout, and the mesh's patience is at its end.
        """
        if self._wait_for(done, timeout):
            return True
        if timeout is not None:
            return False
        raise TimeoutError(
            f"waited for {self._patience:g} virtual seconds, and it has not happened: give "
            "`result` a timeout, or LocalMesh more patience"
        )

    def _wait_for(self, done: Callable[[], object], timeout: float | None) -> bool:
        if self._closed:
            raise ConnectionLost("the client is closed")
        begun = self._core.clock()

        def over() -> object:
            return done() or self._is_hopeless(begun)

        held = self._advance(over, self._patience if timeout is None else timeout)
        if done():
            return True
        if held:
            raise NoPeer(self._problems)
        return False

    def _is_hopeless(self, begun: float) -> bool:
        lost_at = self._lost_at
        return lost_at is not None and self._core.clock() - max(lost_at, begun) >= FAIL_OVER_S

    # While time passes.

    def due(self) -> Instant | None:
        """When `pump` is wanted next, or None."""
        now = self._core.clock()
        wanted = [at for at in (self._core.due(),) if at is not None]
        if self._closed:
            return None
        if self._link is None:
            wanted.append(self._next_try)
        elif self._silent_since is not None:
            wanted.append(self._silent_since + PING_S + SILENCE_S)
        if not wanted:
            return None
        return self._world.now + max(1, round((min(wanted) - now) * 1_000_000_000))

    def pump(self) -> None:
        """Fails over where home is gone or silent, and sends what is to be sent.

        Pings of a real client are not sent one by one: a peer that runs answers them,
        and one that is paused does not.
        """
        if self._closed:
            return
        now = self._core.clock()
        link = self._link
        if link is None or link.peer.is_running or not self._core.is_busy:
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = now
        since = self._silent_since
        is_silent = since is not None and now - since >= PING_S + SILENCE_S
        if link is not None and (link.is_broken or is_silent):
            self._lose(now)
        if self._link is None and now >= self._next_try:
            self._try_all()
            self._next_try = now + PAUSE_S
        self._core.resubmit(now)
        self._send()

    def _lose(self, now: float) -> None:
        assert self._link is not None, "there is a connection to lose"
        self._left = self._link.peer.name
        self._drop()
        self._lost_at = self._next_try = now

    def _drop(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None
        self._core.disconnected()

    def _try_all(self) -> bool:
        names = [peer.name for peer in self._world.peers]
        order = in_order(sorted(names, key=lambda name: name != self._prefers), self._left)
        by_name = {peer.name: peer for peer in self._world.peers}
        problems = []
        for name in order:
            peer = by_name[name]
            if peer.is_running:
                self._connect(peer)
                return True
            problems.append((name, "paused" if peer.core is not None else NOT_RUNNING))
        self._problems = summary(problems)
        return False

    def _connect(self, peer: SimulatedPeer) -> None:
        self._link = ClientLink(self._world, peer, self._core.receive)
        self._silent_since = None
        self._lost_at, self._left = None, ""
        self._core.connected()
        self._send()

    def _send(self) -> None:
        data = self._core.take_outgoing() if self._link is not None else b""
        if data and self._link is not None:
            self._link.write(data)


class LocalClient(Client):
    """`Client`, for a simulated mesh. Its waits, and its timeouts, are virtual."""

    def __init__(self, core: ClientCore, transport: VirtualTransport) -> None:
        """Use `LocalMesh.client`, or `LocalMesh.connect`."""
        self._core = core
        self._transport = transport
        self._options = Options()
        transport.connect()
