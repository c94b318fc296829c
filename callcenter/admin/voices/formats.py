"""Tells what an uploaded file is, so that a refusal can name it.

Only the first bytes count, never a file's name: file(1) and the formats' own documents give them.
Formats that libsndfile does not read are refused by their name and not handed to a larger decoder,
since each further one would be a further parser of strangers' files.
"""

from __future__ import annotations

import struct

TAKEN = "WAV, AIFF, FLAC, MP3 or Ogg (Opus, Vorbis)"

_STARTS = {
    b"\x1a\x45\xdf\xa3": "a WebM or Matroska file",
    b"\xff\xf1": "an AAC file",
    b"\xff\xf9": "an AAC file",
    b"#!AMR": "an AMR file",
    b"caff": "a CAF file",
    b".snd": "an AU file",
    b"riff\x2e\x91": "a Wave64 file",
    b"\x30\x26\xb2\x75": "a WMA or ASF file",
    b"wvpk": "a WavPack file",
    b"MAC ": "a Monkey's Audio file",
    b"DSD ": "a DSD file",
    b"PK\x03\x04": "a ZIP archive",
    b"%PDF": "a PDF",
    b"<": "a page or an XML file",
}

# RIFF's registered wave format tags (RFC 2361, appendix A).
_WAVE_CODECS = {
    0x0002: "Microsoft ADPCM",
    0x0006: "A-law",
    0x0007: "mu-law",
    0x0011: "IMA ADPCM",
    0x0014: "G.723 ADPCM",
    0x0022: "TrueSpeech",
    0x0031: "GSM 6.10",
    0x0040: "G.721 ADPCM",
    0x0045: "G.726 ADPCM",
    0x0050: "MPEG",
    0x0055: "MP3",
    0x0064: "G.726 ADPCM",
    0x0065: "G.722 ADPCM",
    0x00FF: "AAC",
    0x0161: "WMA",
}


def describe(content: bytes) -> str:
    """What a file is, with its article: "an M4A or MP4 file"; "no audio file" if unknown."""
    if content[4:8] == b"ftyp":
        return "an M4A or MP4 file (AAC)"
    if content[:4] in (b"RIFF", b"RIFX", b"RF64"):
        return _describe_riff(content)
    if content[:4] == b"FORM" and content[8:11] == b"AIF":
        return "a damaged AIFF file, or one with a codec that is not taken"
    if content[:4] == b"OggS":
        return "a damaged Ogg file, or one with a codec that is not taken"
    return next((name for start, name in _STARTS.items() if content.startswith(start)), "") or (
        "an empty file" if not content else "no audio file"
    )


def _describe_riff(content: bytes) -> str:
    if content[8:12] != b"WAVE":
        return "no WAV file, though it begins like one"
    place = content.find(b"fmt ", 12, 65_536)
    if place < 0 or len(content) < place + 10:
        return "a damaged WAV file: it has no format"
    (tag,) = struct.unpack_from("<H", content, place + 8)
    if tag in (0x0001, 0x0003, 0xFFFE):  # PCM, float, extensible
        return "a damaged WAV file"
    return f"a WAV file with {_WAVE_CODECS.get(tag, f'codec {tag:#06x}')} inside"
