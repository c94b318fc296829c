"""SIP URIs, addresses in headers, Via values (RFC 3261 19.1, 20.10, 20.42).

Tolerant where the RFC's grammar is wider than anything seen on a trunk: what is not understood is
carried as text. It knows no message and no socket.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from callcenter.errors import MessageTooLarge, ProtocolError
from callcenter.telephony.sip.networks import is_address

MAX_VALUES = 256  # in one header, or parameters of one value
DEFAULT_PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}

_URI = re.compile(
    r"(?P<scheme>sips?|tel):(?:(?P<user>[^@>\s]*)@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:;?>\s@]*)(?::(?P<port>\d+))?"
    r"(?P<params>(?:;[^?>\s]*)?)(?:\?(?P<headers>[^>\s]*))?",
    re.IGNORECASE,
)
_VIA = re.compile(
    r"SIP\s*/\s*(?P<version>\d\.\d)\s*/\s*(?P<transport>\w+)\s+"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:;]+)(?:\s*:\s*(?P<port>\d+))?\s*(?P<params>(?:;.*)?)",
    re.IGNORECASE | re.DOTALL,
)
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_QUOTED_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)  # RFC 3261 25.1
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_ANGLED_URI = re.compile(r"<\s*(?:sips?|tel):", re.IGNORECASE)
_NEEDS_QUOTES = re.compile(r'[\s",;<>\\]')

# Every quantifier that could be tried again is possessive (*+): no text makes them look twice.
_QUOTED = r'"(?:[^"\\]|\\.)*+"?'
_ANGLED = rf'<(?:[^>"]|{_QUOTED})*+>?'
_PIECES = {  # separator -> what stands for itself, or the separator
    char: re.compile(rf"{_QUOTED}|{_ANGLED}|\\.|{char}", re.DOTALL) for char in ",;"
}
_BEFORE_ANGLE = re.compile(rf'(?:[^"<\\]|\\.|{_QUOTED})*+', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a hop.

    Attributes:
        transport: "udp", "tcp" or "tls".
        host: address as the socket has it, without brackets.
        port: of a stream, the far end's own port: it names the connection.
        srv: the host is a name and the port only the transport's default: SRV records may name
            another one (RFC 3263 4.2).
    """

    transport: str
    host: str
    port: int
    srv: bool = field(default=False, compare=False)

    @property
    def reliable(self) -> bool:
        """Whether the transport itself repeats what got lost."""
        return self.transport != "udp"


@dataclass(frozen=True, slots=True)
class SipUri:
    """A sip, sips or tel URI; `params` keep their order, a parameter without value has ""."""

    scheme: str
    user: str
    host: str
    port: int | None = None
    params: tuple[tuple[str, str], ...] = ()
    headers: str = ""

    def param(self, name: str) -> str | None:
        """A parameter's value; "" for one without, None when it is not there."""
        return dict(self.params).get(name)

    @property
    def transport(self) -> str:
        """Where a request to this URI goes: its own wish, TLS for sips, else UDP."""
        if self.scheme == "sips":
            return "tls"
        return (self.param("transport") or "udp").lower()

    def over(self, transport: str) -> SipUri:
        """The same with a transport, where it wishes for none and would mean another."""
        if self.param("transport") is not None or self.transport == transport:
            return self
        return replace(self, params=(*self.params, ("transport", transport)))

    @property
    def telephone(self) -> str:
        """What is dialled, as written: the user, with a telephone number's parameters."""
        return self.user + join_params(self.params) if self.scheme == "tel" else self.user

    def peer(self) -> Peer:
        """The hop that the URI names; `maddr` stands before the host (RFC 3261 19.1.1)."""
        transport = self.transport if self.transport in DEFAULT_PORTS else "udp"
        host = (self.param("maddr") or self.host).strip("[]").lower()
        srv = self.port is None and not is_address(host)
        return Peer(transport, host, self.port or DEFAULT_PORTS[transport], srv)

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user and self.scheme != "tel" else self.user
        host = f"{self.host}:{self.port}" if self.port is not None else self.host
        headers = f"?{self.headers}" if self.headers else ""
        return f"{self.scheme}:{user}{host}{join_params(self.params)}{headers}"


