"""Many peers in virtual time, with faults: the production core, driven from one heap of events."""
