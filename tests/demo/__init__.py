"""The demo: its rules on small samples, and whole runs on a mesh that lives in the test."""
