"""How tests and demonstrations look into the sandbox and steer it. Not for DOMS: no partner has this."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import BaseModel, Field, TypeAdapter, ValidationError, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from shared.domain.base import Document, Model
from workers.sandbox import shelves
from workers.sandbox.config import Behaviour
from workers.sandbox.faults import Fault, Faults
from workers.sandbox.log import SELECT_EFFECTS, Effect, effects_of
from workers.sandbox.world import World

T = TypeVar("T", bound=BaseModel)

_EFFECTS = TypeAdapter(list[Effect])


class Override(Document):
    """Have a node or a reference (or all under it) behave in one way; without a behaviour, as chance has it."""

    node_id: str = ""
    reference: str = ""
    behaviour: Behaviour | None = None

    @model_validator(mode="after")
    def _names_one(self) -> Override:
        if bool(self.node_id) == bool(self.reference):
            raise ValueError("name either a node_id or a reference")
        return self


class Shelf(Document):
    """Units put on a node's shelf, or taken away when negative, without anybody telling DOMS."""

    node_id: str
    sku: str
    units: int


_SHELVES = TypeAdapter(list[Shelf])


class LogQuery(Model):
    """Which effects to read: those after a number, in order."""

    partner: str = ""
    effect: str = ""
    after: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000


class Pending(Model):
    """What the outside world has still to do. ``waiting_for_labels`` waits for DOMS, not for time.

    Attributes:
        actions: Scheduled actions of partners, messages not among them.
        messages: Messages that DOMS has not taken yet.
    """

    actions: int
    messages: int
    waiting_for_labels: int
    next_due: float | None

    @property
    def quiet(self) -> bool:
        return self.actions + self.messages == 0


def control_routes(world: World, faults: Faults) -> list[Route]:
    panel = Panel(world, faults)
    return [
        Route("/health", panel.health),
        Route("/pending", panel.pending),
        Route("/log", panel.log),
        Route("/control/behaviour", panel.behaviour, methods=["POST"]),
        Route("/control/faults", panel.faults, methods=["POST"]),
        Route("/control/stock", panel.stock, methods=["POST"]),
    ]


class Panel:
    """The control interface of one sandbox."""

    def __init__(self, world: World, faults: Faults) -> None:
        self._world = world
        self._faults = faults

    async def health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def pending(self, _: Request) -> Response:
        pending = pending_of(self._world)
        # What it no longer counts must be in the log for whoever reads the file next.
        await self._world.store.commit()
        return _json(pending)

    async def log(self, request: Request) -> Response:
        query = _read(LogQuery, dict(request.query_params))
        if isinstance(query, Response):
            return query
        await self._world.store.commit()
        partner, effect = query.partner, query.effect
        rows = self._world.store.all(SELECT_EFFECTS, query.after, partner, partner, effect, effect, query.limit)
        effects = effects_of(rows)
        more = effects[-1].seq if len(effects) == query.limit else None
        return JSONResponse({"effects": _EFFECTS.dump_python(effects), "next": more})

    async def behaviour(self, request: Request) -> Response:
        override = _read(Override, await request.body())
        if isinstance(override, Response):
            return override
        self._world.override(override.node_id or override.reference, override.behaviour)
        await self._world.store.commit()
        return _json(override)

    async def faults(self, request: Request) -> Response:
        fault = _read(Fault, await request.body())
        if isinstance(fault, Response):
            return fault
        self._faults.set(fault)
        return _json(fault)

    async def stock(self, request: Request) -> Response:
        try:
            put = _SHELVES.validate_json(await request.body())
        except ValidationError as error:
            return _refused(error)
        for shelf in put:
            shelves.put(self._world, shelf.node_id, shelf.sku, shelf.units)
        await self._world.store.commit()
        return JSONResponse({"put": len(put)})


def pending_of(world: World) -> Pending:
    row = world.store.one(
        "SELECT count(*) FILTER (WHERE name <> 'post') AS actions, count(*) FILTER (WHERE name = 'post') AS messages,"
        " (SELECT count(*) FROM job WHERE awaiting > 0) AS waiting_for_labels, min(due) AS next_due FROM action"
    )
    assert row is not None
    return Pending.model_validate(dict(row))


def _read(model: type[T], data: bytes | dict[str, str]) -> T | Response:
    try:
        return model.model_validate_json(data) if isinstance(data, bytes) else model.model_validate(data)
    except ValidationError as error:
        return _refused(error)


def _refused(error: ValidationError) -> Response:
    return Response(error.json(include_url=False, include_context=False), 422, media_type="application/json")


def _json(model: BaseModel) -> Response:
    return Response(model.model_dump_json(), media_type="application/json")
