"""The list of a mesh's electors, as its root has signed it, in the mesh folder.

It is made once, of the peers that are in the folder when they are first started, in their
order: no gossip has a part in it. Peers that come later are no electors by that.
"""

from mesh.storage.files import write_atomically
from mesh.storage.folder import MeshFolder
from mesh.storage.keys import load_key
from protocols.errors import ConfigurationError
from protocols.identity import Ed25519Keyring, peer_of_text
from protocols.voting.roll import ELECTORS_LIMIT, make_bundle

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
        mesh = load_key(folder.root_public, "root-public")
        root = Ed25519Keyring(load_key(folder.root_key, "root-key"), mesh)
        write_atomically(folder.electorate, make_bundle(root, GENESIS_EPOCH, electors))


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
