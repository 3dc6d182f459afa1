"""How often the blackboard does what, and its limits."""

import msgspec

from protocols.machine import SECOND_NS

MEMBERS_LIMIT = 4096
"""Members of whom something is remembered."""
WRITES_WAITING_LIMIT = 4096
"""Requests that wait for another peer to store them; more are refused."""
DELTA_BYTES = 128 * 1024
"""Bytes of ops in one answer; whoever wants more asks again."""
DELTA_PARTS_LIMIT = 4096
CLAIMS_LIMIT = 4096
"""Omitted spans that wait for the op that is said to supersede them."""
SIGNATURES_PER_SECOND = 4096
"""Headers of one link that are verified in a second; what is over is not looked at."""
EVENT_KEYS_LIMIT = 1024
"""Keys that one event names; where more changed, it says so."""
FORKS_LIMIT = 256
"""Forked writers whose evidence is kept."""
GENERATIONS_LIMIT = 1024
"""Generations of one writer; more are not taken."""
COLLECTED_LIMIT = 4096
"""Ops that are collected in one step."""
ACKS_WANTED = 3
"""Of how many members a writer asks word that they stored a segment."""


class BoardParameters(msgspec.Struct, frozen=True):
    """What may differ between meshes, and between tests."""

    sync_interval_ns: int = SECOND_NS
    """A random member is asked what it knows, so often while something differs."""
    sync_idle_ns: int = 4 * SECOND_NS
    """And so often while nothing does."""
    starting_ns: int = 2 * SECOND_NS
    """So long a restarted peer waits for word of its own newest op before it begins anew."""
    replication_ns: int = 10 * SECOND_NS
    """So long a write waits for another peer's word before it is told as not replicated."""
    want_timeout_ns: int = 5 * SECOND_NS
    compare_interval_ns: int = 5 * SECOND_NS
    """How often live ops are compared with one member at most."""
    compare_timeout_ns: int = 30 * SECOND_NS
    frontier_interval_ns: int = 10 * SECOND_NS
    """How often a peer that has something new says what it has."""
    horizon_ms: int = 7 * 24 * 3600 * 1000
    """Members that were silent for longer hold nothing up; they are reset when they return."""
    quota_bytes: int = 256 * 1024 * 1024
    """Bytes of live ops of all writers together; more are refused to local writers."""
