"""Which requests are refused before anybody looks at what they want (RFC 3261 8.1.1, 8.2.2).

Looks at one request alone: it knows no transaction, no dialog and no call.
"""

from __future__ import annotations

import re

from callcenter.errors import ProtocolError
from callcenter.telephony.sip.message import BadRequest, Request
from callcenter.telephony.sip.names import spelled
from callcenter.telephony.sip.sdp import SDP_TYPE
from callcenter.telephony.sip.transaction import is_rfc2543
from callcenter.telephony.sip.uri import parse_via, whole_number

NEED_CONTACT = ("INVITE", "UPDATE", "REFER", "SUBSCRIBE")


def check(request: Request) -> None:
    """Refuses a request that breaks a rule (RFC 3261 8.1.1, 8.2; RFC 4475 3.1.2, 3.3).

    Raises:
        BadRequest: with the status of the answer.
        ProtocolError: it cannot even be answered.
    """
    _ = request.via
    if request.fault is not None:
        raise request.fault
    for name in ("call-id", "from", "to", "cseq"):
        values = [value for key, value in request.headers if key == name]
        if len(values) != 1 or not values[0].strip():
            raise BadRequest(400, f"needs exactly one {spelled(name)}")
    try:
        _check_values(request)
    except BadRequest:
        raise
    except ProtocolError as error:
        raise BadRequest(400, str(error)) from None


def _check_values(request: Request) -> None:
    number, method = request.cseq
    del number
    if method != request.method:
        raise BadRequest(400, f"CSeq says {method[:20]!r}, the request {request.method[:20]!r}")
    for via in request.listed("via"):
        parse_via(via)
    _ = request.to, request.record_routes
    if not request.from_.param("tag") and not is_rfc2543(request):
        raise BadRequest(400, "From has no tag")
    hops = request.get("max-forwards")
    if hops is not None and whole_number(hops.strip(), 255) is None:
        raise BadRequest(400, "Max-Forwards is no number from 0 to 255")
    _check_uri(request)
    if request.method in NEED_CONTACT and request.contact is None and not is_rfc2543(request):
        raise BadRequest(400, "needs a Contact")
    if request.method in ("INVITE", "UPDATE") and not _accepts_sdp(request):
        raise BadRequest(406, "", (("accept", SDP_TYPE),))


def _check_uri(request: Request) -> None:
    scheme = re.match(r"([a-z][a-z0-9+.-]*):", request.uri_text, re.IGNORECASE)
    if scheme is not None and scheme[1].lower() not in ("sip", "sips", "tel"):
        raise BadRequest(416, "Unsupported URI Scheme")
    if request.uri.headers:
        raise BadRequest(400, "a Request-URI has no headers")


def _accepts_sdp(request: Request) -> bool:
    """RFC 3261 20.1: without Accept, SDP is what is accepted."""
    types = {value.partition(";")[0].strip() for value in request.tokens("accept")}
    return not types or bool(types & {SDP_TYPE, "application/*", "*/*"})
