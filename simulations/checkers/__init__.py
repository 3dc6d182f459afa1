"""Checkers: one invariant a file, each named in docs/invariants.md. They see only events."""
