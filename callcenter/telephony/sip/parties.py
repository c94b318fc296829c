"""Who calls, and by which way a call came, as its INVITE tells.

    From                   what the caller's own end says: anybody can write anything
    P-Asserted-Identity    what a network says that knows its subscribers (RFC 3325)
    Remote-Party-ID        the same, as older gear says it (draft-ietf-sip-privacy)
    Diversion              who sent the call on, and why (RFC 5806)
    History-Info           whom it was for at first (RFC 7044)
    Privacy                who calls is not to be shown (RFC 3323, RFC 3325 9.3, RFC 7044 10.1)

All of it is personal data. Whether the network is believed is the trunk's to say.
"""

from __future__ import annotations

from collections.abc import Iterator

from callcenter.errors import ProtocolError
from callcenter.telephony.sip.message import Request
from callcenter.telephony.sip.text import clean
from callcenter.telephony.sip.uri import NameAddr, parse_name_addr

ANONYMOUS = "anonymous"
MAX_NUMBER_CHARS = 128  # E.164 has 15 digits; a PBX may use names
MAX_NAME_CHARS = 64
MAX_ATTRIBUTES = 32
MAX_ATTRIBUTE_CHARS = 512
MAX_ADDRESSES = 16  # of one header that are looked at

READ = ("privacy", "p-asserted-identity", "remote-party-id", "diversion", "history-info")

_WITHHELD = {"id", "user", "header"}
_OPEN = {"", "off", "no", "none"}  # of a Remote-Party-ID or Diversion


def check(invite: Request) -> None:
    """Judges what is read here, so that reading it later raises nothing.

    Raises:
        ProtocolError: a header of more values than any has.
    """
    for header in READ:
        invite.listed(header)


def caller(invite: Request, *, trusted: bool) -> str:
    """The calling number or name as it is written; "anonymous" if it is not to be shown.

    Args:
        invite: of the call.
        trusted: the network's word counts before the caller's own.
    """
    if is_withheld(invite):
        return ANONYMOUS
    named = ("p-asserted-identity", "remote-party-id") if trusted else ()
    for header in named:
        for address in _addresses(invite, header):
            if address.uri.telephone:
                return clean(address.uri.telephone, MAX_NUMBER_CHARS)
    return clean(invite.from_.uri.telephone, MAX_NUMBER_CHARS)


def is_withheld(invite: Request) -> bool:
    """Whether the caller, or the network for him, asks that nobody learns who calls."""
    wishes = _privacy(invite)
    if wishes & _WITHHELD and "none" not in wishes:
        return True
    return any(
        (address.param("privacy") or "").lower() not in _OPEN
        for address in _addresses(invite, "remote-party-id")
    )


def attributes(invite: Request) -> dict[str, str]:
    """What else the INVITE tells, by names in lower case; bounded.

    X- headers as they stand; the number or address of the first P-Asserted-Identity,
    Remote-Party-ID, Diversion (with `diversion-reason`) and History-Info; Privacy. Nothing that
    its sender asks to keep back.
    """
    found = [(name, value) for name, value in invite.headers if name.startswith("x-")]
    found = [*_parties(invite), *found]
    return {
        clean(name, MAX_NAME_CHARS): clean(value, MAX_ATTRIBUTE_CHARS)
        for name, value in found[:MAX_ATTRIBUTES]
    }


def _parties(invite: Request) -> Iterator[tuple[str, str]]:
    wishes = _privacy(invite)
    if wishes:
        yield "privacy", ";".join(sorted(wishes))
    if not is_withheld(invite):
        for header in ("p-asserted-identity", "remote-party-id"):
            for address in _first(_addresses(invite, header)):
                yield header, address.uri.telephone
    if "history" in wishes and "none" not in wishes:
        return
    for address in _first(_addresses(invite, "diversion")):
        if (address.param("privacy") or "").lower() in _OPEN:
            yield "diversion", address.uri.telephone
            yield "diversion-reason", (address.param("reason") or "unknown").lower()
    for address in _first(_addresses(invite, "history-info")):
        if "privacy=" not in address.uri.headers.lower():
            yield "history-info", address.uri.telephone


def _privacy(invite: Request) -> set[str]:
    """The wishes in Privacy: separated by ";", and by "," where several were written."""
    return {wish.strip() for value in invite.tokens("privacy") for wish in value.split(";")} - {""}


def _addresses(invite: Request, header: str) -> Iterator[NameAddr]:
    for text in invite.listed(header)[:MAX_ADDRESSES]:
        try:
            yield parse_name_addr(text)
        except ProtocolError:  # somebody's mistake on the way: it tells nothing, the call goes on
            continue


def _first(addresses: Iterator[NameAddr]) -> list[NameAddr]:
    return [address for _, address in zip(range(1), addresses, strict=False)]
