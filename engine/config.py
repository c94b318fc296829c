"""Sizes of the models and limits of the engine, as frozen data.

The defaults are the published 7B model's; tests pass tiny ones. This module knows no tensor,
no file and no environment.
"""

from __future__ import annotations

from dataclasses import dataclass

# ---------------------------------------------------------------- language model: streams

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


# ---------------------------------------------------------------- language model: sizes


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


# ---------------------------------------------------------------- engine limits


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
        buckets: batch sizes that the step is run at; () = always all slots.
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
    reference_compat: bool = False

    def __post_init__(self) -> None:
        """Refuses limits that contradict each other."""
        if not 1 <= self.prefill_chunk <= 128:
            raise ValueError(f"prefill_chunk is {self.prefill_chunk}; it must be 1 to 128")
        if self.slots < 1 or self.page_size < 1 or self.prompt_positions < 1:
            raise ValueError("slots, page_size and prompt_positions must be positive")
        if self.buckets and max(self.buckets) < self.slots:
            raise ValueError(f"the largest of buckets {self.buckets} is below {self.slots} slots")
