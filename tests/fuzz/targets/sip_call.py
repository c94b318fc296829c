"""A SIP endpoint with a live call: whatever comes, the call's own BYE still ends it.

The bytes are messages with a line of `----` between them; `TAG` in them is the live call's tag.
"""

from callcenter.errors import ProtocolError
from callcenter.telephony.sip.call import SipCall
from callcenter.telephony.sip.message import parse
from tests.unit.callcenter.telephony.sip.conftest import PEER, answered, inside, make_endpoint

BETWEEN = b"\n----\n"
MAX_MESSAGES = 8


def one_input(data: bytes) -> None:
    """Sends the messages from the trunk's address, a second apart."""
    endpoint = make_endpoint()
    live = answered(endpoint)
    tag = live.dialog.id.local_tag
    now = 1.0
    for part in data.replace(b"TAG", tag.encode()).split(BETWEEN)[:MAX_MESSAGES]:
        try:
            endpoint.receive(part, PEER, now)
        except ProtocolError:
            continue
        finally:
            now += 1.0
        for _, message in endpoint.outgoing():
            parse(message)
        for event in endpoint.events():
            if isinstance(event, tuple) and isinstance(event[0], SipCall):
                endpoint.settle(event[0], now)
        endpoint.handle_timer(now)
    if len(endpoint):
        endpoint.receive(inside("BYE", tag, "4000000"), PEER, now)
