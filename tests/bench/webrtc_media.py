"""CPU of one browser call's media, against the same work as aiortc does it unaided.

Prints one JSON line. Both are measured in one run on one core, so that the ratio holds on any
machine; encryption and sockets are the same for both and not in here.
"""

import json
import time
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
from aiortc.codecs.opus import OpusDecoder as StockDecoder
from aiortc.codecs.opus import OpusEncoder as StockEncoder
from aiortc.jitterbuffer import JitterFrame

from callcenter.call.audio import CallAudio
from callcenter.events import LegStarted
from callcenter.media.downlink import AudioPayload
from callcenter.media.opus import PACKET_SAMPLES, OpusEncoder
from callcenter.telephony.webrtc.inbound import Inbound

SECONDS = 20
PACKETS = 50 * SECONDS


def speech_like() -> np.ndarray:
    """Bursts of noise, int16 [n] at 24 kHz."""
    rng = np.random.default_rng(3)
    time_s = np.arange(PACKETS * PACKET_SAMPLES) / 24_000
    return (rng.normal(0, 2_500, time_s.size) * (time_s % 2.0 < 1.2)).astype(np.int16)


def stock(packets: list[bytes], samples: np.ndarray) -> None:
    """Decodes and encodes as aiortc does: 48 kHz, stereo."""
    decoder, encoder = StockDecoder(), StockEncoder()
    for index, packet in enumerate(packets):
        decoder.decode(JitterFrame(packet, 960 * index))
        av_frame = av.AudioFrame.from_ndarray(samples[index][None], format="s16", layout="mono")
        av_frame.sample_rate = 24_000
        av_frame.pts = index * PACKET_SAMPLES
        av_frame.time_base = Fraction(1, 24_000)
        encoder.encode(av_frame)


def codec_only(packets: list[bytes], samples: np.ndarray) -> None:
    """The leg's two directions."""
    inbound, encoder = Inbound(), OpusEncoder()
    for index, packet in enumerate(packets):
        inbound.push(index, packet, 0.02 * index)
        inbound.read(0.02 * index)
        encoder.encode(samples[index])


def whole_call(packets: list[bytes], samples: np.ndarray) -> None:
    """The same with the call's uplink, downlink and turn tracking, the agent being an echo."""
    inbound, encoder, audio = (
        Inbound(),
        OpusEncoder(),
        CallAudio(LegStarted("audio/x-l16", 24_000), 0.0),
    )
    for index, packet in enumerate(packets):
        now = 0.02 * index
        if index % 25 == 0:
            audio.turn_events(now)
        inbound.push(index, packet, now)
        heard = inbound.read(now)
        for frame in audio.heard(heard.tobytes(), None, now) if heard is not None else ():
            for item in audio.said(frame, now):
                if isinstance(item, AudioPayload):
                    encoder.encode(np.frombuffer(item.payload, np.int16))


def core_percent(work: Callable[[list[bytes], np.ndarray], None], *arguments: object) -> float:
    """Share of one core that a call in real time takes."""
    began = time.process_time()
    work(*arguments)  # type: ignore[arg-type]
    return 100 * (time.process_time() - began) / SECONDS


def main() -> None:
    """Measures and prints."""
    samples = speech_like().reshape(-1, PACKET_SAMPLES)
    encoder = OpusEncoder()
    packets = [encoder.encode(packet) for packet in samples]
    whole_call(packets[:100], samples)  # loads the voice-activity model
    figures = {
        "stock_codec_core_percent": core_percent(stock, packets, samples),
        "codec_core_percent": core_percent(codec_only, packets, samples),
        "call_core_percent": core_percent(whole_call, packets, samples),
    }
    rounded = {name: round(value, 2) for name, value in figures.items()}
    ratio = figures["codec_core_percent"] / figures["stock_codec_core_percent"]
    print(json.dumps({"bench": "webrtc_media", **rounded, "codec_to_stock": round(ratio, 2)}))


if __name__ == "__main__":
    main()
