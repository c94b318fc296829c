"""Debian's baresip calls over TLS with mandatory SRTP; speech is compared sample by sample."""

import asyncio
import datetime
import ipaddress
import wave
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from callcenter.media.resample import resampler
from tests.integration.sip.conftest import FRAME_S, NUMBER, needs

pytestmark = [pytest.mark.alone, pytest.mark.timeout(60)]
SPEECH = Path("tests/fixtures/question_8khz.wav").resolve()

CONFIG = """
sip_listen 127.0.0.1:0
net_interface 127.0.0.1
sip_verify_server no
audio_source aufile,{speech}
audio_player aubridge,nil
audio_alert aubridge,nil
audio_jitter_buffer_type fixed
audio_jitter_buffer_delay 3-10
opus_stereo no
opus_sprop_stereo no
module_path {modules}
module {g711}
module aufile.so
module aubridge.so
module sndfile.so
module srtp.so
module stdio.so
module_app account.so
module_app menu.so
snd_path {folder}
rtp_ports 31000-31099
"""


def speech_8k() -> np.ndarray:
    """The fixture, int16."""
    with wave.open(str(SPEECH), "rb") as file:
        assert (file.getframerate(), file.getnchannels()) == (8_000, 1)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16)


def correlation(heard: np.ndarray, said: np.ndarray) -> float:
    """How well pieces of a third of a second are found again: the median over those with speech.

    A machine that stands still for a moment makes the jitter buffer move what follows; piece by
    piece that is one bad piece, over the whole it would be the end of any similarity.
    """
    pieces = np.array_split(said.astype(np.float64), 6)
    loud = [piece for piece in pieces if piece.std() > 0.3 * said.std()]
    assert len(loud) >= 4
    return float(np.median([best_match(heard.astype(np.float64), piece) for piece in loud]))


def best_match(heard: np.ndarray, piece: np.ndarray) -> float:
    """The best normalised cross-correlation of a piece anywhere in what was heard."""
    size = 1 << (heard.size + piece.size - 1).bit_length()
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(piece, size))
    product = np.fft.irfft(spectrum, size)[: heard.size - piece.size + 1]
    energy = np.concatenate(([0.0], np.cumsum(heard**2)))
    windows = np.maximum(energy[piece.size :] - energy[: -piece.size], 1.0)
    return float(np.max(product / np.sqrt(windows * (piece @ piece))))


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(encoding))
    paths[1].write_bytes(
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


def baresip_folder(folder: Path, codec: str) -> Path:
    """A configuration of its own."""
    folder.mkdir()
    rate_hz = {"pcmu": 8_000, "g722": 16_000, "opus": 48_000}[codec]
    with wave.open(str(folder / "speech.wav"), "wb") as file:  # aufile does not resample
        file.setparams((1, 2, rate_hz, 0, "NONE", ""))
        file.writeframes(resampler(8_000, rate_hz).process(speech_8k()).tobytes())
    modules = next(Path("/usr/lib").glob("**/baresip/modules"))
    g711 = "g711.so" if codec in ("pcmu", "pcma") else f"{codec}.so"
    (folder / "config").write_text(
        CONFIG.format(speech=folder / "speech.wav", modules=modules, g711=g711, folder=folder)
    )
    (folder / "accounts").write_text(
        f"<sip:caller@127.0.0.1;transport=tls>;regint=0;mediaenc=srtp-mand;audio_codecs={codec}\n"
    )
    (folder / "contacts").write_text("")
    return folder


async def say_speech(session) -> None:
    """The fixture as the agent's voice, then silence."""
    up = resampler(8_000, 24_000).process(speech_8k())
    frames = [*np.split(up[: up.size // 1_920 * 1_920], up.size // 1_920)]
    loop = asyncio.get_running_loop()
    due = loop.time()
    index = 0
    while True:
        frame = frames[index] if index < len(frames) else np.zeros(1_920, np.int16)
        session.channel.send_frame(frame)
        index += 1
        due += FRAME_S
        await asyncio.sleep(due - loop.time())


def recording(folder: Path) -> tuple[np.ndarray, int] | None:
    """What baresip heard, and its rate."""
    for record in folder.glob("dump-*-dec.wav"):
        with wave.open(str(record), "rb") as file:
            heard = np.frombuffer(file.readframes(file.getnframes()), "<i2")
            return heard.reshape(-1, file.getnchannels())[:, 0], file.getframerate()
    return None


async def dial(folder: Path, target: str, codec: str) -> float:
    """Baresip calls and says the fixture; how much of it what it heard is like."""
    program, said = needs("baresip"), speech_8k()
    process = await asyncio.create_subprocess_exec(
        program,
        *("-f", str(baresip_folder(folder, codec)), "-e", f"/dial {target}"),
        *("-t", str(round(said.size / 8_000) + 4)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    recorded = recording(folder)
    assert recorded is not None, output.decode()[-3_000:]
    heard, rate_hz = recorded
    return correlation(heard, resampler(8_000, rate_hz).process(said))


async def talk(stand, folder: Path, target: str, codec: str, least: float) -> tuple[float, float]:
    """Calls until both directions are good, three times at most: a stall may spoil a call."""
    up = resampler(8_000, 24_000).process(speech_8k())
    best = (0.0, 0.0)
    for attempt in range(3):
        stand.worker.heard.clear()
        heard_there = await dial(folder / f"baresip-{attempt}", target, codec)
        await stand.until_free()
        (frames,) = stand.worker.heard.values()
        best = max(best, (correlation(np.concatenate(frames), up), heard_there), key=min)
        if min(best) >= least:
            break
    return best


@pytest.mark.parametrize(("codec", "least"), [("pcmu", 0.99), ("g722", 0.99), ("opus", 0.9)])
async def test_speech_over_tls_and_srtp(make_stand, tmp_path, codec, least) -> None:
    """The speech is the same in both directions, encrypted, and the end is orderly."""
    needs("baresip")
    cert, key = certificate(tmp_path)
    stand = await make_stand(
        trunk=f"transports: [tls]\nsrtp: must\ncodecs: [{codec}]",
        sip_tls_port=0,
        sip_tls_certificate=cert,
        sip_tls_key=key,
    )
    stand.worker.say = say_speech
    target = f"sip:{NUMBER}@127.0.0.1:{stand.gateway.ports['tls']};transport=tls"
    assert min(await talk(stand, tmp_path, target, codec, least)) >= least
