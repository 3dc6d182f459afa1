"""See docs/protocols/tasks.md."""
