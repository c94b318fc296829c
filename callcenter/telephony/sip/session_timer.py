"""Session timers: a call whose far end vanished does not stay for ever (RFC 4028).

It knows times and roles; sending the refresh, and the BYE, is the call's.
"""

from __future__ import annotations

from dataclasses import dataclass

from callcenter.errors import ProtocolError
from callcenter.telephony.sip.message import BadRequest, Message, Request, Response
from callcenter.telephony.sip.uri import parse_params, whole_number

MIN_SE_S = 90  # RFC 4028 5: not below
WANTED_S = 1_800
LONGEST_SE_S = 999_999_999


@dataclass(slots=True)
class SessionTimer:
    """The timer of one call.

    Attributes:
        interval_s: agreed; None when there is no timer.
        we_refresh: whether the refreshing is ours.
    """

    interval_s: int | None = None
    we_refresh: bool = False
    _since_s: float = 0.0
    _refreshing: bool = False

    def judge(self, request: Request) -> None:
        """Looks at an INVITE's or UPDATE's wish.

        Raises:
            BadRequest: 422, the interval is too short.
        """
        interval_s = _interval(request)
        if interval_s is not None and interval_s < MIN_SE_S:
            raise BadRequest(422, "Session Interval Too Small", (("min-se", str(MIN_SE_S)),))

    def answer(self, request: Request, now: float) -> list[tuple[str, str]]:
        """Agrees to a wish; returns the headers of the 2xx (RFC 4028 9)."""
        interval_s = _interval(request)
        supported = "timer" in request.tokens("supported")
        if interval_s is None and not supported:
            self._restart(None, we_refresh=False, now=now)
            return []
        refresher = _refresher(request) or ("uac" if supported else "uas")
        self._restart(interval_s or WANTED_S, we_refresh=refresher == "uas", now=now)
        headers = [("session-expires", f"{self.interval_s};refresher={refresher}")]
        return [*headers, ("require", "timer")] if supported else headers

    def wish(self) -> list[tuple[str, str]]:
        """Headers of a refresh of ours."""
        if self.interval_s is None:
            return []
        role = "uac" if self.we_refresh else "uas"
        return [
            ("supported", "timer"),
            ("session-expires", f"{self.interval_s};refresher={role}"),
            ("min-se", str(MIN_SE_S)),
        ]

    def refreshed(self, response: Response, now: float) -> None:
        """A refresh of ours was accepted."""
        self._refreshing = False
        interval_s = _interval(response)
        we_refresh = _refresher(response) != "uas"
        self._restart(interval_s, we_refresh=we_refresh, now=now)

    def refused(self, response: Response) -> None:
        """A refresh of ours was refused; a 422 says how long the interval must be at least."""
        least_s = whole_number(response.text("min-se").partition(";")[0].strip(), LONGEST_SE_S)
        if response.status == 422 and self.interval_s is not None:
            self.interval_s = max(self.interval_s, least_s or 0)

    def next_timer(self) -> float | None:
        """When to refresh, or when the far end has failed to."""
        if self.interval_s is None:
            return None
        if self.we_refresh and not self._refreshing:
            return self._since_s + self.interval_s / 2
        return self._since_s + self.interval_s - min(32.0, self.interval_s / 3)

    def due(self, now: float) -> str | None:
        """What is due: "refresh", "expired" or nothing."""
        at = self.next_timer()
        if at is None or now < at:
            return None
        if self.we_refresh and not self._refreshing:
            self._refreshing = True
            return "refresh"
        return "expired"

    def _restart(self, interval_s: int | None, *, we_refresh: bool, now: float) -> None:
        self.interval_s, self.we_refresh, self._since_s = interval_s, we_refresh, now
        self._refreshing = False


def _interval(message: Message) -> int | None:
    text = message.text("session-expires").partition(";")[0].strip()
    if not text:
        return None
    interval_s = whole_number(text, LONGEST_SE_S)
    if interval_s is None:
        raise ProtocolError(f"not a Session-Expires: {text[:20]!r}")
    return interval_s


def _refresher(message: Message) -> str | None:
    _, _, params = message.text("session-expires").partition(";")
    refresher = dict(parse_params(params)).get("refresher")
    return refresher.lower() if refresher else None
