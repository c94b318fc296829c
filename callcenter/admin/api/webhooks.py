"""Webhooks: where calls are reported to, what was delivered, and delivering it again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, BaseModel, Field, ValidationError
from sqlalchemy import select, update

from callcenter.admin import webhooks
from callcenter.admin.addresses import check_url
from callcenter.admin.api.common import (
    ERRORS,
    IfMatch,
    Reference,
    Stamp,
    WorkIn,
    get_tagged,
    merge_patch,
    stamped,
)
from callcenter.admin.api.pages import Page, WindowIn, list_documents
from callcenter.admin.problems import from_validation, not_found
from callcenter.admin.security.gate import ApiRoute, needs
from callcenter.admin.store import documents, tables
from callcenter.published.document import Document, Name, Title

_TABLE = tables.deliveries
Event = Literal["call.started", "call.answered", "call.ended", "call.refused"]
DeliveryState = Literal["", "pending", "delivered", "failed"]

routes = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], route_class=ApiRoute, responses=ERRORS)


class Webhook(Document):
    """Where calls are reported to.

    Attributes:
        url: address that gets a signed POST; http or https, without a user in it.
        events: what it is told of: a call that came in, was answered, ended, or got no agent.
        enabled: whether anything is sent.
    """

    name: Name
    title: Title
    url: Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(check_url)]
    events: Annotated[list[Event], Field(min_length=1, max_length=4)]
    enabled: bool = True


class WebhookView(Webhook, Stamp):
    """A webhook as it is stored; its secret is not shown again.

    Attributes:
        secret_number: how often the secret was replaced.
        old_secret_until: as long are requests signed by the secret before, too.
    """

    secret_number: int = 0
    old_secret_until: Annotated[datetime, Field(strict=False)] | None = None


class WebhookWithSecret(WebhookView):
    """A webhook on the one occasion when its secret is shown.

    Attributes:
        secret: signs every request, as the Standard Webhooks specification says; begins `whsec_`.
    """

    secret: str


class Delivery(BaseModel):
    """One report to one webhook.

    Attributes:
        event_id: sent as `webhook-id`, the same at every attempt.
        event: what happened, such as `call.ended`.
        payload: the body that is sent: `type`, `timestamp` and `data` of the call.
        state: pending, delivered, or failed after the last attempt.
        attempts: how often it was tried.
        next_attempt_at: when it is tried again; null when it is not.
        status: the receiver's last HTTP status; null if it did not answer.
        error: why the last attempt failed; empty if it did not.
        delivered_at: when the receiver answered 2xx; null before.
    """

    id: str
    event_id: str
    event: str
    payload: dict[str, Any]
    state: str
    attempts: int
    next_attempt_at: datetime | None
    status: int | None
    error: str
    created_at: datetime
    delivered_at: datetime | None


@routes.get("", response_model=Page[WebhookView], openapi_extra=needs("admin"))
async def list_webhooks(work: WorkIn, window: WindowIn) -> Any:
    """All webhooks, oldest first."""
    return await list_documents(work, "webhook", window)


@routes.post(
    "",
    status_code=HTTPStatus.CREATED,
    response_model=WebhookWithSecret,
    openapi_extra=needs("admin", replays=False),
)
async def create_webhook(body: Webhook, work: WorkIn, request: Request, response: Response) -> Any:
    """Creates a webhook; its signing secret is in this answer."""
    record = await documents.create(work, "webhook", body.name, body.model_dump(mode="json"))
    secret = webhooks.signing_secret(request.app.state.master_secret, record.id)
    return {**stamped(record, response), "secret": secret}


@routes.get("/{reference}", response_model=WebhookView, openapi_extra=needs("admin"))
async def get_webhook(reference: Reference, work: WorkIn, response: Response) -> Any:
    """One webhook."""
    return stamped(await documents.get(work.db, "webhook", reference), response)


@routes.patch("/{reference}", response_model=WebhookView)
async def change_webhook(
    reference: Reference,
    body: dict[str, Any],
    work: WorkIn,
    response: Response,
    if_match: IfMatch = None,
) -> Any:
    """Changes a webhook by a merge patch."""
    record = await get_tagged(work, "webhook", reference, if_match)
    try:
        changed = Webhook.model_validate(merge_patch(given(record.document), body))
    except ValidationError as error:
        raise from_validation(error) from None
    document = {**record.document, **changed.model_dump(mode="json")}
    return stamped(await documents.change(work, record, document), response)


@routes.post(
    "/{reference}/replace_secret",
    response_model=WebhookWithSecret,
    openapi_extra=needs("admin", replays=False),
)
async def replace_secret(
    reference: Reference, work: WorkIn, request: Request, response: Response
) -> Any:
    """Makes a new signing secret, shown in this answer; for a day the old one signs, too."""
    record = await documents.get(work.db, "webhook", reference)
    document = webhooks.replaced(record.document, work.now)
    record = await documents.change(work, record, document, action="replace_secret")
    master, number = request.app.state.master_secret, document["secret_number"]
    secret = webhooks.signing_secret(master, record.id, number)
    return {**stamped(record, response), "secret": secret}


@routes.delete("/{reference}", status_code=HTTPStatus.NO_CONTENT)
async def delete_webhook(reference: Reference, work: WorkIn, if_match: IfMatch = None) -> None:
    """Deletes a webhook and its deliveries."""
    record = await get_tagged(work, "webhook", reference, if_match)
    await documents.remove(work, record)


@routes.get("/{reference}/deliveries", openapi_extra=needs("admin"))
async def list_deliveries(
    reference: Reference,
    work: WorkIn,
    window: WindowIn,
    state: Annotated[DeliveryState, Query()] = "",
) -> Page[Delivery]:
    """What was and will be delivered, latest first."""
    record = await documents.get(work.db, "webhook", reference)
    query = select(_TABLE).where(_TABLE.c.webhook_id == record.id)
    if state:
        query = query.where(_TABLE.c.state == state)
    if window.after:
        query = query.where(_TABLE.c.id < window.after)
    rows = await work.db.execute(query.order_by(_TABLE.c.id.desc()).limit(window.rows))
    return Page[Delivery](**window.cut(rows.all(), lambda row: Delivery(**_shown(row._asdict()))))


@routes.post(
    "/{reference}/deliveries/{delivery}/redeliver",
    status_code=HTTPStatus.ACCEPTED,
    openapi_extra=needs("admin"),
)
async def redeliver(reference: Reference, delivery: str, work: WorkIn) -> Delivery:
    """Delivers again what was delivered or given up."""
    record = await documents.get(work.db, "webhook", reference)
    row = (await work.db.execute(webhooks.delivery_of(record.id, delivery))).first()
    if row is None:
        raise not_found("delivery", delivery)
    values = {"state": "pending", "attempts": 0, "next_attempt_at": work.now, "delivered_at": None}
    await work.db.execute(update(_TABLE).where(_TABLE.c.id == row.id).values(**values))
    await work.audit("redeliver", "webhook", record.name, after={"delivery": row.id})
    return Delivery(**{**_shown(row._asdict()), **values})


def given(document: Mapping[str, Any]) -> dict[str, Any]:
    """What people say of a webhook, without what is known of its secret."""
    return {name: document[name] for name in Webhook.model_fields if name in document}


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in Delivery.model_fields}
