"""The verb redrive: dead letters are run again."""

from typing import Annotated, Any

import typer

from mesh.cli.options import DirOption, JsonOption
from mesh.cli.output import FAILED, USAGE, fail, print_json, say


def redrive(
    task_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[TASK]...", help="The ids of dead letters.")
    ] = None,
    skill: Annotated[
        str | None, typer.Option("--skill", help="All dead letters of this skill.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
    folder: DirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run dead letters again, under the same ids; their attempts are counted anew.

    `mesh tasks --state dead` lists them. Exit status 1 where a named task was not redriven.
    """
    if bool(task_ids) + bool(skill) + every != 1:
        fail("give the ids of tasks, or --skill, or --all", USAGE)
    wanted = {"tasks": task_ids or [], "skill": skill or "", "all": every}
    answers = _from_all(folder, wanted)
    redriven = [task for answer in answers for task in answer["redriven"]]
    reasons: dict[str, str] = {}
    for refusal in (one for answer in answers for one in answer["refused"]):
        known = reasons.get(refusal["task"], UNKNOWN)
        reasons[refusal["task"]] = refusal["reason"] if known == UNKNOWN else known
    refused = {task: reason for task, reason in reasons.items() if task not in redriven}
    if as_json:
        lines = [{"task": task, "reason": reason} for task, reason in refused.items()]
        print_json({"redriven": redriven, "refused": lines})
    else:
        for task in redriven:
            print(task)
        say(f"{len(redriven)} redriven")
    for task, reason in refused.items():
        hint = f": `mesh task {task}` names its custodian" if reason == UNKNOWN else ""
        say(f"mesh: task {task} is not redriven: {reason}{hint}")
    if refused:
        raise SystemExit(FAILED)


UNKNOWN = "not known here"
"""What a peer says of a task that it is not the custodian of."""


def _from_all(folder: Any, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """What every local peer that answers made of it.

    Raises:
        NoPeer: none answers.
        SystemExit: one refused.
    """
    from mesh.local.ask import NoAnswer, QuestionRefused, ask
    from mesh.local.discovery import find_folder, sockets
    from mesh.local.errors import NoPeer, nobody_answers

    answers: list[dict[str, Any]] = []
    problems: list[tuple[str, str]] = []
    for name, address in sockets(find_folder(folder)):
        try:
            answers.append(ask(address, "redrive", wanted, timeout_s=10.0))
        except NoAnswer as error:
            problems.append((name, error.in_short))
        except QuestionRefused as error:
            fail(f"{name} refuses: {error}")
    if not answers:
        raise NoPeer(nobody_answers(problems))
    return answers
