"""Style as a test: what a linter cannot say about the tree as a whole."""
