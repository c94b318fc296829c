"""Sizes of the models and limits of the engine, as frozen data.

The defaults are the published 7B model's; tests pass tiny ones. This module knows no tensor,
no file and no environment.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

# --- Mimi, the audio codec ---------------------------------------------------------------------

STEPS_PER_FRAME = 2  # latent steps: the codec's transformers run at twice the frame rate


@dataclass(frozen=True, slots=True)
class MimiConfig:
    """Sizes of the Mimi codec (Défossez et al. 2024, "Moshi", section 3.3).

    Attributes:
        sample_rate_hz: rate of the audio on both sides.
        filters: channels of the outermost convolution; doubled at every ratio.
        dimension: channels of the latent, and width of both transformers.
        ratios: strides of the decoder's stages, outermost last; the encoder has them reversed.
        kernel: taps of the first convolution of encoder and decoder.
        residual_kernel: taps of the first convolution in a residual block.
        last_kernel: taps of the last convolution of encoder and decoder.
        compress: a residual block narrows its channels by this factor inside.
        layers: layers of each of the two transformers.
        heads: attention heads of a layer.
        feedforward: inner width of a layer's feed-forward part.
        context: latent steps that attention can look back, this step included.
        max_period: longest wavelength of the rotary embedding, in steps.
        codebook_dim: width of a centroid.
        codebook_size: centroids in a codebook.
        codebooks: codebooks in use: one semantic, the others acoustic.
        codebooks_stored: codebooks that the checkpoint carries.
        reference_compat: once the window is full, hide its oldest key, as the reference
            implementation does; for comparisons with it only.
    """

    sample_rate_hz: int = 24_000
    filters: int = 64
    dimension: int = 512
    ratios: tuple[int, ...] = (8, 6, 5, 4)
    kernel: int = 7
    residual_kernel: int = 3
    last_kernel: int = 3
    compress: int = 2
    layers: int = 8
    heads: int = 8
    feedforward: int = 2048
    context: int = 250
    max_period: float = 10_000.0
    codebook_dim: int = 256
    codebook_size: int = 2048
    codebooks: int = 8
    codebooks_stored: int = 32
    reference_compat: bool = False

    def __post_init__(self) -> None:
        """Refuses sizes that no model can have.

        Raises:
            ValueError: names the field, its value and the rule.
        """
        if self.dimension % (2 * self.heads):
            raise ValueError(
                f"dimension {self.dimension} must be a multiple of 2 * heads = {2 * self.heads}"
            )
        if not 2 <= self.codebooks <= self.codebooks_stored:
            raise ValueError(
                f"codebooks is {self.codebooks}; it must lie between 2 and codebooks_stored = "
                f"{self.codebooks_stored}"
            )
        if self.context < STEPS_PER_FRAME:
            raise ValueError(f"context is {self.context}; a frame alone has {STEPS_PER_FRAME}")

    @property
    def hop_samples(self) -> int:
        """Samples of one latent step before the resampler: 960 at 24 kHz, 25 Hz."""
        return math.prod(self.ratios)

    @property
    def frame_samples(self) -> int:
        """Samples of one frame: 1920 at 24 kHz, 12.5 Hz."""
        return STEPS_PER_FRAME * self.hop_samples

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.dimension // self.heads


# --- Language model: streams -------------------------------------------------------------------

AGENT_CODEBOOKS = 8
USER_CODEBOOKS = 8
STREAMS = 1 + AGENT_CODEBOOKS + USER_CODEBOOKS
"""Token streams of one position: text, then the agent's codes, then the user's."""

TEXT_STREAM = 0
AGENT_STREAMS = slice(1, 1 + AGENT_CODEBOOKS)
USER_STREAMS = slice(1 + AGENT_CODEBOOKS, STREAMS)

DELAYS = (0, *(0, 1, 1, 1, 1, 1, 1, 1), *(0, 1, 1, 1, 1, 1, 1, 1))
"""Positions by which each stream lags its frame: the acoustic codebooks come one later."""

EPAD_TEXT = 0  # last padding before a word
BOS_TEXT = 1
EOS_TEXT = 2
PAD_TEXT = 3
ZERO_TOKEN = -1  # contributes an all-zero embedding


# --- Language model: sizes ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LMConfig:
    """Sizes of the temporal and the depth transformer.

    Attributes:
        dim: width of the temporal transformer.
        heads: its attention heads; dim must divide by it.
        layers: its depth.
        ffn_dim: inner width of its gated feed-forward.
        window_positions: keys that one query may see, itself included.
        rope_period: longest wavelength base of the rotary embedding.
        depth_dim: width of the depth transformer.
        depth_heads: its attention heads.
        depth_layers: its depth.
        depth_ffn_dim: inner width of its gated feed-forward.
        audio_card: codes per codebook; the initial audio token is this number.
        text_card: text tokens; the initial text token is this number.
    """

    dim: int = 4096
    heads: int = 32
    layers: int = 32
    ffn_dim: int = 11_264
    window_positions: int = 3000
    rope_period: float = 10_000.0
    depth_dim: int = 1024
    depth_heads: int = 16
    depth_layers: int = 6
    depth_ffn_dim: int = 2816
    audio_card: int = 2048
    text_card: int = 32_000

    def __post_init__(self) -> None:
        """Refuses sizes that no tensor can have."""
        if self.dim % (2 * self.heads) or self.depth_dim % self.depth_heads:
            raise ValueError("dim must divide into heads of even width, depth_dim into heads")

    @property
    def head_dim(self) -> int:
        """Width of one temporal head."""
        return self.dim // self.heads

    @property
    def depth_steps(self) -> int:
        """Depth steps in the checkpoint: one for each audio stream, the user's included."""
        return AGENT_CODEBOOKS + USER_CODEBOOKS

    @property
    def initial_audio(self) -> int:
        """The audio token that stands before the first frame."""
        return self.audio_card

    @property
    def initial_text(self) -> int:
        """The text token that stands before the first frame."""
        return self.text_card


