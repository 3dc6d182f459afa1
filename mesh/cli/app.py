"""The verbs of the command line, grouped; each in a file of its own."""

from typing import Annotated

import typer

from mesh.cli import blobs as blob_verbs
from mesh.cli import board as board_verbs
from mesh.cli import board_queries
from mesh.cli.decisions import decide, verify
from mesh.cli.demo import demo
from mesh.cli.doctor import doctor
from mesh.cli.electors import add as add_electors
from mesh.cli.electors import list_electors, recover
from mesh.cli.electors import remove as remove_electors
from mesh.cli.electors import replace as replace_elector
from mesh.cli.hosts import init, invite, join, serve
from mesh.cli.local import down, kill, pause, peers, resume, up
from mesh.cli.logs import logs
from mesh.cli.metrics import metrics, spans
from mesh.cli.redrive import redrive
from mesh.cli.reload import reload
from mesh.cli.root import rotate
from mesh.cli.sim import list_scenarios, run, sweep
from mesh.cli.sim_experiments import experiment
from mesh.cli.sim_files import replay, report, shrink
from mesh.cli.strong import strong
from mesh.cli.tasks import cancel, task, tasks, why
from mesh.cli.top import top
from mesh.cli.trace import trace
from mesh.cli.trust import add_issuer, drain, list_issuers, renew, revoke
from mesh.cli.version import print_version
from mesh.cli.work import call, map_inputs, submit

app = typer.Typer(
    name="mesh",
    help="A decentralised mesh of agents: no broker, no head node, no database server.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=print_version, help="Say which release."),
    ] = False,
) -> None:
    """A decentralised mesh of agents: no broker, no head node, no database server."""


LOCAL = "Peers on this machine"
HOSTS = "Many hosts"
WORK = "Work"
SHARING = "Shared memory"
DECISIONS = "Decisions"
SEEING = "Seeing"
TRYING = "Trying"
BREAKING = "Breaking it"

app.command("up", rich_help_panel=LOCAL)(up)
app.command("down", rich_help_panel=LOCAL)(down)
app.command("peers", rich_help_panel=LOCAL)(peers)
app.command("kill", rich_help_panel=LOCAL)(kill)
app.command("pause", rich_help_panel=LOCAL)(pause)
app.command("resume", rich_help_panel=LOCAL)(resume)
app.command("reload", rich_help_panel=LOCAL)(reload)
app.command("drain", rich_help_panel=LOCAL)(drain)
app.command("init", rich_help_panel=HOSTS)(init)
app.command("invite", rich_help_panel=HOSTS)(invite)
app.command("join", rich_help_panel=HOSTS)(join)
app.command("serve", rich_help_panel=HOSTS)(serve)
app.command("revoke", rich_help_panel=HOSTS)(revoke)
app.command("renew", rich_help_panel=HOSTS)(renew)
app.command("call", rich_help_panel=WORK)(call)
app.command("submit", rich_help_panel=WORK)(submit)
app.command("map", rich_help_panel=WORK)(map_inputs)
app.command("tasks", rich_help_panel=WORK)(tasks)
app.command("task", rich_help_panel=WORK)(task)
app.command("cancel", rich_help_panel=WORK)(cancel)
app.command("redrive", rich_help_panel=WORK)(redrive)
app.command("why", rich_help_panel=WORK)(why)
app.command("decide", rich_help_panel=DECISIONS)(decide)
app.command("verify", rich_help_panel=DECISIONS)(verify)
app.command("top", rich_help_panel=SEEING)(top)
app.command("logs", rich_help_panel=SEEING)(logs)
app.command("trace", rich_help_panel=SEEING)(trace)
app.command("doctor", rich_help_panel=SEEING)(doctor)
app.command("metrics", rich_help_panel=SEEING)(metrics)
app.command("spans", rich_help_panel=SEEING)(spans)
app.command("demo", rich_help_panel=TRYING)(demo)

issuer = typer.Typer(
    name="issuer",
    help="Who may sign credentials: every mesh may have several issuers.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
issuer.command("add")(add_issuer)
issuer.command("ls")(list_issuers)
app.add_typer(issuer, rich_help_panel=HOSTS)

electors = typer.Typer(
    name="electors",
    help="Who decides: a list that the root signs, and that changes through the log.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
electors.command("ls")(list_electors)
electors.command("add")(add_electors)
electors.command("remove")(remove_electors)
electors.command("replace")(replace_elector)
electors.command("recover")(recover)
app.add_typer(electors, rich_help_panel=DECISIONS)

root = typer.Typer(
    name="root",
    help="The key that everything in a mesh goes back to.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
root.command("rotate")(rotate)
app.add_typer(root, rich_help_panel=HOSTS)

board = typer.Typer(
    name="board",
    help="The blackboard: one memory that all peers share, each on its own disk.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
board.command("put")(board_verbs.put)
board.command("get")(board_verbs.get)
board.command("delete")(board_verbs.delete)
board.command("ls")(board_verbs.ls)
board.command("watch")(board_verbs.watch)
board.command("increment")(board_verbs.increment)
board.command("add")(board_verbs.add)
board.command("remove")(board_verbs.remove)
board.command("set")(board_verbs.set_field)
board.command("unset")(board_verbs.unset)
board.command("append")(board_verbs.append)
board.command("deposit")(board_verbs.deposit)
board.command("sense")(board_verbs.sense)
board.command("sql")(board_queries.sql)
board.command("search")(board_queries.search)
board.command("events")(board_queries.events)
board.add_typer(strong)
app.add_typer(board, rich_help_panel=SHARING)

blob = typer.Typer(
    name="blob",
    help="Large values by their content: put here, got anywhere, to 64 MiB.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
blob.command("put")(blob_verbs.put)
blob.command("get")(blob_verbs.get)
blob.command("ls")(blob_verbs.ls)
blob.command("rm")(blob_verbs.rm)
app.add_typer(blob, rich_help_panel=SHARING)

sim = typer.Typer(
    name="sim",
    help="Break it: the production core in virtual time, under faults that a seed draws.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
sim.command("list")(list_scenarios)
sim.command("run")(run)
sim.command("sweep")(sweep)
sim.command("replay")(replay)
sim.command("shrink")(shrink)
sim.command("report")(report)
sim.command("experiment")(experiment)
app.add_typer(sim, rich_help_panel=BREAKING)
