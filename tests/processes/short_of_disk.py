"""One peer whose journal may not grow beyond so many pages, as on a full disk.

python -m tests.processes.short_of_disk FOLDER NAME PAGES
"""

import sys
from functools import partial
from pathlib import Path
from unittest import mock

from mesh.runtime import peer_process
from mesh.storage.journal import Journal


def main() -> int:
    """Runs the peer until its disk is full."""
    folder, name, pages = sys.argv[1:]
    limited = partial(Journal, page_limit=int(pages))
    with mock.patch.object(peer_process, "Journal", limited):
        return peer_process.run_peer(Path(folder), name)


if __name__ == "__main__":
    sys.exit(main())
