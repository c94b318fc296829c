"""SDP: parsed, and answered for a trunk that takes SRTP and every codec."""

from callcenter.errors import CallcenterError
from callcenter.telephony.sip import offer_answer, sdp
from callcenter.telephony.sip.media_plan import LocalMedia

LOCAL = LocalMedia(
    "198.51.100.1", 10_000, ("opus", "g722", "pcmu", "pcma"), "may", 1, lambda size: b"k" * size
)


def one_input(data: bytes) -> None:
    """Answers the offer; our own answer is SDP that we can read."""
    try:
        text, _ = offer_answer.answer(sdp.parse(data), LOCAL, 1)
    except CallcenterError:
        return
    sdp.parse(text if isinstance(text, bytes) else text.encode())