# --- Engine limits -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What one engine may hold; everything is allocated from it at start.

    Attributes:
        slots: sessions at a time.
        pages: KV pages, the scratch page 0 included; 0 = enough for every slot's full window
            and `cached_prompts` prompts of `prompt_positions`.
        page_size: positions in one KV page.
        min_window_positions: the elastic window never falls below this many positions.
        prompt_positions: longest prompt (voice + silences + role text), in positions.
        prefill_chunk: prompt positions computed in one piece.
        cached_prompts: prompts that stay known while nobody uses them, if memory allows.
        max_text_top_k: largest text top-k that a session may ask for.
        max_audio_top_k: largest audio top-k that a session may ask for.
        buckets: batch sizes that the step is run at; () = always all slots of a phase group.
        phases: phase groups: each ticks its own rows, at its own time.
        reference_compat: reproduce the reference's window exactly (prompt scrolls out, one key
            less than the window) instead of keeping the prompt in sight for ever.
    """

    slots: int = 1
    pages: int = 0
    page_size: int = 64
    min_window_positions: int = 1500
    prompt_positions: int = 768
    prefill_chunk: int = 128
    cached_prompts: int = 8
    max_text_top_k: int = 25
    max_audio_top_k: int = 250
    buckets: tuple[int, ...] = ()
    phases: int = 1
    reference_compat: bool = False

    def __post_init__(self) -> None:
        """Refuses limits that contradict each other."""
        if not 1 <= self.prefill_chunk <= 128:
            raise ValueError(f"prefill_chunk is {self.prefill_chunk}; it must be 1 to 128")
        if self.slots < 1 or self.page_size < 1 or self.prompt_positions < 1:
            raise ValueError("slots, page_size and prompt_positions must be positive")
        if not 1 <= self.phases <= self.slots:
            raise ValueError(f"phases is {self.phases}; it must be 1 to {self.slots}, the slots")
        if self.buckets and max(self.buckets) < self.group_slots:
            raise ValueError(
                f"the largest of buckets {self.buckets} is below {self.group_slots} slots"
            )

    @property
    def group_slots(self) -> int:
        """Slots of the largest phase group; of all, if there is but one."""
        return -(-self.slots // self.phases)


Format = Literal["bf16", "fp8", "int8"]
"""How numbers are kept: bf16 stands for whatever the model computes in, on a CPU float32."""

FormatWish = Literal["auto", "bf16", "fp8", "int8"]


@dataclass(frozen=True, slots=True)
class Execution:
    """How an engine runs on its device. On a CPU everything is plain, whatever is asked for.

    Attributes:
        kernels: run the language model in fused kernels; without them a GPU serves few calls.
        graphs: record the step as CUDA graphs.
        kv: how keys and values are kept: 8 bits hold twice the calls. `auto` takes 8 bits where
            the memory does not hold every slot's full window otherwise.
        weights: how the temporal layers' weights are kept: 8 bits leave 6.1 GiB more for keys and
            values, and need `kernels`. `auto` takes them where the slots do not fit otherwise.
        tf32: let the codec's products round their inputs to 10 bits of mantissa.
        reserve_gib: device memory that KV pages leave free, for graphs and prompt work.
    """

    kernels: bool = True
    graphs: bool = True
    kv: FormatWish = "auto"
    weights: FormatWish = "auto"
    tf32: bool = True
    reserve_gib: float = 3.0

    def __post_init__(self) -> None:
        """Refuses what contradicts itself."""
        if self.weights in ("fp8", "int8") and not self.kernels:
            raise ValueError("weights in 8 bits need kernels")


# --- Checkpoint --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CheckpointConfig:
    """Sizes of everything in a checkpoint folder; the defaults are the published model's."""

    lm: LMConfig = field(default_factory=LMConfig)
    mimi: MimiConfig = field(default_factory=MimiConfig)

    def __post_init__(self) -> None:
        """Refuses a codec whose codes the language model has no tables for."""
        theirs, ours = self.mimi.codebook_size, self.lm.audio_card
        if theirs != ours:
            raise ValueError(f"mimi.codebook_size is {theirs} and lm.audio_card {ours}: not equal")
        if self.mimi.codebooks != AGENT_CODEBOOKS:
            raise ValueError(f"mimi.codebooks is {self.mimi.codebooks}, not {AGENT_CODEBOOKS}")

    @staticmethod
    def parse(data: Mapping[str, Any]) -> CheckpointConfig:
        """Reads {"lm": {...}, "mimi": {...}}; what is not named keeps its default.

        Raises:
            ValueError: names the unknown or impossible entry.
        """
        if not isinstance(data, dict) or not all(isinstance(part, dict) for part in data.values()):
            raise ValueError("the sizes must be an object of objects")
        if unknown := sorted(data.keys() - {"lm", "mimi"}):
            raise ValueError(f"unknown section {unknown[0]!r}; known are lm and mimi")
        return CheckpointConfig(
            lm=LMConfig(**_known(data.get("lm", {}), LMConfig, "lm")),
            mimi=MimiConfig(**_known(data.get("mimi", {}), MimiConfig, "mimi")),
        )


def _known(section: Mapping[str, Any], kind: type, name: str) -> dict[str, Any]:
    types = {entry.name: type(entry.default) for entry in fields(kind)}
    values: dict[str, Any] = {}
    for key, value in section.items():
        if key not in types:
            raise ValueError(f"unknown size {name}.{key}; known are {', '.join(sorted(types))}")
        values[key] = tuple(value) if isinstance(value, list) else value
        if type(values[key]) is not types[key]:
            raise ValueError(f"{name}.{key} is {value!r}; it must be {types[key].__name__}")
    return values