@dataclass(frozen=True, slots=True)
class NameAddr:
    """A From, To, Contact, Route or Refer-To value.

    Attributes:
        display: the name without quotes and escapes; quoted again when it is written.
    """

    uri: SipUri
    display: str = ""
    params: tuple[tuple[str, str], ...] = ()

    def param(self, name: str) -> str | None:
        """A header parameter, such as `tag` or `expires`."""
        return dict(self.params).get(name)

    def tagged(self, tag: str) -> NameAddr:
        """The same with a tag; one that is there stays."""
        if self.param("tag") is not None:
            return self
        return replace(self, params=(*self.params, ("tag", tag)))

    def __str__(self) -> str:
        display = f"{quoted(self.display)} " if self.display else ""
        return f"{display}<{self.uri}>{join_params(self.params)}"


@dataclass(frozen=True, slots=True)
class Via:
    """One Via value."""

    transport: str
    host: str
    port: int | None
    params: dict[str, str] = field(default_factory=dict)
    version: str = "2.0"

    @property
    def branch(self) -> str:
        """The transaction's name; "" where an RFC 2543 peer gave none."""
        return self.params.get("branch", "")

    @property
    def sent_by(self) -> str:
        """Host and port, for matching transactions (RFC 3261 17.2.3)."""
        return f"{self.host.lower()}:{self.port or DEFAULT_PORTS.get(self.transport, 5060)}"

    def stamped(self, peer: Peer) -> Via:
        """The same with `received` and `rport` of where it really came from (RFC 3581 4)."""
        params = dict(self.params)
        if "rport" in params:
            params["rport"] = str(peer.port)
        if "rport" in params or self.host.strip("[]").lower() != peer.host:
            params["received"] = peer.host
        return replace(self, params=params)

    def __str__(self) -> str:
        port = f":{self.port}" if self.port is not None else ""
        return (
            f"SIP/{self.version}/{self.transport.upper()} {self.host}{port}"
            f"{join_params(tuple(self.params.items()))}"
        )


def parse_uri(text: str) -> SipUri:
    """Reads a URI.

    Raises:
        ProtocolError: it is none that a telephone call can have.
    """
    match = _URI.fullmatch(text.strip())
    if match is None:
        raise ProtocolError(f"not a sip, sips or tel URI: {text[:80]!r}")
    scheme, host = match["scheme"].lower(), match["host"]
    if "@" in match["params"] and not match["user"]:
        raise ProtocolError(f"a URI whose user is behind its parameters: {text[:80]!r}")
    if scheme == "tel":  # the number stands where a host would
        if match["user"] is not None:
            raise ProtocolError(f"a tel URI has no host (RFC 3966 3): {text[:80]!r}")
        return SipUri("tel", host, "", None, parse_params(match["params"]))
    if not host:
        raise ProtocolError(f"a URI without a host: {text[:80]!r}")
    return SipUri(
        scheme,
        match["user"] or "",
        host.lower(),
        parse_port(match["port"]),
        parse_params(match["params"]),
        match["headers"] or "",
    )


def parse_name_addr(text: str) -> NameAddr:
    """Reads `"Display" <uri>;params` or `uri;params` (RFC 3261 20.10: those are the header's).

    Raises:
        ProtocolError: no URI in it.
    """
    text = text.strip()
    if "<" not in text:
        bare, _, params = text.partition(";")
        return NameAddr(parse_uri(bare), "", parse_params(";" + params if params else ""))
    start = _angle(text)
    end = text.find(">", start)
    if start < 0 or end < 0:
        raise ProtocolError(f"an address without its closing '>': {text[:80]!r}")
    display = _display(text[:start])
    return NameAddr(parse_uri(text[start + 1 : end]), display, parse_params(text[end + 1 :]))


def quoted(text: str) -> str:
    """A quoted-string (RFC 3261 25.1); what could end a line is left out."""
    inside = "".join(char for char in text if char not in "\r\n\0")
    return '"' + inside.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unquoted(text: str) -> str:
    """The text of a quoted-string; any other text without a quote that has no partner."""
    found = _QUOTED_STRING.fullmatch(text)
    return text.strip('"') if found is None else _QUOTED_PAIR.sub(r"\1", found[1])


