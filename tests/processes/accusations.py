"""Who blamed whom, in the events of a mesh's peers."""

import json
from pathlib import Path
from typing import Any


def accusations(path: Path) -> list[dict[str, Any]]:
    """What any peer of a mesh ever blamed another for."""
    texts = (log.read_bytes() for log in path.glob("peers/*/events.jsonl"))
    lines = (json.loads(line) for text in texts for line in text.splitlines())
    return [line for line in lines if line["event"] == "core.blamed"]
