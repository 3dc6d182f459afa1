"""Pages as scripts: what a reader of a page would type, in the order of the page.

Blocks marked ``sh`` are run in one shell, in a folder of the page's own. A block whose
first line is a comment with a file's name (``# librarian.py``) becomes that file. A
comment before a block says what else is to be known:

    <!-- second terminal: COMMAND -->  it runs on beside the others; they wait for COMMAND
    <!-- exits 1 -->                   its last command ends with this status, on purpose
    <!-- not run: REASON -->           nobody runs it here, and why
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = ("sh", "console", "python", "toml", "json", "text", "yaml", "ini", "dockerfile", "js")
READY_S = 60
"""How long a second terminal may take until what waits for it goes on."""
LONGEST_S = 240
"""How long a page may take on a busy machine."""
_BLOCK = re.compile(
    r"^(?:<!-- (?P<note>[^\n]*?) -->\n+)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)
_FILE = re.compile(r"(?:#|//) (?P<name>[\w./-]+\.\w+)$")


class Block(msgspec.Struct, frozen=True):
    """One block of code on a page."""

    line: int
    language: str
    text: str
    note: str

    @property
    def file(self) -> str:
        """The file that a reader would save it as; empty where there is none."""
        found = _FILE.match(self.text.partition("\n")[0])
        return found["name"] if found is not None and self.language != "sh" else ""


def blocks(page: Path) -> Iterator[Block]:
    """All blocks of code on a page, in order."""
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("text"))
        yield Block(line, found["language"], found["text"], found["note"] or "")


def script(page: Path) -> str:
    """The page as one shell script; stops at the first command that fails."""
    parts = ["set -eu -o pipefail", "trap finish EXIT", FINISH]
    for block in blocks(page):
        if block.note.startswith("not run:") or not (block.file or block.language == "sh"):
            continue
        parts.append(f'echo "--- {page.name}, line {block.line}" >&2')
        if block.file:
            parts.append(f"mkdir -p {os.path.dirname(block.file) or '.'}")
            parts.append(f"cat > {block.file} <<'END-OF-BLOCK'\n{block.text}END-OF-BLOCK")
        elif block.note.startswith("second terminal:"):
            ready = block.note.partition(":")[2].strip()
            # A group of its own, so that all of it can be asked to end.
            parts.append(f"set -m\n(\n{block.text}) > terminal-{block.line}.log 2>&1 &\nset +m")
            parts.append(f"wait_until '{ready}' terminal-{block.line}.log")
        elif block.note.startswith("exits "):
            *before, last = block.text.strip().splitlines()
            parts += before
            parts.append(f"status=0; {last.partition('  #')[0]} || status=$?")
            parts.append(f'[ "$status" = {int(block.note.split()[1])} ]')
        else:
            parts.append(block.text)
    return "\n".join(parts) + "\n"


FINISH = f"""
finish() {{
    for job in $(jobs -p); do
        kill -TERM -- -"$job" 2>/dev/null || kill "$job" 2>/dev/null || true
    done
    wait
    for found in $(find . -name mesh.json); do mesh down --dir "$(dirname "$found")" || true; done
}}
wait_until() {{
    for _ in $(seq {READY_S * 5}); do
        if sh -c "$1" >/dev/null 2>&1; then return; fi
        sleep 0.2
    done
    echo "not within {READY_S} s: $1" >&2; cat "$2" >&2; return 1
}}
"""


def run(page: Path) -> None:
    """Runs a page in a folder of its own; whatever it starts is stopped in the end."""
    # Sockets have short names, and a page finds no mesh but its own.
    folder = Path(tempfile.mkdtemp(prefix="page-"))
    venv = Path(sys.prefix)
    (folder / ".venv").symlink_to(venv)
    (folder / "docs").symlink_to(ROOT / "docs")
    runtime = folder / "run"
    runtime.mkdir(mode=0o700)
    environment = {
        **os.environ,
        "PATH": f"{venv / 'bin'}:{os.environ['PATH']}",
        "XDG_RUNTIME_DIR": str(runtime),
        "HOME": str(folder),
        "PYTHONPATH": os.environ.get("PYTHONPATH", str(ROOT)),
    }
    environment.pop("MESH_DIR", None)
    process = subprocess.Popen(
        ["bash", "-c", script(page)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=LONGEST_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate()
        printed += f"\nnot done within {LONGEST_S} s"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert process.returncode == 0, f"{page.relative_to(ROOT)}:\n{printed[-6000:]}"
