"""The link between gateway and worker: audio frames and control messages, both directions."""

from contextlib import suppress

from callcenter.errors import ProtocolError
from callcenter.link.protocol import (
    decode_audio,
    decode_from_gateway,
    decode_from_worker,
    encode_audio,
)


def one_input(data: bytes) -> None:
    """A frame that is read is written again to the same bytes."""
    with suppress(ProtocolError):
        assert encode_audio(decode_audio(data)) == data
    text = data.decode("utf-8", "replace")
    for decode in (decode_from_gateway, decode_from_worker):
        with suppress(ProtocolError):
            decode(text)
