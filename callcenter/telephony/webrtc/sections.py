"""Which media of a browser's offer a call takes, as text (RFC 3264 6, RFC 8866, RFC 9143).

    offer -> the audio line that suits, and the data channel -> aiortc -> answer, the rest refused

aiortc answers every line it is given, and fails on one without a codec of its own. So it is given
what a call needs, and every other line of the offer is refused in the answer, in its place. Knows
no aiortc and no socket.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from callcenter.errors import ProtocolError

VOICES = {  # name -> clock and channels as in a=rtpmap; in our order of preference
    "opus": "opus/48000/2",
    "pcmu": "pcmu/8000",
    "pcma": "pcma/8000",
}
_STATIC = {"0": "pcmu/8000", "8": "pcma/8000"}  # RFC 3551 table 4: needs no a=rtpmap
_SUITS = ("sendrecv", "sendonly", "recvonly", "inactive")  # of the offerer; the first is best
_LEAST_WORDS = 4  # of an m= line
_NEWLINE = re.compile(r"\r?\n")


@dataclass(frozen=True, slots=True)
class Section:
    """One m= line and what belongs to it."""

    lines: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        """Of the m= line: kind, port, protocol, formats."""
        return self.lines[0].removeprefix("m=").split()

    def values(self, name: str) -> list[str]:
        """All values of an attribute."""
        start = f"a={name}:"
        return [line.removeprefix(start) for line in self.lines if line.startswith(start)]

    @property
    def mid(self) -> str:
        """Its name; "" without one."""
        return next(iter(self.values("mid")), "").strip()

    @property
    def lives(self) -> bool:
        """Whether it is offered at all; one that is bundled only has port 0 all the same."""
        return self.words[1] != "0" or "a=bundle-only" in self.lines

    @property
    def direction(self) -> str:
        """From the offerer's point of view."""
        named = [line[2:] for line in self.lines if line[2:] in _SUITS]
        return named[-1] if named else _SUITS[0]

    def voice(self) -> str | None:
        """The codec that we would speak on it."""
        maps = dict(_STATIC)
        for value in self.values("rtpmap"):
            number, _, encoding = value.partition(" ")
            maps[number] = encoding.strip().lower().removesuffix("/1")
        offered = {maps.get(number) for number in self.words[3:]}
        return next((name for name, encoding in VOICES.items() if encoding in offered), None)


@dataclass(frozen=True, slots=True)
class Choice:
    """What is taken of an offer.

    Attributes:
        offer: with the lines that are taken.
        voice: the codec, of VOICES.
        taken: their places in the whole offer.
        sections: of the whole offer.
    """

    offer: str
    voice: str
    taken: tuple[int, ...]
    sections: tuple[Section, ...]

    def whole(self, answer: str) -> str:
        """The answer with every line of the offer, those that are not taken refused."""
        head, answered = _split(answer)
        ours = dict(zip(self.taken, answered, strict=True))
        places = range(len(self.sections))
        return _joined(
            [head, *(ours[n].lines if n in ours else _refused(self.sections[n]) for n in places)]
        )

    def place(self, mid: str | None, index: int | None) -> tuple[str, int] | None:
        """Where a candidate's media is: its mid, and its place in `offer`; None when not taken."""
        for ours, whole in enumerate(self.taken):
            name = self.sections[whole].mid
            if (mid is not None and mid == name) or (mid is None and index == whole):
                return name, ours
        return None


def choose(offer: str) -> Choice:
    """Takes the best audio line and the first data channel.

    Raises:
        ProtocolError: there is no audio line with a codec that we speak, or a media line is none.
    """
    head, sections = _split(offer)
    if any(len(one.words) < _LEAST_WORDS for one in sections):
        raise ProtocolError("an m= line needs kind, port, protocol and formats (RFC 8866 5.14)")
    live = [n for n, one in enumerate(sections) if one.lives]
    audio = [n for n in live if sections[n].words[0] == "audio"]
    voices = {n: voice for n in audio if (voice := sections[n].voice()) is not None}
    if not voices:
        raise ProtocolError(
            "the offer has no audio that this side could answer: it needs an m=audio line with "
            "Opus, or with G.711 (PCMU, PCMA)"
        )
    best = min(voices, key=lambda n: (_SUITS.index(sections[n].direction), n))
    channel = [n for n in live if sections[n].words[0] == "application"][:1]
    taken = tuple(sorted([best, *channel]))
    mids = [sections[n].mid for n in taken]
    kept = [
        _with_rtpmaps(sections[n], voices[n]) if n == best else sections[n].lines for n in taken
    ]
    text = _joined([_bundled(head, mids), *(_without_names(lines) for lines in kept)])
    return Choice(text, voices[best], taken, tuple(sections))


def has_address(candidate: str) -> bool:
    """Whether a candidate's address is one.

    Browsers write a name that ends in `.local` in place of an address that they want to keep to
    themselves (RFC 8828 5.2). It is known on their own network alone: to ask for it elsewhere only
    takes time, and the browser's own checks tell the address that it has from here.
    """
    words = candidate.split()
    try:
        ipaddress.ip_address(words[4])
    except (IndexError, ValueError):  # a name, or no candidate at all
        return False
    return True


def _split(text: str) -> tuple[tuple[str, ...], list[Section]]:
    lines = [line for line in _NEWLINE.split(text) if line]
    starts = [n for n, line in enumerate(lines) if line.startswith("m=")]
    bounds = [*starts, len(lines)]
    head = tuple(lines[: bounds[0]])
    return head, [Section(tuple(lines[a:b])) for a, b in pairwise(bounds)]


def _joined(parts: Iterable[Sequence[str]]) -> str:
    return "".join(f"{line}\r\n" for part in parts for line in part)


def _bundled(head: Sequence[str], mids: Sequence[str]) -> list[str]:
    """The session's lines; a bundle of what is taken, in its order (RFC 9143 7.3)."""
    kept = []
    for line in head:
        group, _, names = line.partition(" ")
        if group == "a=group:BUNDLE":
            line = " ".join([group, *(name for name in names.split() if name in mids)])
        kept.append(line)
    return kept


def _with_rtpmaps(section: Section, voice: str) -> list[str]:
    """The lines, with an a=rtpmap also for what needs none: aiortc knows no static types."""
    known = {value.partition(" ")[0] for value in section.values("rtpmap")}
    missing = [
        f"a=rtpmap:{number} {encoding.upper()}"
        for number, encoding in _STATIC.items()
        if encoding == VOICES[voice] and number in section.words[3:] and number not in known
    ]
    return [*section.lines, *missing]


def _without_names(lines: Sequence[str]) -> list[str]:
    start = "a=candidate:"
    return [line for line in lines if not line.startswith(start) or has_address(line[len(start) :])]


def _refused(section: Section) -> list[str]:
    kind, _, protocol, first, *_ = section.words
    mid = [f"a=mid:{section.mid}"] if section.mid else []
    return [f"m={kind} 0 {protocol} {first}", "c=IN IP4 0.0.0.0", "a=inactive", *mid]
