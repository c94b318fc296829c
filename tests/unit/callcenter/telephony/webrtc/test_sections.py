"""Which media of a browser's offer a call takes."""

import pytest

from callcenter.errors import ProtocolError
from callcenter.telephony.webrtc.sections import Choice, choose, has_address

HEAD = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {mids}\r\n"
OPUS = "a=rtpmap:111 opus/48000/2\r\n"


def line(mid: str, kind: str = "audio 9", formats: str = "111 0 8", more: str = OPUS) -> str:
    """A section."""
    return f"m={kind} UDP/TLS/RTP/SAVPF {formats}\r\na=mid:{mid}\r\n{more}"


CHANNEL = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:d\r\na=sctp-port:5000\r\n"


def offer(*sections: str, mids: str = "0 1 d") -> str:
    """A whole offer."""
    return HEAD.format(mids=mids) + "".join(sections)


def answered(choice: Choice) -> list[str]:
    """The m= lines of the whole answer, when what was taken is answered as it was offered."""
    whole = choice.whole(choice.offer)
    return [text for text in whole.split("\r\n") if text.startswith("m=")]


def test_one_audio_line_and_a_channel() -> None:
    """What every page offers is taken as it is."""
    text = offer(line("0"), CHANNEL, mids="0 d")
    choice = choose(text)
    assert (choice.offer, choice.voice, choice.taken) == (text, "opus", (0, 1))
    assert choice.whole(choice.offer) == text


@pytest.mark.parametrize(
    ("first", "taken"),
    [
        (line("0", kind="audio 0"), 1),  # it is dead
        (line("0", kind="audio 0", more=OPUS + "a=bundle-only\r\n"), 0),  # RFC 9143 6
        (line("0", formats="18", more="a=rtpmap:18 G729/8000\r\n"), 1),
        (line("0", more=OPUS + "a=inactive\r\n"), 1),
        (line("0", more=OPUS + "a=recvonly\r\n"), 1),
        (line("0", kind="video 9", formats="96", more="a=rtpmap:96 VP8/90000\r\n"), 1),
        (line("0", formats="8", more=""), 0),  # G.711 talks as well
    ],
)
def test_of_two_lines_the_one_that_suits(first: str, taken: int) -> None:
    """The other is refused, in its place; the bundle is of what is taken."""
    choice = choose(offer(first, line("1"), CHANNEL))
    assert choice.taken == (taken, 2)
    assert f"a=group:BUNDLE {taken} d\r\n" in choice.offer
    lines = answered(choice)
    assert [text.split()[1] == "0" for text in lines] == [
        (n != taken and n != 2) or (n == taken and "audio 0" in first and taken == 0)
        for n in range(3)
    ]
    assert choice.place(str(taken), None) == (str(taken), 0)
    assert choice.place(None, taken) == (str(taken), 0)
    assert choice.place("d", 2) == ("d", 1)
    assert choice.place(str(1 - taken), 1 - taken) is None


@pytest.mark.parametrize(
    ("formats", "more", "voice"),
    [
        ("0 8", "", "pcmu"),
        ("8", "a=rtpmap:8 PCMA/8000/1\r\n", "pcma"),
        ("0 111", OPUS, "opus"),
        ("0 111", "a=rtpmap:111 OPUS/48000/2\r\n", "opus"),
    ],
)
def test_the_best_codec_of_a_line(formats: str, more: str, voice: str) -> None:
    """Also where a static type stands without its a=rtpmap, which aiortc wants."""
    choice = choose(offer(line("0", formats=formats, more=more)))
    assert choice.voice == voice
    assert choice.offer.lower().count(f"{voice}/") == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v=0\r\n",
        offer(CHANNEL),
        offer(line("0", kind="audio 0")),
        offer(line("0", formats="18", more="a=rtpmap:18 G729/8000\r\n")),
        offer(line("0", formats="96", more="a=rtpmap:96 opus/8000\r\n")),
    ],
)
def test_without_audio_that_we_speak_it_is_refused(text: str) -> None:
    """With what would be needed."""
    with pytest.raises(ProtocolError, match="Opus"):
        choose(text)


@pytest.mark.parametrize("bare", ["m=\r\n", "m=audio\r\n", "m=video 9 UDP/TLS/RTP/SAVPF\r\n"])
def test_a_media_line_that_is_none(bare: str) -> None:
    """Nobody could answer it, so the offer is refused as a whole."""
    with pytest.raises(ProtocolError, match="m= line"):
        choose(offer(line("0", more=OPUS)) + bare)


def test_names_in_place_of_addresses_are_left_out() -> None:
    """Nobody elsewhere can look them up; other candidates stay."""
    hidden = "a=candidate:1 1 udp 2113937151 83b4f79b-2bf8.local 59380 typ host\r\n"
    shown = "a=candidate:2 1 udp 1677729535 192.0.2.7 59380 typ srflx raddr 0.0.0.0 rport 0\r\n"
    choice = choose(offer(line("0", more=OPUS + hidden + shown)))
    assert ".local" not in choice.offer
    assert shown in choice.offer
    assert has_address("2 1 udp 1 2001:db8::1 9 typ host")
    assert not any(
        has_address(text) for text in ("", "1 1 udp", "2 1 udp 1 example.com 9 typ host")
    )
