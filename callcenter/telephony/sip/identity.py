"""How the far end reaches us: Contact and Via of every transport."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from callcenter.telephony.sip.uri import DEFAULT_PORTS, SipUri, Via, bracketed

_USER = "-_.!~*'()&=+$,;?/%"  # beside letters and digits (RFC 3261 25.1); "%" escapes already


@dataclass(frozen=True, slots=True)
class Identity:
    """Our addresses.

    Attributes:
        host: advertised address.
        ports: transport -> advertised port.
    """

    host: str
    ports: dict[str, int]

    def uri(self, user: str) -> SipUri:
        """Our address of record under a name; what may not stand in a URI is escaped (19.1.2)."""
        return SipUri("sip", quote(user, safe=_USER), bracketed(self.host))

    def contact(self, transport: str) -> str:
        """Our Contact on a transport."""
        suffix = "" if transport == "udp" else f";transport={transport}"
        return f"<sip:{bracketed(self.host)}:{self._port(transport)}{suffix}>"

    def via(self, transport: str, branch: str) -> str:
        """Our Via on a transport."""
        params = {"branch": branch, "rport": ""}
        return str(Via(transport, bracketed(self.host), self._port(transport), params))

    def _port(self, transport: str) -> int:
        return self.ports.get(transport, DEFAULT_PORTS.get(transport, 5060))
