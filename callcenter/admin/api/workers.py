"""Workers and pools, as the broker's books have them; draining."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from fastapi import APIRouter, Request
from pydantic import BaseModel

from callcenter.admin.api.common import ERRORS, Reference, WorkIn
from callcenter.admin.problems import not_found, redis_unavailable
from callcenter.admin.security.gate import ApiRoute, needs
from callcenter.broker.broker import Broker
from callcenter.broker.placement import WorkerInfo
from callcenter.errors import BrokerUnavailable

routes = APIRouter(prefix="/v1", tags=["workers"], route_class=ApiRoute, responses=ERRORS)


class WorkerView(BaseModel):
    """A worker.

    Attributes:
        state: open or draining.
        primed: prompt hashes that start at once there.
    """

    id: str
    pool: str
    url: str
    kind: str
    model: str
    state: str
    slots: int
    used: int
    primed: list[str]
    tick_p99_ms: float
    heartbeat_age_s: float


class PoolView(BaseModel):
    """A pool: workers that take the same calls.

    Attributes:
        slots: of the workers that are not draining.
        used: of all workers, until their calls are over.
        free: slots that a new call may have.
    """

    name: str
    workers: int
    draining: int
    slots: int
    used: int
    free: int


@routes.get("/workers")
async def list_workers(request: Request) -> list[WorkerView]:
    """All live workers."""
    return [_view(worker) for worker in await workers_of(request)]


@routes.get("/workers/{reference}")
async def get_worker(reference: Reference, request: Request) -> WorkerView:
    """One worker."""
    return _view(await _get(request, reference))


@routes.post(
    "/workers/{reference}/drain",
    status_code=HTTPStatus.ACCEPTED,
    openapi_extra=needs("operator"),
)
async def drain_worker(reference: Reference, work: WorkIn, request: Request) -> WorkerView:
    """Sends no new call to a worker; live ones end by themselves. Only a restart opens it again."""
    worker = await _get(request, reference)
    broker: Broker = request.app.state.brokers[worker.pool]
    try:
        await broker.drain(worker.worker_id)
    except BrokerUnavailable as error:
        raise redis_unavailable(error) from None
    await work.audit("drain", "worker", worker.worker_id, before={"state": worker.state})
    return _view(worker).model_copy(update={"state": "draining"})


@routes.get("/pools")
async def list_pools(request: Request) -> list[PoolView]:
    """All pools that this admin app looks after."""
    return pools_of(list(request.app.state.brokers), await workers_of(request))


def pools_of(names: Sequence[str], workers: Sequence[WorkerInfo]) -> list[PoolView]:
    """Sums up workers by their pools."""
    return [_pool(name, [worker for worker in workers if worker.pool == name]) for name in names]


def _pool(name: str, workers: Sequence[WorkerInfo]) -> PoolView:
    able = [worker for worker in workers if worker.state == "open"]
    return PoolView(
        name=name,
        workers=len(workers),
        draining=sum(worker.state == "draining" for worker in workers),
        slots=sum(worker.slots for worker in able),
        used=sum(worker.used for worker in workers),
        free=sum(worker.free for worker in able),
    )


async def workers_of(request: Request) -> list[WorkerInfo]:
    """The books of all pools; a Problem (503) without Redis."""
    found: list[WorkerInfo] = []
    try:
        for broker in request.app.state.brokers.values():
            found += await broker.workers()
    except BrokerUnavailable as error:
        raise redis_unavailable(error) from None
    return found


async def _get(request: Request, reference: str) -> WorkerInfo:
    for worker in await workers_of(request):
        if worker.worker_id == reference:
            return worker
    raise not_found("worker", reference)


def _view(worker: WorkerInfo) -> WorkerView:
    names = [name for name in WorkerView.model_fields if name not in ("id", "primed")]
    fields = {name: getattr(worker, name) for name in names}
    return WorkerView(id=worker.worker_id, primed=sorted(worker.primed), **fields)
