"""The messages of the local protocol, for clients and workers alike.

Each message is a map with a ``type``; on the socket it is MessagePack behind a
four-byte big-endian length. Maps, not arrays, so that any language can speak
it. Durations are milliseconds and 0 means none, unless a name says otherwise.
Peers are named by their text id (see ``mesh peers``).

`Raw` fields hold one encoded value each, which is passed through and never
decoded on the way.
"""

import msgspec

PROTOCOL = 1
"""The version of this protocol; a peer and its clients must agree on it."""
MESSAGE_LIMIT = 32 * 1024 * 1024
"""Bytes in one message, either way."""
INPUT_LIMIT = 8 * 1024 * 1024
"""Bytes in one encoded input or result."""

NIL = msgspec.Raw(b"\xc0")


class LocalMessage(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", kw_only=True):
    """The base of all local messages."""


# Both roles say hello first.


class Hello(LocalMessage, frozen=True, tag="hello"):
    """The first message. `role` is ``client`` or ``worker``; `name` is for people."""

    role: str
    protocol: int = PROTOCOL
    name: str = ""
    pid: int = 0


class Welcome(LocalMessage, frozen=True, tag="welcome"):
    """The peer's answer to `Hello`."""

    peer: str
    name: str
    mesh: str
    boot: int
    version: str
    protocol: int = PROTOCOL


class Refused(LocalMessage, frozen=True, tag="refused"):
    """A request was refused and nothing has changed. `request` 0: the connection itself.

    `retry_after_ms` is -1 where trying again cannot help. `index` names the
    offending input of a batch, or is -1.
    """

    request: int
    kind: str
    message: str
    retry_after_ms: int = -1
    index: int = -1


# Work: from clients, and from handlers that call other skills.


class Submit(LocalMessage, frozen=True, tag="submit"):
    """Submit one task per input, all or none. `keys` and `weights_us` are empty or as long."""

    request: int
    skill: str
    inputs: list[msgspec.Raw]
    version: str = ""
    keys: list[str] = []
    weights_us: list[int] = []
    strategy: str = "auction"
    to: str = ""
    timeout_ms: int = 0
    deadline_ms: int = 0
    retries: int = -1
    priority: int = 0
    budget: int = 0
    traceparent: str = ""
    parent: str = ""
    depth: int = 0
    space: str = "default"
    principal: str = ""
    requires: list[str] = []
    exclusive: str | None = None


class Accepted(LocalMessage, frozen=True, tag="accepted"):
    """The tasks are on the peer's disk; ids in the order of the inputs."""

    request: int
    tasks: list[str]


class SettledTask(msgspec.Struct, frozen=True, omit_defaults=True):
    """The end of one task. `state`: done, failed, cancelled, expired or dead."""

    task: str
    state: str
    value: msgspec.Raw = NIL
    error_kind: str = ""
    error_message: str = ""
    attempts: int = 0
    incomplete: bool = False
    producer: str = ""
    confidence: int = -1
    elapsed_us: int = 0


class Settled(LocalMessage, frozen=True, tag="settled"):
    """Tasks that this connection submitted or attached to, and that ended."""

    tasks: list[SettledTask]


class Attach(LocalMessage, frozen=True, tag="attach"):
    """Be told the ends of tasks submitted before, by anyone. Answered by `Attached`."""

    request: int
    tasks: list[str]


class Attached(LocalMessage, frozen=True, tag="attached"):
    """`unknown` are the tasks that this peer is not the custodian of."""

    request: int
    unknown: list[str] = []


class Cancel(LocalMessage, frozen=True, tag="cancel"):
    """Stop a task wherever it runs; answered by `Answer` with {"task", "state"}."""

    request: int
    task: str
    reason: str = "cancelled by the caller"


class Ask(LocalMessage, frozen=True, tag="ask"):
    """A question, answered by `Answer`.

    `verb`: ``status``, ``peers``, ``task``, ``tasks``, ``why``, ``redrive``, ``skills``,
    ``drain``, ``stop``.
    """

    request: int
    verb: str
    arguments: msgspec.Raw = NIL


class Answer(LocalMessage, frozen=True, tag="answer"):
    """The answer to `Ask` or `Cancel`: an encoded value."""

    request: int
    value: msgspec.Raw


class Watch(LocalMessage, frozen=True, tag="watch"):
    """Be told events: of one task (progress and log lines), or of everything where `task` is ""."""

    request: int
    task: str = ""


class EventSeen(LocalMessage, frozen=True, tag="event"):
    """One event, as docs/reference/events.md describes it."""

    request: int
    event: msgspec.Raw


class Ping(LocalMessage, frozen=True, tag="ping"):
    """Is the peer's loop alive? A stopped process keeps its socket open."""

    request: int


class Pong(LocalMessage, frozen=True, tag="pong"):
    """It is."""

    request: int


# Workers.


class SkillDeclaration(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One skill of an agent. Schemas are JSON Schema, as JSON text; ``{}`` takes anything."""

    name: str
    version: str = "1"
    input_schema: str = "{}"
    output_schema: str = "{}"
    slots: int = 1
    timeout_ms: int = 0
    retries: int = 2
    description: str = ""
    inline: bool = False
    """The peer may run it in its own process."""
    requires: list[str] = []
    """Labels that a peer must have to run it."""


class Register(LocalMessage, frozen=True, tag="register"):
    """A worker offers the skills of an agent.

    `memory` is how many bytes the agent may hold, 0 for no limit of its own. With `more`,
    other agents of this worker follow.
    """

    agent: str
    skills: list[SkillDeclaration]
    memory: int = 0
    more: bool = False
    labels: list[str] = []
    """What the peer is fit for as long as it has this agent."""


class SkillPrice(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What an agent asks for one task of a skill. The defaults ask for nothing."""

    name: str
    version: str = "1"
    duration_us: int = 0
    """0: as long as the peer has measured."""
    cost: int = 0
    """Millionths of the unit of account, which weighs as much as a second."""
    confidence: int = 1_000_000
    """Millionths."""


class Price(LocalMessage, frozen=True, tag="price"):
    """What an agent asks for its skills, all of them, for so long as `valid_ms` says.

    With a `fault`, the agent could not be asked, and the text says why.
    """

    agent: str
    prices: list[SkillPrice]
    valid_ms: int
    fault: str = ""


class Health(LocalMessage, frozen=True, tag="health"):
    """Whether an agent can work: `sick` says why not, and is empty where it can.

    It stands until the next one. One that comes before the agent's `Register` holds for it.
    """

    agent: str
    sick: str = ""


class LocalJob(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One attempt to run. `job` is this connection's own number for it."""

    job: int
    task: str
    attempt: int
    skill: str
    version: str
    input: msgspec.Raw
    timeout_ms: int = 0
    deadline_ms: int = 0
    depth: int = 0
    traceparent: str = ""
    parent: str = ""
    space: str = "default"
    principal: str = ""
    fencing_token: int = 0


class Run(LocalMessage, frozen=True, tag="run"):
    """Run these, each skill at most as many at once as it has slots, in this order."""

    jobs: list[LocalJob]


class JobEnd(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How one attempt ended: ``ok``, ``failed``, ``rejected``, ``timeout``, ``cancelled``."""

    job: int
    status: str
    value: msgspec.Raw = NIL
    elapsed_us: int = 0
    error_kind: str = ""
    error_message: str = ""
    confidence: int = -1
    incomplete: bool = False


class Ended(LocalMessage, frozen=True, tag="ended"):
    """Attempts that ended."""

    ends: list[JobEnd]


class Park(LocalMessage, frozen=True, tag="park"):
    """A handler awaits a child (`waiting`) and gives its slot back, or wants it again.

    After ``waiting=False`` the handler goes on only when the peer sends `Resume`.
    """

    job: int
    waiting: bool


class Resume(LocalMessage, frozen=True, tag="resume"):
    """These parked jobs have a slot again."""

    jobs: list[int]


class Stop(LocalMessage, frozen=True, tag="stop"):
    """Stop these jobs: `reason` is ``cancelled`` or ``timeout``. Each still ends with `Ended`."""

    jobs: list[int]
    reason: str


class Progress(LocalMessage, frozen=True, tag="progress"):
    """How far a job is: a fraction from 0 to 1, and a text."""

    job: int
    fraction: float
    text: str = ""


class Log(LocalMessage, frozen=True, tag="log"):
    """A log line of a job. `fields` is an encoded map."""

    job: int
    level: str
    text: str
    fields: msgspec.Raw = NIL


class Goodbye(LocalMessage, frozen=True, tag="goodbye"):
    """From the peer: finish what runs, then disconnect. From a worker: no more jobs, please."""

    reason: str = ""


FromLocal = (
    Hello | Submit | Attach | Cancel | Ask | Watch | Ping
    | Register | Price | Health | Ended | Park | Progress | Log | Goodbye
)  # fmt: skip
"""What a peer receives on its local socket."""

FromPeer = (
    Welcome | Refused | Accepted | Settled | Attached | Answer | EventSeen | Pong
    | Run | Resume | Stop | Goodbye
)  # fmt: skip
"""What a client or worker receives."""
