"""What agents say of themselves, and work that asks for it: sickness, prices, labels, poison."""

import random
from collections.abc import Callable

import msgspec

from protocols.auction.commands import SetPrice
from protocols.machine import SECOND_NS
from protocols.tasks.commands import TaskSpec
from simulations.agents import POISON
from simulations.peer import SimulatedPeer
from simulations.world import World

WORK = ("work", "1")
LABEL = "gpu"
LABELLED_PEERS = 2
"""The first peers of the mesh have the label."""
SICK_MOST_NS = 3 * SECOND_NS
PRICE_MOST_US = 2_000_000
COST_MOST = 1_000_000
CERTAIN = 1_000_000


class AgentLoad(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How often each happens in a run."""

    sick: int = 0
    """An agent cannot work, for up to three seconds."""
    prices: int = 0
    """An agent asks another price, or none."""
    labelled: int = 0
    """A submission for the peers that have a label, which two have."""
    least_loaded: int = 0
    """A submission that is handed out without an auction."""
    poison: int = 0
    """A task that ends every worker process that runs it, with all that runs beside it."""


class AgentClients:
    """Has agents say what they say, and submits what depends on it."""

    hears = ()

    def __init__(self, load: AgentLoad, rng: random.Random) -> None:
        self._load = load
        self._rng = rng

    def prepare(self, world: World) -> None:
        """Before peers start: who is fit for what."""
        if self._load.labelled:
            for peer in world.peers[:LABELLED_PEERS]:
                peer.labels = (LABEL,)

    def begin(self, world: World, duration_ns: int) -> None:
        """Plans all of it."""
        doings: tuple[tuple[int, Callable[[World, SimulatedPeer], None]], ...] = (
            (self._load.sick, self._fall_sick),
            (self._load.prices, self._ask_a_price),
            (self._load.labelled, self._ask_for_a_label),
            (self._load.least_loaded, self._without_auction),
            (self._load.poison, self._poison),
        )
        for count, do in doings:
            for _ in range(count):
                world.after(self._rng.randrange(duration_ns), self._somewhere(world, do))

    def _somewhere(
        self, world: World, do: Callable[[World, SimulatedPeer], None]
    ) -> Callable[[], None]:
        def act() -> None:
            running = [peer for peer in world.honest if peer.is_running]
            if running:
                do(world, self._rng.choice(running))

        return act

    def _fall_sick(self, world: World, peer: SimulatedPeer) -> None:
        world.coverage["an agent falls sick"] += 1
        peer.sick = (WORK,)
        peer.host()
        starts = peer.starts

        def recover() -> None:
            if peer.core is not None and peer.starts == starts:
                peer.sick = ()
                peer.host()

        world.after(self._rng.randrange(1, SICK_MOST_NS), recover)

    def _ask_a_price(self, world: World, peer: SimulatedPeer) -> None:
        rng = self._rng
        world.coverage["an agent asks a price"] += 1
        price = SetPrice(*WORK)
        if rng.random() < 0.8:
            price = SetPrice(
                *WORK, rng.randrange(PRICE_MOST_US), rng.randrange(COST_MOST),
                rng.randrange(1, CERTAIN + 1),
            )  # fmt: skip
        peer.submit(price)

    def _ask_for_a_label(self, world: World, peer: SimulatedPeer) -> None:
        world.coverage["a label is asked for"] += 1
        self._submit(world, peer, self._rng.randint(1, 8), requires=(LABEL,))

    def _without_auction(self, world: World, peer: SimulatedPeer) -> None:
        world.coverage["work without an auction"] += 1
        self._submit(world, peer, self._rng.randint(1, 8), strategy="least_loaded")

    def _poison(self, world: World, peer: SimulatedPeer) -> None:
        world.coverage["a poison task"] += 1
        self._submit(world, peer, 1, poison=True)

    def _submit(
        self,
        world: World,
        peer: SimulatedPeer,
        count: int,
        *,
        strategy: str = "auction",
        requires: tuple[str, ...] = (),
        poison: bool = False,
    ) -> None:
        index = self._rng.getrandbits(40)
        more = {POISON: 1} if poison else {}
        world.ask(
            peer,
            tuple(
                TaskSpec(
                    skill=WORK[0],
                    input=msgspec.Raw(msgspec.msgpack.encode({"index": index + each, **more})),
                    strategy=strategy,
                    requires=requires,
                )
                for each in range(count)
            ),
            lambda request: None,
        )
