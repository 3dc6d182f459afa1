"""The list of a mesh's electors, as its root has signed it, in the mesh folder.

It is made once, of the peers that are in the folder when they are first started, in their
order: no gossip has a part in it. Peers that come later are no electors by that.
"""

from pathlib import Path

from mesh.storage import authorities
from mesh.storage.files import write_atomically
from mesh.storage.folder import MeshFolder
from mesh.storage.succession import load_successions
from protocols.errors import ConfigurationError
from protocols.identity import peer_of_text
from protocols.succession import shown
from protocols.voting.roll import ELECTORS_LIMIT, Root, make_bundle

GENESIS_EPOCH = 1


def found_electorate(folder: MeshFolder) -> None:
    """Makes the list where there is none and the root's key is here.

    Raises:
        ConfigurationError: the folder cannot be used.
    """
    if folder.electorate.exists() or not folder.root_key.exists():
        return
    electors = tuple(peer_of_text(entry.id) for entry in folder.peers())[:ELECTORS_LIMIT]
    if electors:
        bundle = make_bundle(present_root(folder), GENESIS_EPOCH, electors)
        write_atomically(folder.electorate, bundle)


def present_root(folder: MeshFolder, place: Path | None = None) -> Root:
    """Who may name electors: the mesh's root, or who has succeeded it.

    Args:
        folder: of the mesh.
        place: the file of the root's key, if it is not in the folder.

    Raises:
        ConfigurationError: the key is not there, or it is not the present root's.
    """
    signer, successions = authorities.root(folder, place), load_successions(folder)
    roots = list(shown(successions, signer.mesh, {signer.mesh: None}, signer.keyring))
    if roots[-1] != signer.keyring.peer:
        raise ConfigurationError(
            f"{place or folder.root_key} is not the present root's key, as far as this folder "
            f"knows, in which the root was succeeded {len(successions)} times: electors are named "
            "where `mesh root rotate` was run, or name that key by --root-key"
        )
    return Root(signer.mesh, signer.keyring, successions)


def load_electorate(folder: MeshFolder) -> bytes:
    """The list as it is in the folder; empty where it is not.

    Raises:
        ConfigurationError: it cannot be read.
    """
    try:
        return folder.electorate.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise ConfigurationError(f"cannot read {folder.electorate}: {error.strerror}") from None
