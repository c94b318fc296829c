"""A browser's offer: every line of it has one in the answer, at its place."""

from callcenter.errors import ProtocolError
from callcenter.telephony.webrtc.sections import choose, has_address

HEAD = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"


def one_input(data: bytes) -> None:
    """Chooses, and answers each line that was taken."""
    text = data.decode("utf-8", "replace")
    for line in text.splitlines()[:16]:
        has_address(line)
    try:
        choice = choose(text)
    except ProtocolError:
        return
    taken = [f"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:{place}\r\n" for place in choice.taken]
    answer = choice.whole(HEAD + "".join(taken))
    assert answer.count("\r\nm=") == len(choice.sections)
    again = choose(choice.offer)  # what aiortc gets is an offer of the same
    assert again.voice == choice.voice
    assert len(again.taken) == len(choice.taken)
    for section in choice.sections:
        choice.place(section.mid, None)
