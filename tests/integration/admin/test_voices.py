"""Voices: uploads of every kind, bad ones too, and the consent without which none speaks."""

import io
from collections.abc import AsyncIterator

import numpy as np
import pytest
import soundfile

from personas import library
from tests.integration.admin.conftest import Admin

FORMATS = [
    ("WAV", "PCM_16"),
    ("WAV", "FLOAT"),
    ("FLAC", "PCM_24"),
    ("MP3", "MPEG_LAYER_III"),
    ("OGG", "OPUS"),
]
FIELDS = {"name": "anna", "title": "Anna", "gender": "female"}
WRITTEN = {
    "kind": "written",
    "subject": "Anna Example",
    "document": "contract 7, drawer 3",
    "scope": "telephone agent",
    "granted_at": "2026-01-01T00:00:00Z",
}


def speech(format_name: str = "WAV", subtype: str = "PCM_16") -> bytes:
    """A shipped clip in another format."""
    samples, rate_hz = soundfile.read(library.SHIPPED / "voices" / "marcus.wav")
    return encoded(samples * 0.9, rate_hz, format_name, subtype)


def encoded(samples: np.ndarray, rate_hz: int, format_name: str, subtype: str) -> bytes:
    """Samples as a file."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=format_name, subtype=subtype)
    return file.getvalue()


async def upload(admin: Admin, content: bytes, **fields: str):
    """Uploads a clip."""
    files = {"file": ("../../etc/passwd", content, "application/octet-stream")}
    return await admin.http.post("/v1/voices", data={**FIELDS, **fields}, files=files)


@pytest.mark.parametrize(("format_name", "subtype"), FORMATS)
async def test_formats(admin: Admin, format_name: str, subtype: str) -> None:
    """Each becomes one form, and is measured."""
    response = await upload(admin, speech(format_name, subtype))
    assert response.status_code == 201, response.text
    quality = response.json()["quality"]
    assert quality["duration_s"] == pytest.approx(5.9, abs=0.2)
    assert quality["speech_ratio"] > 0.6
    assert -35 < quality["loudness_lufs"] < -15
    assert quality["bandwidth_hz"] > 3_000
    audio = await admin.http.get("/v1/voices/anna/audio")
    samples, rate_hz = soundfile.read(io.BytesIO(audio.content))
    assert (rate_hz, samples.ndim) == (24_000, 1)


async def test_no_call_speaks_with_a_voice_without_consent(either_admin: Admin) -> None:
    """Refused at publishing; put down, it may; revoked, calls go elsewhere from then on."""
    http = either_admin.http
    assert (await upload(either_admin, speech())).status_code == 201
    body = {"template": "hotel", "name": "hers"}
    await http.post("/v1/personas", json=body)
    tag = {"If-Match": "*"}
    await http.patch("/v1/personas/hers", json={"draft": {"voice": "anna"}}, headers=tag)
    for _ in ("publish", "trials"):
        refused = await http.post(f"/v1/personas/hers/{_}", json={})
        assert refused.status_code == 422
        assert "no record of consent" in refused.json()["detail"]
    consent = await http.put("/v1/voices/anna/consent", json=WRITTEN, headers=tag)
    assert consent.json()["blocked"] == "", consent.text
    assert (await http.post("/v1/personas/hers/publish", json={})).status_code == 200
    await http.post("/v1/numbers", json={"name": "+15550195", "title": "x", "persona": "hers"})
    called = {"called": "+15550195"}
    assert (await http.post("/v1/routes:simulate", json=called)).json()["answered"]
    await http.post("/v1/voices/anna/consent/revoke", json={"why": "she asked"})
    found = (await http.post("/v1/routes:simulate", json=called)).json()
    assert not found["answered"]
    assert "was revoked" in found["steps"][-1]["why"]
    assert (await http.delete("/v1/voices/anna", headers=tag)).json()["users"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"document": None}, "signed document"),
        ({"granted_at": "2026-01-01T00:00:00"}, "time zone"),
        ({"revoked_at": "2026-01-01T00:00:00Z"}, "its own request"),
        ({"scope": ""}, "Fill this in"),
    ],
)
async def test_a_consent_that_is_none(admin: Admin, change, words) -> None:
    """Refused with the reason."""
    body, tag = {**WRITTEN, **change}, {"If-Match": "*"}
    response = await admin.http.put("/v1/voices/clara/consent", json=body, headers=tag)
    assert response.status_code == 422
    assert words in response.text


async def test_an_expired_consent_blocks(admin: Admin) -> None:
    """From its last moment on, without anybody doing anything."""
    body = {**WRITTEN, "expires_at": "2026-01-02T00:00:00Z"}
    tag = {"If-Match": "*"}
    response = await admin.http.put("/v1/voices/clara/consent", json=body, headers=tag)
    assert "has expired" in response.json()["blocked"]


def hours_of_silence() -> bytes:
    """Some kilobytes that would decode to an hour."""
    return encoded(np.zeros(8_000 * 3_600, np.int16), 8_000, "FLAC", "PCM_16")


def bad_uploads() -> list[tuple[str, bytes, str]]:
    """What is wrong, the file, and words of the answer."""
    rate_hz = 24_000
    return [
        ("zip bomb of audio", hours_of_silence(), "20 s of speech are needed"),
        ("no audio", b"<html>" * 100, "cannot be read as a voice"),
        ("empty", b"", "cannot be read as a voice"),
        ("cut off", speech()[:30], "cannot be read as a voice"),
        ("pickle", b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00.", "cannot be read as a voice"),
        ("too short", encoded(np.zeros(2_400), rate_hz, "WAV", "PCM_16"), "lasts 0.1 s"),
        ("too many channels", encoded(np.zeros((48_000, 6)), rate_hz, "WAV", "PCM_16"), "channels"),
        ("strange rate", encoded(np.zeros(9_000), 4_000, "WAV", "PCM_16"), "4000 Hz"),
        ("another format", encoded(np.zeros(48_000), rate_hz, "AU", "PCM_16"), "an AU file"),
        ("not a number", encoded(np.full(48_000, np.nan), rate_hz, "WAV", "FLOAT"), "no numbers"),
    ]


async def test_bad_uploads(admin: Admin) -> None:
    """Each is refused with what is wrong; none is kept."""
    for what, content, words in bad_uploads():
        assert len(content) < 2_000_000, what
        response = await upload(admin, content)
        assert response.status_code == 422, (what, response.text)
        assert words in response.json()["detail"], what
    assert (await admin.http.get("/v1/voices/anna")).status_code == 404


@pytest.mark.parametrize("name", ["../anna", "anna.wav", "Anna", "", "a" * 41])
async def test_a_name_is_never_a_path(admin: Admin, name: str) -> None:
    """Names are slugs; the file's own name is not looked at."""
    assert (await upload(admin, speech(), name=name)).status_code == 422


async def test_two_gigabytes(admin: Admin) -> None:
    """Refused by the declared length, or as soon as the limit is passed; never read to the end."""
    head = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(2**31)}
    declared = await admin.http.post("/v1/voices", content=b"--x", headers=head)
    assert (declared.status_code, declared.json()["code"]) == (413, "body_too_large")
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 2**31:
            sent += 1_000_000
            yield b"x" * 1_000_000

    head = {"Content-Type": "multipart/form-data; boundary=x"}
    streamed = await admin.http.post("/v1/voices", content=endless(), headers=head)
    assert streamed.status_code == 413
    assert sent < 20_000_000
    big = await admin.http.post("/v1/numbers", content=b" " * 2_000_000)
    assert big.status_code == 413


async def test_a_voice_goes_with_its_codes(admin: Admin) -> None:
    """What a worker computes once can be read; the first one counts."""
    voice = (await admin.http.get("/v1/voices/clara")).json()
    assert (await admin.http.get("/v1/voices/clara/codes")).status_code == 404
    clips = admin.parts.state.clips
    assert await clips.put_codes(voice["sha256"], b"codes")
    assert not await clips.put_codes(voice["sha256"], b"other")
    assert (await admin.http.get("/v1/voices/clara/codes")).content == b"codes"
