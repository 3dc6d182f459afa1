"""The command line: one file per group of verbs, and what errors become for people.

Exit status: 0 done; 1 the task or check failed; 2 usage; 3 no peer reachable;
4 timed out.
"""

import sys


def main() -> None:
    """Runs the verb on the command line."""
    import typer

    from mesh.cli.app import app
    from mesh.cli.output import FAILED, NO_PEER, TIMED_OUT, USAGE, fail

    try:
        status = app(standalone_mode=False)
    except typer.Abort:
        raise SystemExit(FAILED) from None
    except typer.Exit as end:
        raise SystemExit(end.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:
        # The reader of our output is gone (`mesh map … | head`): nothing is left to say.
        sys.stderr.close()
        raise SystemExit(FAILED) from None
    except Exception as error:
        from mesh.local.errors import MeshError as LocalError
        from mesh.local.errors import NoPeer, Refused
        from protocols.errors import ConfigurationError, MeshError

        match error:
            case NoPeer():
                fail(str(error), NO_PEER)
            case Refused():
                _show_refusal(error)
                fail(str(error), FAILED)
            case ConfigurationError():
                fail(str(error), USAGE)
            case TimeoutError():
                fail(f"timed out: {error}", TIMED_OUT)
            case LocalError() | MeshError():
                fail(str(error), FAILED)
        usage = getattr(error, "exit_code", None)
        show = getattr(error, "show", None)
        if usage is not None and show is not None:
            show()
            raise SystemExit(usage) from None
        raise
    raise SystemExit(status or 0)


def _show_refusal(error: object) -> None:
    """With ``--json`` a refused task is an object too, with the same keys as any other."""
    from mesh.cli.output import print_json

    if "--json" not in sys.argv:
        return
    told = {"kind": getattr(error, "kind", ""), "message": getattr(error, "message", "")}
    print_json(
        {
            "task": None,
            "state": "refused",
            "result": None,
            "error": told,
            "attempts": 0,
            "incomplete": False,
            "producer": None,
        }
    )
