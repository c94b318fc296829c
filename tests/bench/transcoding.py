"""CPU cost of one call's audio path in the gateway: transcoding, governor, voice activity.

Prints one JSON line. `*_core_share` is CPU time / audio time of one call, on one thread: 0.01 means
that a core carries 100 calls of it. `python tests/bench/transcoding.py [SECONDS_OF_AUDIO]`
"""

from __future__ import annotations

import json
import sys
import time
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np

from callcenter.media.bargein import Party, TurnTracker
from callcenter.media.downlink import Downlink
from callcenter.media.g711 import decode_ulaw, encode_ulaw
from callcenter.media.resample import Resampler
from callcenter.media.units import FRAME_S, FRAME_SAMPLES, NARROWBAND_HZ, PACKET_S, Pcm16
from callcenter.media.uplink import Uplink
from callcenter.media.vad import SpeechDetector

SPEECH_WAV = Path(__file__).parents[1] / "fixtures" / "question_8khz.wav"
CALLS = 50


def conversation(seconds: float) -> Pcm16:
    """Speech and silence in turn, int16 [n] at 8 kHz: about as dense as one side of a call."""
    with wave.open(str(SPEECH_WAV)) as file:
        speech = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    turn = np.concatenate((speech, np.zeros(speech.size, np.int16)))
    return np.resize(turn, round(seconds * 8_000))


def core_share(seconds: float, work: Callable[[], None]) -> float:
    """CPU seconds for a second of audio; the first run warms up."""
    work()
    began = time.process_time()
    work()
    return (time.process_time() - began) / seconds


def transcode(packets: list[bytes]) -> None:
    """Both directions of a call, without governor or voice activity."""
    up, down = Resampler(3, 1), Resampler(1, 3)
    for packet in packets:
        encode_ulaw(down.process(up.process(decode_ulaw(packet))))


def uplink(packets: list[bytes]) -> None:
    """The caller's direction as the gateway runs it."""
    line = Uplink("audio/x-mulaw", 8_000)
    for index, packet in enumerate(packets):
        now = index * PACKET_S
        line.push(packet, now, now)
        line.pop(now)


def downlink(frames: list[Pcm16]) -> None:
    """The agent's direction as the gateway runs it, with marks."""
    line = Downlink("audio/x-mulaw", 8_000)
    for index, frame in enumerate(frames):
        line.push(frame, index * FRAME_S)
        line.pop()


def voice_activity(frames: list[Pcm16]) -> None:
    """Both directions' detectors and the turn tracker; the agent speaks in the caller's pauses."""
    detectors = {party: SpeechDetector(NARROWBAND_HZ) for party in Party}
    tracker = TurnTracker()
    shift = len(frames) // 7
    for index, frame in enumerate(frames):
        now = index * FRAME_S
        for party, heard in ((Party.CALLER, frame), (Party.AGENT, frames[index - shift])):
            for edge in detectors[party].push(heard, now):
                tracker.hear(party, edge)
        tracker.pop(now)


def main() -> None:
    """Measures and prints."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    narrow = conversation(seconds)
    coded = encode_ulaw(narrow)
    packets = [coded[i : i + 160] for i in range(0, len(coded) - 159, 160)]
    wide = Resampler(3, 1).process(narrow)
    frames = [wide[i : i + FRAME_SAMPLES] for i in range(0, wide.size - FRAME_SAMPLES + 1, 1_920)]
    narrow_frames = [narrow[i : i + 640] for i in range(0, narrow.size - 639, 640)]
    shares = {
        "transcoding_both_ways": core_share(seconds, lambda: transcode(packets)),
        "uplink": core_share(seconds, lambda: uplink(packets)),
        "downlink": core_share(seconds, lambda: downlink(frames)),
        "voice_activity_both_ways": core_share(seconds, lambda: voice_activity(narrow_frames)),
    }
    gateway = shares["uplink"] + shares["downlink"] + shares["voice_activity_both_ways"]
    line = {f"{name}_core_share": round(share, 5) for name, share in shares.items()}
    line |= {"bench": "transcoding", "audio_s": seconds, "media_core_share": round(gateway, 5)}
    line |= {"calls": CALLS, "cores_for_calls": round(gateway * CALLS, 3)}
    line["real_time_ratio_transcoding"] = round(1 / shares["transcoding_both_ways"], 1)
    print(json.dumps(line))


if __name__ == "__main__":
    main()
