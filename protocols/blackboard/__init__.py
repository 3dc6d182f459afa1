"""The blackboard: one shared memory that every peer holds; docs/protocols/blackboard.md."""
