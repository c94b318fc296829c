"""Mimi, the audio codec: one frame of 80 ms <-> 8 codes, many rows at a time, each in its own time.

    encode   waveform -> SEANet -> transformer (25 Hz) -> downsample (12.5 Hz) -> codes
    decode   codes -> latent (12.5 Hz) -> upsample (25 Hz) -> transformer -> SEANet -> waveform

The two directions share no state, so a row may be encoded without being decoded. All memory is in
`MimiState`; shapes are static and nothing asks the device for a value, so that either direction can
be captured in a CUDA graph.

This module knows neither calls nor prompts, and clips nothing.
Source: Défossez et al. 2024, "Moshi: a speech-text foundation model", section 3.3.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from engine.config import STEPS_PER_FRAME, MimiConfig
from engine.model.codec_transformer import CodecTransformer
from engine.model.conv import CausalConv1d, CausalConvTranspose1d, Downsample, Upsample
from engine.model.quantizer import SplitQuantizer
from engine.model.seanet import Decoder, Encoder
from engine.model.state import RowState, Spec


class Mimi(nn.Module):
    """The codec. Parameter names are the keys of the published checkpoint.

    Load the weights, move them to the device, then call `prepare`.
    """

    def __init__(self, config: MimiConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder("encoder", config)
        self.decoder = Decoder("decoder", config)
        self.encoder_transformer = CodecTransformer("encoder_transformer", config)
        self.decoder_transformer = CodecTransformer("decoder_transformer", config)
        self.downsample = Downsample("downsample", config.dimension, STEPS_PER_FRAME)
        self.upsample = Upsample("upsample", config.dimension, STEPS_PER_FRAME)
        self.quantizer = SplitQuantizer(config)
        self.requires_grad_(False)

    @torch.no_grad()
    def prepare(self, fused: bool = False) -> None:
        """Derives what the loaded weights imply; call it after loading and moving to the device.

        Args:
            fused: fewer kernels and the memory layout that tensor cores want; results differ from
                the reference's in rounding, and so codes in near ties. Meant for CUDA.
        """
        for module in self.modules():
            if isinstance(module, CausalConv1d | CausalConvTranspose1d | CodecTransformer):
                module.prepare(fused)
        self.quantizer.prepare(fused)

    def state_specs(self) -> Iterator[Spec]:
        """Every tensor that a row carries from frame to frame."""
        for part in (
            self.encoder, self.encoder_transformer, self.downsample,
            self.upsample, self.decoder_transformer, self.decoder,
        ):  # fmt: skip
            yield from part.state_specs()

    @torch.no_grad()
    def encode_frame(self, pcm: Tensor, state: RowState, live: Tensor) -> Tensor:
        """Encodes one frame of every live row.

        Args:
            pcm: float32 [B, frame_samples], nominally within -1..1.
            state: the rows' memory; advanced in place where `live`.
            live: bool [B]. The codes of idle rows mean nothing.

        Returns:
            Codes, int64 [B, K].
        """
        fresh = state[self.encoder_transformer.position_name] == 0
        x = self.encoder(pcm[:, None], state, live)  # [B, C, 2]
        x = self.encoder_transformer(x, state, live)
        x = self.downsample(x, state, live, fresh)  # [B, C, 1]
        return self.quantizer.encode(x)

    @torch.no_grad()
    def decode_frame(self, codes: Tensor, state: RowState, live: Tensor) -> Tensor:
        """Decodes one frame of every live row.

        Args:
            codes: int64 [B, K]; within 0..codebook_size - 1 where `live`, anything elsewhere.
            state: the rows' memory; advanced in place where `live`.
            live: bool [B]. The sound of idle rows means nothing.

        Returns:
            float32 [B, frame_samples], not clipped.
        """
        codes = codes * live[:, None]  # an idle row's codes may lie outside the codebooks
        x = self.upsample(self.quantizer.decode(codes), state, live)  # [B, C, 2]
        x = self.decoder_transformer(x, state, live)
        return self.decoder(x, state, live)[:, 0]

    def encode(self, pcm: Tensor) -> Tensor:
        """Encodes whole recordings, as if streamed from the start.

        Args:
            pcm: float32 [B, 1, N], N a multiple of frame_samples.

        Returns:
            Codes, int64 [B, K, N / frame_samples].

        Raises:
            ValueError: N is no whole number of frames.
        """
        samples = self.config.frame_samples
        if pcm.shape[-1] == 0 or pcm.shape[-1] % samples:
            raise ValueError(f"{pcm.shape[-1]} samples are no whole number of frames of {samples}")
        state = RowState.zeros(self.state_specs(), len(pcm), pcm.device)
        live = torch.ones(len(pcm), dtype=torch.bool, device=pcm.device)
        frames = pcm[:, 0].split(samples, dim=1)
        return torch.stack([self.encode_frame(frame, state, live) for frame in frames], dim=2)


class MimiState(RowState):
    """The memory of all rows of a codec."""

    @classmethod
    def allocate(
        cls, config: MimiConfig, rows: int, device: torch.device | str = "cpu"
    ) -> RowState:
        """Allocates `rows` fresh rows; about 18 MB a row at the published sizes."""
        with torch.device("meta"):
            specs = list(Mimi(config).state_specs())
        return cls.zeros(specs, rows, device)
