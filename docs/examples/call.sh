#!/bin/sh
# Calls a skill and prints its end as JSON: call.sh SOCKET SKILL '{"its": "inputs"}'
#
# CONNECT is what joins a Unix socket to this pipe, and says so when the pipe has ended:
# OpenBSD's nc, or "socat -t 3600 - UNIX-CONNECT:$1" in its place.
set -eu

{
    printf '%s\n' '{"type":"hello","role":"client","name":"call.sh"}'
    printf '{"type":"submit","request":1,"skill":"%s","inputs":[%s]}\n' "$2" "$3"
} | ${CONNECT:-nc -N -U} "$1" | grep -E '"type":"(settled|refused)"'
