"""An HTTP API before a mesh: FastAPI, one client for the whole process, errors as statuses.

mesh up -n 3 --agents docs/examples/tides.py --detach
uvicorn --app-dir docs/examples tides_api:app
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from tides import Tide, tide

from mesh import AsyncClient, NoPeer, Refused, TaskFailed


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Opens the client with the application: it fails over by itself from then on."""
    async with AsyncClient() as client:
        app.state.mesh = client
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/tides/{place}")
async def get_tide(place: str, request: Request) -> Tide:
    """Waits for the value; it has the function's own type."""
    mesh: AsyncClient = request.app.state.mesh
    return await mesh.options(deadline=10).call(tide, place=place)


@app.post("/tides", status_code=202)
async def order_tide(place: str, key: str, request: Request) -> dict[str, str]:
    """Accepts, and does not wait. The caller's key makes asking again harmless."""
    mesh: AsyncClient = request.app.state.mesh
    handle = await mesh.options(key=key).submit(tide, place=place)
    return {"task": handle.id}


@app.get("/tasks/{task}")
async def get_task(task: str, request: Request) -> dict[str, object]:
    """What has become of a task, whichever process submitted it."""
    mesh: AsyncClient = request.app.state.mesh
    known = await mesh.task(task)
    return {"state": known["state"], "result": known["result"], "error": known["error"]}


@app.exception_handler(TaskFailed)
async def failed(request: Request, error: TaskFailed) -> JSONResponse:
    """The handler failed, or there was no time: the fault is behind this server."""
    status = 504 if error.state == "expired" else 502
    return JSONResponse({"task": error.task, "kind": error.kind}, status)


@app.exception_handler(Refused)
async def refused(request: Request, error: Refused) -> JSONResponse:
    """Nothing was begun: the inputs do not fit, or the task is not known."""
    status = 404 if error.kind == "UnknownTask" else 422
    return JSONResponse({"kind": error.kind, "message": error.message}, status)


@app.exception_handler(NoPeer)
async def nobody(request: Request, error: NoPeer) -> JSONResponse:
    """No peer answers now; perhaps soon."""
    return JSONResponse({"kind": "NoPeer"}, 503, {"Retry-After": "5"})
