"""The user agent: an endpoint on real sockets and a real clock.

Feed, drain, re-arm; what a message means is the endpoint's to know, what a call is for its
listener's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from callcenter import metrics
from callcenter.errors import ProtocolError
from callcenter.telephony.sip.call import SipCall
from callcenter.telephony.sip.call_events import CallEnded, CallEvent
from callcenter.telephony.sip.endpoint import Endpoint
from callcenter.telephony.sip.endpoint_events import IncomingCall, Owner, Turned
from callcenter.telephony.sip.inbound import InboundCall
from callcenter.telephony.sip.media_plan import LocalMedia
from callcenter.telephony.sip.outbound import OutboundCall
from callcenter.telephony.sip.transport import Transports
from callcenter.telephony.sip.trunk import Trunk
from callcenter.telephony.sip.uri import Peer, SipUri

Listener = Callable[[CallEvent], None]

log = structlog.get_logger(__name__)


class UserAgent:
    """One endpoint.

    Args:
        endpoint: its core.
        on_call: gets every new call; it must `listen` and then answer or refuse.

    Attributes:
        transports: set before the first message can come.
    """

    transports: Transports

    def __init__(
        self,
        endpoint: Endpoint,
        on_call: Callable[[InboundCall, Trunk], None],
    ) -> None:
        self.endpoint = endpoint
        self._on_call = on_call
        self._listeners: dict[SipCall, Listener] = {}
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for: float | None = None

    def received(self, data: bytes, peer: Peer) -> None:
        """A message came."""
        if len(data) <= 4 and not data.strip():  # a keep-alive over UDP
            return
        try:
            self.endpoint.receive(data, peer, self._loop.time())
        except ProtocolError as error:  # nobody could answer that
            metrics.SIP_MALFORMED.inc()
            log.debug("sip_malformed", detail=str(error))
        self._drive()

    def unreachable(self, peer: Peer) -> None:
        """No connection could be made."""
        self.endpoint.unreachable(peer, self._loop.time())
        self._drive()

    def listen(self, call: SipCall, listener: Listener) -> None:
        """Who hears of a call's events until it has ended."""
        self._listeners[call] = listener

    def dial(
        self,
        target: SipUri,
        user: str,
        peer: Peer,
        trunk: Trunk,
        local: LocalMedia,
        listener: Listener,
    ) -> OutboundCall:
        """Calls somebody; the listener hears what becomes of it. Arguments as `Endpoint.dial`."""
        call = self.endpoint.dial(target, user, peer, trunk, local, self._loop.time())
        self.listen(call, listener)
        self._drive()
        return call

    def settle(self, owner: Owner) -> None:
        """Sends what an owner wants sent; after every command to a call."""
        self.endpoint.settle(owner, self._loop.time())
        self._drive()

    def now(self) -> float:
        """The endpoint's clock."""
        return self._loop.time()

    def close(self) -> None:
        """No more timers."""
        if self._timer is not None:
            self._timer.cancel()

    def _drive(self) -> None:
        self._flush()
        for event in self.endpoint.events():
            self._dispatch(event)
        self._flush()
        self._rearm()

    def _flush(self) -> None:
        for peer, data in self.endpoint.outgoing():
            self.transports.send(peer, data)

    def _dispatch(self, event: IncomingCall | Turned | tuple[SipCall, CallEvent]) -> None:
        if isinstance(event, IncomingCall):
            self._on_call(event.call, event.trunk)
        elif isinstance(event, Turned):
            metrics.SIP_TURNED_AWAY.labels(event.trunk, event.code).inc()
        else:
            call, what = event
            listener = self._listeners.get(call)
            if isinstance(what, CallEnded):
                self._listeners.pop(call, None)
            if listener is not None:
                listener(what)

    def _rearm(self) -> None:
        due = self.endpoint.next_timer()
        if due == self._armed_for:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = due
        self._timer = None if due is None else self._loop.call_at(due, self._fire)

    def _fire(self) -> None:
        self._timer, self._armed_for = None, None
        try:
            self.endpoint.handle_timer(self._loop.time())
            for peer in self.endpoint.silent():
                self.transports.silent(peer)
            self._drive()
        finally:  # a call that trips it takes no other call's timers with it
            self._rearm()
