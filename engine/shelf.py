"""The voices of an engine: those that it starts with, and those that come while it ticks.

    codes = shelf.encode(clip, sha256)   # a second or two, in a thread of its own
    shelf.take(sha256, codes)            # at once: sessions may ask for the voice `sha256` now

Any thread may call it: a voice is there whole or not at all, and none ever changes. It knows
neither sessions nor where clips come from.
"""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import Tensor

from engine import codes
from engine.config import LMConfig
from engine.interface import FRAME_SAMPLES, PromptRejected
from engine.model.mimi import Mimi
from engine.model.state import RowState
from engine.voices import Voice, decode_clip, load_voice, voice_of_codes, whole_frames

BREATH_S = 0.005  # between two frames: a live tick gets the device and the interpreter first


class VoiceShelf:
    """Voices by name.

    Args:
        files: name -> clip or published voice; one that cannot be used keeps no other away.
        mimi: the codec.
        config: of the language model.

    Attributes:
        rejected: why a file cannot be used, by name.
        codec_sha256: tells one codec from another: SHA-256 of its codebooks.
    """

    def __init__(self, files: Mapping[str, Path], mimi: Mimi, config: LMConfig) -> None:
        self._mimi = mimi
        self._config = config
        self._voices: dict[str, Voice] = {}
        self.rejected: dict[str, str] = {}
        self._encoding = threading.Lock()
        for name, path in files.items():
            try:
                self._voices[name] = load_voice(path, mimi, config)
            except PromptRejected as error:
                self.rejected[name] = str(error)

        self.codec_sha256 = _codec_sha256(mimi)

    @property
    def names(self) -> list[str]:
        """Of the voices that are there, in order."""
        return sorted(self._voices)

    def __contains__(self, name: object) -> bool:
        return name in self._voices

    def __getitem__(self, name: str) -> Voice:
        """A voice; PromptRejected says why there is none."""
        if name in self.rejected:
            raise PromptRejected(self.rejected[name])
        if name not in self._voices:
            known = ", ".join(sorted(self._voices)) or "none"
            raise PromptRejected(f"unknown voice {name!r}; this engine has: {known}")
        return self._voices[name]

    def encode(self, clip: bytes, sha256: str) -> bytes:
        """Computes a clip's codes; slow on purpose, one clip at a time.

        Args:
            clip: any common audio file.
            sha256: of the clip, in hex.

        Returns:
            What `take` takes, here and in every engine with this codec.

        Raises:
            PromptRejected: unreadable, too short, too long or silent.
        """
        pcm = whole_frames(decode_clip(io.BytesIO(clip), sha256[:12]))
        with self._encoding, self._aside():
            frames = [each.cpu() for each in self._frames(pcm)]
        return codes.pack(torch.stack(frames).numpy(), sha256, self.codec_sha256)

    def take(self, sha256: str, content: bytes) -> None:
        """Adds a voice under its clip's SHA-256; again changes nothing.

        Raises:
            CodesRejected: not the codes of this clip and this codec.
        """
        if sha256 not in self._voices:
            found = codes.unpack(content, sha256, self.codec_sha256, self._config.audio_card)
            self._voices[sha256] = voice_of_codes(found, self._config)

    def _frames(self, pcm: Tensor) -> list[Tensor]:
        """The codes frame by frame: each int64 [8]."""
        device = next(self._mimi.parameters()).device
        state = RowState.zeros(self._mimi.state_specs(), 1, device)
        live = torch.ones(1, dtype=torch.bool, device=device)
        found = []
        for frame in pcm.to(device)[None].split(FRAME_SAMPLES, dim=1):
            found.append(self._mimi.encode_frame(frame, state, live)[0])
            time.sleep(BREATH_S)
        return found

    def _aside(self) -> AbstractContextManager[object]:
        """On a GPU a stream of its own, so that no tick stands in line behind a clip."""
        device = next(self._mimi.parameters()).device
        return (
            torch.cuda.stream(torch.cuda.Stream(device)) if device.type == "cuda" else nullcontext()
        )


def _codec_sha256(mimi: Mimi) -> str:
    """At start, once: some 67 MB of codebooks would hold up whoever asks later."""
    digest = hashlib.sha256()
    for name, tensor in sorted(mimi.quantizer.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.float().cpu().numpy().tobytes())
    return digest.hexdigest()
