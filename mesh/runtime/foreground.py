"""One peer in this process, for systemd, containers and terminals: `mesh serve`.

    python -P -m mesh.runtime.foreground ORDER

ORDER is JSON: ``{"folder": …, "name": …, "serving": {…}}``. When the peer is up it says
so in one line on stdout; its log goes to stderr. SIGTERM drains it and lets it leave.
"""

import sys
from pathlib import Path

import msgspec
import structlog

from mesh.runtime.nursery import calm_collector
from mesh.runtime.peer_process import run_peer
from mesh.runtime.serve_file import Order


def main() -> None:
    """See the module."""
    order = msgspec.json.decode(sys.argv[1], type=Order)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    calm_collector()
    raise SystemExit(run_peer(Path(order.folder), order.name, order.serving))


if __name__ == "__main__":
    main()
