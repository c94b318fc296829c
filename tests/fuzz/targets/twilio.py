"""Twilio's media messages, one a line, as one socket brings them."""

from callcenter.errors import ProtocolError
from callcenter.telephony.twilio.protocol import Receiver

MAX_MESSAGE_BYTES = 65_536


def one_input(data: bytes) -> None:
    """Every line is read or refused; what is refused changes nothing."""
    receiver = Receiver(MAX_MESSAGE_BYTES)
    for line in data.decode("utf-8", "replace").splitlines():
        try:
            receiver.receive(line)
        except ProtocolError:
            continue
