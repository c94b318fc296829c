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

pytestmark = pytest.mark.timeout(60)
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
    """The best normalised cross-correlation of `said` anywhere in `heard`."""
    heard, said = heard.astype(np.float64), said.astype(np.float64)
    size = 1 << (heard.size + said.size - 1).bit_length()
    product = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(said, size)), size)
    at = int(np.argmax(product[: max(1, heard.size - said.size + 1)]))
    piece = heard[at : at + said.size]
    return float(piece @ said[: piece.size] / np.sqrt((piece @ piece) * (said @ said)))


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


@pytest.mark.parametrize(("codec", "least"), [("pcmu", 0.99), ("g722", 0.99), ("opus", 0.9)])
async def test_speech_over_tls_and_srtp(make_stand, tmp_path, codec, least) -> None:
    """The speech is the same in both directions, encrypted, and the end is orderly."""
    program = needs("baresip")
    cert, key = certificate(tmp_path)
    stand = await make_stand(
        trunk=f"transports: [tls]\nsrtp: must\ncodecs: [{codec}]",
        sip_tls_port=0,
        sip_tls_certificate=cert,
        sip_tls_key=key,
    )
    stand.worker.say = say_speech
    folder = baresip_folder(tmp_path / "baresip", codec)
    target = f"sip:{NUMBER}@127.0.0.1:{stand.gateway.ports['tls']};transport=tls"
    said = speech_8k()
    process = await asyncio.create_subprocess_exec(
        program,
        *("-f", str(folder), "-e", f"/dial {target}", "-t", str(round(said.size / 8_000) + 4)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert stand.worker.heard, output.decode()[-3000:]
    await stand.until_free()
    (frames,) = stand.worker.heard.values()
    up = resampler(8_000, 24_000).process(said)
    assert correlation(np.concatenate(frames), up) >= least
    (record,) = folder.glob("dump-*-dec.wav")
    with wave.open(str(record), "rb") as file:
        heard = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        heard, rate_hz = heard.reshape(-1, file.getnchannels())[:, 0], file.getframerate()
    said = said if rate_hz == 8_000 else resampler(8_000, rate_hz).process(said)
    assert correlation(heard, said) >= least, output.decode()[-3000:]
