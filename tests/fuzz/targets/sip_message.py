"""SIP from a stream: cut into messages, every header and proof read, written and parsed again."""

from contextlib import suppress

from callcenter.errors import ProtocolError
from callcenter.telephony.sip.auth import parse_digest
from callcenter.telephony.sip.info import key_in
from callcenter.telephony.sip.message import Request, parse, reply
from callcenter.telephony.sip.splitter import StreamSplitter

HEADERS = ("Via", "From", "To", "Contact", "Route", "Record-Route", "Supported", "Require")


def one_input(data: bytes) -> None:
    """Reads the bytes as a TCP connection would bring them, in two pieces."""
    splitter, half = StreamSplitter(), len(data) // 2
    messages: list[bytes] = []
    with suppress(ProtocolError):
        messages += splitter.receive(data[:half])
        messages += splitter.receive(data[half:])
    for found in (*messages, data):
        _read(found)


def _read(data: bytes) -> None:
    try:
        message = parse(data)
        written = parse(message.encode())
    except ProtocolError:
        return
    assert type(written) is type(message)
    for name in HEADERS:
        message.listed(name)
    for read in ("call_id", "from_", "to", "via", "cseq", "contact", "content_type"):
        with suppress(ProtocolError):
            getattr(message, read)
    for name in ("Authorization", "Proxy-Authorization"):
        parse_digest(message.text(name))
    if isinstance(message, Request):
        with suppress(ProtocolError):
            key_in(message)
        with suppress(ProtocolError):
            parse(reply(message, 400, to_tag="tag").encode())