def parse_via(text: str) -> Via:
    """Reads one Via value.

    Raises:
        ProtocolError: malformed, or a port that is none.
    """
    match = _VIA.fullmatch(text.strip())
    if match is None:
        raise ProtocolError(f"not a Via: {text[:80]!r}")
    params = dict(parse_params(match["params"]))
    transport, port = match["transport"].lower(), parse_port(match["port"])
    return Via(transport, match["host"], port, params, match["version"])


def whole_number(text: str, highest: int) -> int | None:
    """A number in ASCII digits up to a limit; None for anything else.

    `str.isdigit` alone lets "²" through, and `int` refuses thousands of digits with a ValueError.
    """
    if not (text.isascii() and text.isdigit()) or len(text.lstrip("0")) > len(str(highest)):
        return None
    number = int(text.lstrip("0") or "0")
    return number if number <= highest else None


def parse_port(text: str | None) -> int | None:
    """Reads a port.

    Raises:
        ProtocolError: not between 1 and 65535.
    """
    if text is None:
        return None
    port = whole_number(text, 65_535)
    if not port:
        raise ProtocolError(f"port {text[:12]} is none: 1 to 65535")
    return port


def parse_params(text: str) -> tuple[tuple[str, str], ...]:
    """Reads `;name=value;name`; names in lower case, values without quotes and escapes.

    A name with a quote or a bracket in it is left out: written again it would mean something else.
    """
    params = []
    for piece in split_unquoted(text, ";"):
        name, _, value = piece.partition("=")
        name = name.strip().lower()
        if name and not _NEEDS_QUOTES.search(name):
            params.append((name, unquoted(value.strip())))
    return tuple(params)


def join_params(params: tuple[tuple[str, str], ...]) -> str:
    """Writes what `parse_params` reads."""
    return "".join(
        f";{name}={_param_value(value)}" if value else f";{name}" for name, value in params
    )


def split_unquoted(text: str, separator: str) -> list[str]:
    """Splits at "," or ";" where it stands neither in quotes nor in <>; one pass over the text.

    Raises:
        MessageTooLarge: more than MAX_VALUES pieces.
    """
    if '"' not in text and "<" not in text:
        pieces = text.split(separator, MAX_VALUES)
    else:
        pieces = _split(text, separator)
    if len(pieces) > MAX_VALUES:
        raise MessageTooLarge(f"more than {MAX_VALUES} values in one header")
    return pieces


def _split(text: str, separator: str) -> list[str]:
    pieces, start = [], 0
    for found in _PIECES[separator].finditer(text):
        if found[0] == separator:
            pieces.append(text[start : found.start()])
            start = found.end()
            if len(pieces) > MAX_VALUES:
                break
    return [*pieces, text[start:]]


def first_value(text: str) -> str:
    """The first of a list's values: what comes after it is not read."""
    for found in _PIECES[","].finditer(text):
        if found[0] == ",":
            return text[: found.start()].strip()
    return text.strip()


def unescape(text: str) -> str:
    """Turns %41 into A (RFC 3261 19.1.2)."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)


def bracketed(host: str) -> str:
    """A host as URIs and Via want it: IPv6 in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _param_value(value: str) -> str:
    return quoted(value) if _NEEDS_QUOTES.search(value) else value


def _angle(text: str) -> int:
    """Where the URI's "<" stands; -1 for none.

    Behind a name whose quotes don't match it is the only one with a URI: with two of them nobody
    knows which is meant (RFC 4475 3.1.2.6).
    """
    whole = _QUOTED_STRING.match(text)
    rest = whole.end() if whole else 0
    start = text.find("<", rest)
    if whole and start >= 0 and not text[rest:start].strip():
        return start
    if '"' not in text[:start]:
        return start
    found = [match.start() for match in _ANGLED_URI.finditer(text)]
    return found[0] if len(found) == 1 else -1


def _display(text: str) -> str:
    """A display name: a quoted-string, or tokens, or whatever somebody took for one of them."""
    return unquoted(text.strip()).replace("\0", "")
