"""Our own call to whom a caller shall be handed over: reached first, then taken over by the caller.

The far end of it hears silence until then. Knows nothing of the caller's call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from callcenter.telephony.leg import CallControlFailed
from callcenter.telephony.sip.call import State
from callcenter.telephony.sip.call_events import Answered, CallEnded, CallEvent, MediaAgreed
from callcenter.telephony.sip.media_plan import LocalMedia
from callcenter.telephony.sip.media_port import MediaPort
from callcenter.telephony.sip.outbound import OutboundCall
from callcenter.telephony.sip.stream import MediaStream, Tick
from callcenter.telephony.sip.trunk import Trunk
from callcenter.telephony.sip.ua import UserAgent
from callcenter.telephony.sip.uri import Peer, SipUri

OpenPort = Callable[[MediaStream, Callable[[Tick, float], None]], MediaPort]


class Consultation:
    """One such call.

    Args:
        agent: sends what the call wants sent.
        open_port: binds RTP sockets round a stream.
        stream: fresh.
        local: what we offer; the port is filled in here.

    Raises:
        NoCapacity: no RTP port is left.
    """

    def __init__(
        self, agent: UserAgent, open_port: OpenPort, stream: MediaStream, local: LocalMedia
    ) -> None:
        self._agent = agent
        self._port = open_port(stream, lambda tick, now: None)
        self._local = replace(local, port=self._port.port)
        self._answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._call: OutboundCall | None = None

    async def reach(self, target: SipUri, user: str, peer: Peer, trunk: Trunk) -> OutboundCall:
        """Calls and waits for the answer.

        Raises:
            CallControlFailed: refused, or nobody answers.
        """
        self._call = call = self._agent.dial(target, user, peer, trunk, self._local, self._happened)
        await self._answered
        if call.state is not State.CONFIRMED:
            raise CallControlFailed(f"{call.status or 'no'} answer to the call before the transfer")
        return call

    def close(self) -> None:
        """Leaves and gives the ports back. Idempotent."""
        if self._call is not None:
            self._call.hang_up("transfer_over", self._agent.now())
            self._agent.settle(self._call)
        self._port.close()

    def _happened(self, event: CallEvent) -> None:
        if isinstance(event, MediaAgreed):
            self._port.agree(event.plan)
        elif isinstance(event, Answered | CallEnded) and not self._answered.done():
            self._answered.set_result(None)
