"""What a skill is: its name, schemas and limits, content-addressed by digest."""

import hashlib

import msgspec

from protocols.wire import encode

SKILL_SPEC_LIMIT = 48 * 1024


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

    def digest(self) -> bytes:
        """16 bytes that name this very spec."""
        return hashlib.blake2b(encode(self), digest_size=16).digest()
