"""Which requests are refused before anybody looks at what they want (RFC 3261 8.1.1, 8.2.2).

Looks at one request alone: it knows no transaction, no dialog and no call.
"""

from __future__ import annotations

import re

from callcenter.errors import ProtocolError
from callcenter.telephony.sip.message import BadRequest, Request
from callcenter.telephony.sip.names import spelled
from callcenter.telephony.sip.uri import whole_number


def check(request: Request) -> None:
    """Refuses a request that breaks a rule (RFC 3261 8.1.1, 8.2; RFC 4475 3.1.2, 3.3).

    Raises:
        BadRequest: with the status of the answer.
        ProtocolError: it cannot even be answered.
    """
    _ = request.via
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
    if not request.from_.param("tag"):
        raise BadRequest(400, "From has no tag")
    _ = request.to
    hops = request.get("max-forwards")
    if hops is not None and whole_number(hops.strip(), 255) is None:
        raise BadRequest(400, "Max-Forwards is no number from 0 to 255")
    if not re.match(r"(sips?|tel):", request.uri_text, re.IGNORECASE):
        raise BadRequest(416, "Unsupported URI Scheme")
    _ = request.uri
    if request.method in ("INVITE", "UPDATE", "REFER", "SUBSCRIBE") and request.contact is None:
        raise BadRequest(400, "needs a Contact")
