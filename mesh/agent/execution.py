"""How one attempt turns into its end: inputs in, the handler's value or error out."""

import time
import traceback
from typing import Any

from mesh.agent.agent import Skill
from mesh.agent.context import Context
from mesh.agent.outcome import Cancelled, NoRetry, Result
from mesh.agent.redaction import redactor
from mesh.agent.signature import InvalidInput, InvalidOutput
from mesh.local.errors import Refused
from mesh.local.messages import JobEnd, LocalJob

ERROR_TEXT_LIMIT = 4096
"""Characters of an error's message and traceback together."""
TRACEBACK_FRAMES = 6
KIND_LIMIT = 128
MILLIONTHS = 1_000_000

clock_ns = time.monotonic_ns


def end_with_value(
    skill: Skill, job: int, started_ns: int, value: Any, context: Context | None
) -> JobEnd:
    """The end of a handler that returned."""
    confidence = -1
    if type(value) is Result:
        if value.confidence is not None:
            confidence = round(value.confidence * MILLIONTHS)
        value = value.value
    elapsed_us = (clock_ns() - started_ns) // 1000
    try:
        raw = skill.signature.write_output(value)
    except InvalidOutput as error:
        return JobEnd(
            job=job,
            status="rejected",
            elapsed_us=elapsed_us,
            error_kind="InvalidOutput",
            error_message=redactor.clean(str(error))[:ERROR_TEXT_LIMIT],
        )
    found = redactor.found_in(raw, but_inputs=skill.signature.may_return_inputs)
    if found:
        return JobEnd(
            job=job,
            status="rejected",
            elapsed_us=elapsed_us,
            error_kind="SecretInResult",
            error_message=f"the result holds {found}, and results are written down",
        )
    if context is not None and context.missing:
        gaps = redactor.clean("missing " + "; ".join(context.missing))
        return JobEnd(
            job=job,
            status="ok",
            value=raw,
            elapsed_us=elapsed_us,
            confidence=confidence,
            incomplete=True,
            error_kind="Incomplete",
            error_message=gaps[:ERROR_TEXT_LIMIT],
        )
    return JobEnd(job=job, status="ok", value=raw, elapsed_us=elapsed_us, confidence=confidence)


def end_with_error(job: int, started_ns: int, error: BaseException) -> JobEnd:
    """The end of a handler that raised, or whose inputs did not fit.

    Errors that come again with any retry are ``rejected``: inputs that do not
    fit, `NoRetry`, and a child that was refused for good.
    """
    if isinstance(error, InvalidInput):
        text = redactor.clean(str(error))
    else:
        lines = traceback.format_exception(error, limit=-TRACEBACK_FRAMES)
        text = redactor.clean(f"{error}\n{''.join(lines)}")
        if len(text) > ERROR_TEXT_LIMIT:
            half = ERROR_TEXT_LIMIT // 2 - 8
            text = f"{text[:half]}\n[...]\n{text[-half:]}"
    rejected = isinstance(error, InvalidInput | NoRetry | Refused)
    return JobEnd(
        job=job,
        status="rejected" if rejected else "failed",
        elapsed_us=(clock_ns() - started_ns) // 1000,
        error_kind=type(error).__name__[:KIND_LIMIT],
        error_message=text,
    )


def end_stopped(job: LocalJob | int, started_ns: int, reason: str) -> JobEnd:
    """The end of a job that its peer stopped; `reason` is ``cancelled`` or ``timeout``."""
    number = job if isinstance(job, int) else job.job
    elapsed_us = (clock_ns() - started_ns) // 1000 if started_ns else 0
    status = "timeout" if reason == "timeout" else "cancelled"
    return JobEnd(
        job=number,
        status=status,
        elapsed_us=elapsed_us,
        error_kind="Timeout" if status == "timeout" else Cancelled.__name__,
        error_message=f"the attempt was stopped: {reason}",
    )
