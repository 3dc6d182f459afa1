"""Seeing what a mesh does: its peers' event files read, followed, joined into stories.

Everything here reads what peers have written, from a process of its own: it can
be slow, fail or be killed, and no peer notices. What hands it to other systems
(OpenTelemetry, Prometheus) needs the extra ``telemetry`` and is imported late.
"""
