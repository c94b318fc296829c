"""RTP and RTCP of one call: datagrams of the caller's address beside its own audio.

The bytes are datagrams, each behind its length in two bytes; the highest bit of the length sends it
to the RTCP port. After all of them the caller is still heard.
"""

import struct
from collections.abc import Iterator

import numpy as np

from tests.unit.callcenter.telephony.sip.test_stream import FAR, LOUD, a_stream, packet

RTCP = 0x8000
MAX_DATAGRAMS = 32
SSRC = 1


def datagrams(data: bytes) -> Iterator[tuple[bytes, bool]]:
    """The datagrams in the bytes and whether each is for the RTCP port."""
    for _ in range(MAX_DATAGRAMS):
        if len(data) < 2:
            return
        (head,) = struct.unpack_from("!H", data)
        size = head & ~RTCP
        yield data[2 : 2 + size], bool(head & RTCP)
        data = data[2 + size :]


def one_input(data: bytes) -> None:
    """Mixes them with 20 ms packets of the caller."""
    stream = a_stream()
    now, sequence = 0.0, 0
    for sequence in range(5):
        stream.receive(packet(sequence, ssrc=SSRC), FAR, now)
        stream.tick(now)
        now += 0.02
    for datagram, rtcp in datagrams(data):
        (stream.receive_rtcp if rtcp else stream.receive)(datagram, FAR, now)
        stream.tick(now)
        now += 0.02
    heard = False
    for sequence in range(60_000, 60_040):  # a jump: the far end began anew
        stream.receive(packet(sequence & 0xFFFF, LOUD, ssrc=77), FAR, now)
        samples = stream.tick(now).heard
        heard = heard or (samples is not None and int(np.abs(samples).max()) > 1_000)
        now += 0.02
    assert heard, "the caller is not heard any more"
