"""One peer for real: sockets, clock, workers."""
