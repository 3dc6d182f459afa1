"""Starts a worker in another virtual environment, or says why it cannot.

Run by its path, with the other environment's interpreter and whatever that has
installed::

    OTHER/bin/python …/mesh/agent/boot.py PROTOCOL [the arguments of mesh.agent.worker]

It therefore says nothing that Python 3.6 could not read.
"""

import os
import sys
from typing import NoReturn

LEAST = (3, 11)
EXIT_BAD_AGENT = 3
NEEDS = 'stigmesh itself, msgspec and anyio (and trio, for agents with loop="trio")'


def main() -> None:
    """See the module."""
    # A script's own folder comes first on the import path, and ours is no place to import from.
    own_folder = os.path.dirname(os.path.abspath(__file__))
    sys.path = [path for path in sys.path if os.path.abspath(path or ".") != own_folder]
    protocol = int(sys.argv.pop(1))
    if sys.version_info < LEAST:
        here = ".".join(str(number) for number in sys.version_info[:2])
        _leave(f"it is Python {here}, and workers need 3.11 or newer")
    try:
        from mesh.agent import worker
        from mesh.local.messages import PROTOCOL
    except ImportError as error:
        pip = f"{sys.executable} -m pip install"
        _leave(f"{error}. It needs {NEEDS}: `{pip} --no-deps stigmesh`, then `{pip} msgspec anyio`")
    if protocol != PROTOCOL:
        _leave(
            f"its stigmesh speaks version {PROTOCOL} of the local protocol, and the peer version "
            f"{protocol}: install the peer's release there"
        )
    worker.main()


def _leave(why: str) -> NoReturn:
    sys.stderr.write(f"mesh worker: {sys.executable} cannot run agents: {why}\n")
    sys.stderr.flush()
    os._exit(EXIT_BAD_AGENT)


if __name__ == "__main__":
    main()
