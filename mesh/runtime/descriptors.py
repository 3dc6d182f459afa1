"""How many files and sockets this process may have open."""

import resource

DESCRIPTORS = 65_536


def raise_limit() -> None:
    """Each link costs four descriptors; the hard limit is there to be used."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
