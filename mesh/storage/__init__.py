"""What a peer keeps on disk: journal, keys, lock, and the layout of a mesh folder.

Why it is as it is: docs/explanation/storage.md.
"""
