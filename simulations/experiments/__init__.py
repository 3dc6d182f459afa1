"""Experiments: figures of the protocols, measured in virtual time. See `docs/experiments.md`."""
