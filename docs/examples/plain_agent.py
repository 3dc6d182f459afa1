"""An agent that has sockets and JSON and nothing else: plain_agent.py SOCKET.

A pattern for any language. It runs one job at a time, and hears what it is told meanwhile
when that has ended. A job that is to stop and does not, within two seconds, costs it its
connection, and so its end: whoever keeps agents running starts it anew.
"""

import json
import socket
import sys

SKILL = {
    "name": "reverse",
    "description": "A text from its end to its beginning.",
    "input_schema": {
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
    },
    "output_schema": {"type": "string"},
}


def main() -> None:
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(sys.argv[1])
    lines = peer.makefile("rw", encoding="utf-8")

    def say(**message: object) -> None:
        print(json.dumps(message), file=lines, flush=True)

    say(type="hello", role="worker", name="plain_agent")
    say(type="register", agent="plain", skills=[SKILL])
    for line in lines:
        message = json.loads(line)
        if message["type"] == "refused":
            sys.exit(f"the peer refused: {message['kind']}: {message['message']}")
        if message["type"] == "goodbye":
            return
        if message["type"] == "run":
            for job in message["jobs"]:
                value = job["input"]["text"][::-1]
                say(type="ended", ends=[{"job": job["job"], "status": "ok", "value": value}])


if __name__ == "__main__":
    main()
