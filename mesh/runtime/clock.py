"""The real clock. Nothing below `mesh.runtime` reads another one."""

import time

from protocols.machine import Now


class SystemClock:
    """Reads the machine's monotonic and wall clocks."""

    def now(self) -> Now:
        """The time of a step that begins now."""
        return Now(time.monotonic_ns(), time.time_ns())
