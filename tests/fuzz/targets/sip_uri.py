"""SIP addresses, numbers, and who calls: read, written and read again, and cleaned.

The bytes are the text of one header or URI.
"""

from contextlib import suppress

from callcenter.errors import ProtocolError
from callcenter.published import number
from callcenter.telephony.sip import parties
from callcenter.telephony.sip.message import Request
from callcenter.telephony.sip.networks import address_of
from callcenter.telephony.sip.uri import (
    DEFAULT_PORTS,
    parse_name_addr,
    parse_params,
    parse_uri,
    parse_via,
)

PREFIXES = ("00", "011")


def one_input(data: bytes) -> None:
    """What can be read can be written, and then says the same."""
    text = " ".join(data.decode("utf-8", "surrogateescape").split())
    for read in (parse_uri, parse_name_addr, parse_via):
        with suppress(ProtocolError):
            found = read(text)
            assert str(read(str(found))) == str(found)
    with suppress(ProtocolError):
        peer = parse_uri(text).peer()
        assert peer.transport in DEFAULT_PORTS
        assert not (peer.srv and address_of(peer.host) is not None)
    with suppress(ProtocolError):
        parse_params(text)
    form = number.canonical(text, PREFIXES)
    assert number.canonical(form, PREFIXES) == form
    assert number.same(form, form)
    _who_calls(text)


def _who_calls(text: str) -> None:
    headers = [("from", text), *((name, text) for name in parties.READ), ("x-note", text)]
    invite = Request(headers, b"", "INVITE", "sip:a@b")
    try:
        parties.check(invite)
        _ = invite.from_
    except ProtocolError:  # refused before anybody asks
        return
    for trusted in (False, True):
        who = parties.caller(invite, trusted=trusted)
        assert who.isprintable()
        assert len(who) <= parties.MAX_NUMBER_CHARS
    for name, value in parties.attributes(invite).items():
        assert (name + value).isprintable()
        assert len(value) <= parties.MAX_ATTRIBUTE_CHARS
