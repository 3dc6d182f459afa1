"""What a skill is: its name, schemas and limits, content-addressed by digest."""

import hashlib

import msgspec

from protocols.wire import encode

SKILL_SPEC_LIMIT = 48 * 1024
FIRST_FIELDS = 7
REQUIRES_LIMIT = 16
"""Labels that a skill, or a call, may ask for."""
LABEL_LIMIT = 64


class SkillSpec(msgspec.Struct, frozen=True, array_like=True):
    """A skill as every peer must agree on it. Durations in milliseconds; 0 means none."""

    name: str
    version: str
    input_schema: bytes
    """JSON Schema (JSON text) of the object of keyword inputs."""
    output_schema: bytes
    timeout_ms: int = 0
    retries: int = 2
    description: str = ""
    requires: tuple[str, ...] = ()
    """Labels that a peer must have to run it; at most `REQUIRES_LIMIT`."""

    def digest(self) -> bytes:
        """16 bytes that name this very spec.

        Fields that came later count where they say something, so that a spec has the same
        name at peers that do not know them.
        """
        fields = msgspec.structs.astuple(self)
        said = fields if self.requires else fields[:FIRST_FIELDS]
        return hashlib.blake2b(encode(said), digest_size=16).digest()
