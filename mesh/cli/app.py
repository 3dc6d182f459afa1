"""The verbs of the command line, grouped; each in a file of its own."""

import typer

from mesh.cli import demo, local, tasks, work

app = typer.Typer(
    name="mesh",
    help="A decentralised mesh of agents: no broker, no head node, no database server.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

LOCAL = "Peers on this machine"
WORK = "Work"
TRYING = "Trying"

app.command("up", rich_help_panel=LOCAL)(local.up)
app.command("down", rich_help_panel=LOCAL)(local.down)
app.command("peers", rich_help_panel=LOCAL)(local.peers)
app.command("kill", rich_help_panel=LOCAL)(local.kill)
app.command("pause", rich_help_panel=LOCAL)(local.pause)
app.command("resume", rich_help_panel=LOCAL)(local.resume)
app.command("call", rich_help_panel=WORK)(work.call)
app.command("submit", rich_help_panel=WORK)(work.submit)
app.command("map", rich_help_panel=WORK)(work.map_inputs)
app.command("tasks", rich_help_panel=WORK)(tasks.tasks)
app.command("task", rich_help_panel=WORK)(tasks.task)
app.command("cancel", rich_help_panel=WORK)(tasks.cancel)
app.command("why", rich_help_panel=WORK)(tasks.why)
app.command("demo", rich_help_panel=TRYING)(demo.demo)
