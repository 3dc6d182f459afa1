"""Rotating a mesh's root: the next key, the words by which it became the root, files in place.

Each step keeps what an interrupted run left, so that `mesh root rotate` may simply run
again: the next key is made first and kept aside until the mesh knows of it.
"""

import os
import time
from pathlib import Path

import msgspec

from mesh.storage.files import refusing_unwritable, write_atomically
from mesh.storage.folder import MeshFolder
from mesh.storage.keys import load_key, load_or_create
from protocols.credentials import Succession
from protocols.errors import ConfigurationError
from protocols.identity import Ed25519Keyring
from protocols.statements import RootSucceeded, consent_of
from protocols.wire import Signed, encode, seal

_decoder = msgspec.msgpack.Decoder(tuple[Succession, ...])


def load_successions(folder: MeshFolder) -> tuple[Succession, ...]:
    """How the present root became one; empty where the first root is the only one.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    try:
        return _decoder.decode(folder.roots.read_bytes())
    except FileNotFoundError:
        return ()
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigurationError(
            f"cannot read {folder.roots}: {error}; restore it from a backup"
        ) from None


def next_key(place: Path) -> Path:
    """Where the root's next key is kept until the mesh knows of it."""
    return place.with_name(f"{place.name}.next")


def next_root(place: Path) -> bytes:
    """The seed of the root's successor, made where there is none yet.

    Raises:
        ConfigurationError: the folder cannot be written to.
    """
    path = next_key(place)
    load_or_create(path, "root-key", lambda: os.urandom(32))
    return load_key(path, "root-key")


def succession(mesh: bytes, old_seed: bytes, new_seed: bytes, retires_s: int) -> Signed:
    """The statement by which one root names the next, signed by both."""
    old, new = Ed25519Keyring(old_seed, mesh), Ed25519Keyring(new_seed, mesh)
    return seal(old, RootSucceeded(new.peer, retires_s, consent_of(new, old.peer, retires_s)))


def keep(folder: MeshFolder, encoded: bytes) -> None:
    """Writes down how the present root became one, as a peer that runs tells it.

    Raises:
        ConfigurationError: the folder cannot be written to.
    """
    write_atomically(folder.roots, encode(_decoder.decode(encoded)))


def put_in_place(folder: MeshFolder, place: Path) -> Path:
    """The next key becomes the root's key; the old one is put aside, and where that is.

    Raises:
        ConfigurationError: the folder cannot be written to.
    """
    aside = place.with_name(f"{place.name}.{time.strftime('%Y%m%d-%H%M%S')}.succeeded")
    with folder.locked(), refusing_unwritable(place):
        # A second name for the old key, so that there is a root's key at every moment.
        os.link(place, aside)
        next_key(place).replace(place)
    return aside


def seed_of(place: Path) -> bytes:
    """A root's key.

    Raises:
        ConfigurationError: the file cannot be used.
    """
    return load_key(place, "root-key")
