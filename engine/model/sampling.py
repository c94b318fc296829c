"""Drawing tokens: softmax, top-k, and a race of exponential clocks.

A token is argmax(p / e) over the k most probable, with e ~ Exp(1): that draws from p restricted
to them. The draws come from a counter-based generator keyed by the session's seed, the target
position and the stream, so that a session draws the same whatever else is in the batch, and
no state is kept. Everything is tensor arithmetic on the device; nothing waits for the host.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol

import torch
from torch import Tensor

from engine.config import AGENT_CODEBOOKS

WORD = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Drawn:
    """Tokens of one stream.

    Attributes:
        token: int64 [B].
        broken: bool [B], the row's logits were not numbers; its token means nothing.
    """

    token: Tensor
    broken: Tensor


@dataclass(frozen=True, slots=True)
class SamplingRows:
    """How each row draws: one entry a row, on the device.

    Attributes:
        seed: int64 [B], all 64 bits count.
        text_temperature: float32 [B]; 0 = always the most probable.
        text_top_k: int64 [B].
        audio_temperature: float32 [B]; 0 = always the most probable.
        audio_top_k: int64 [B].
    """

    seed: Tensor
    text_temperature: Tensor
    text_top_k: Tensor
    audio_temperature: Tensor
    audio_top_k: Tensor

    @staticmethod
    def allocate(rows: int, device: torch.device) -> SamplingRows:
        """Rows that draw greedily until somebody sets them."""

        def zeros(dtype: torch.dtype) -> Tensor:
            return torch.zeros(rows, dtype=dtype, device=device)

        return SamplingRows(
            seed=zeros(torch.int64),
            text_temperature=zeros(torch.float32),
            text_top_k=zeros(torch.int64) + 1,
            audio_temperature=zeros(torch.float32),
            audio_top_k=zeros(torch.int64) + 1,
        )

    def rows(self, start: int, stop: int) -> SamplingRows:
        """Views of the rows [start, stop)."""
        return SamplingRows(*(getattr(self, field.name)[start:stop] for field in fields(self)))


@dataclass(frozen=True, slots=True)
class Draws:
    """Exp(1) draws of one position: the text's [B, Kt] and the agent codebooks' [B, 8, Ka]."""

    text: Tensor
    audio: Tensor


class Noise(Protocol):
    """Where the draws come from."""

    def draw(self, seed: Tensor, position: Tensor, text_k: int, audio_k: int) -> Draws:
        """Draws for the tokens at `position` [B] of the sessions with `seed` [B]."""
        ...


class CounterNoise:
    """Draws from Philox4x32-10, keyed by the seed; the counter is (candidate, stream, position)."""

    def draw(self, seed: Tensor, position: Tensor, text_k: int, audio_k: int) -> Draws:
        """Same seed, position, stream and rank of the candidate, same draw: on any device."""
        block = torch.arange((max(text_k, audio_k) + 3) // 4, device=seed.device)
        stream = torch.arange(1 + AGENT_CODEBOOKS, device=seed.device)
        words = philox(
            (
                block[None, None, :],
                stream[None, :, None],
                (position.long() & WORD)[:, None, None],
                torch.zeros_like(block)[None, None, :],
            ),
            ((seed & WORD)[:, None, None], (seed >> 32 & WORD)[:, None, None]),
        )
        clocks = exponential(torch.stack(words, dim=-1).flatten(-2))  # [B, 9, >= max k]
        return Draws(text=clocks[:, 0, :text_k], audio=clocks[:, 1:, :audio_k])


def philox(counter: tuple[Tensor, ...], key: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).

    Args:
        counter: four int64 tensors with values below 2^32, broadcastable to one shape.
        key: two such tensors.

    Returns:
        Four int64 tensors with values below 2^32: the generator's words.
    """
    a, b, c, d = torch.broadcast_tensors(*counter)
    key_low, key_high = key
    for _ in range(10):
        high_a, low_a = multiply_words(a, 0xD2511F53)
        high_c, low_c = multiply_words(c, 0xCD9E8D57)
        a, b, c, d = high_c ^ b ^ key_low, low_c, high_a ^ d ^ key_high, low_a
        key_low = (key_low + 0x9E3779B9) & WORD
        key_high = (key_high + 0xBB67AE85) & WORD
    return a, b, c, d


def multiply_words(word: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """High and low word of a 32 x 32 bit product.

    The product may pass 2^63 and wrap; its 64 bits are right all the same, and the mask after
    the arithmetic shift removes the sign.
    """
    product = word * factor
    return product >> 32 & WORD, product & WORD


def exponential(word: Tensor) -> Tensor:
    """Exp(1) draws, float32, from words below 2^32.

    23 bits and a half give a uniform number that float32 holds exactly and that is never 0 or
    1. The logarithm is taken in float64, so that devices agree after rounding to float32.
    """
    uniform = ((word >> 9).double() + 0.5) * 2.0**-23
    return -torch.log(uniform).float()


def sample(logits: Tensor, temperature: Tensor, top_k: Tensor, clocks: Tensor) -> Drawn:
    """Draws one token a row.

    Args:
        logits: [B, V], any float type.
        temperature: float32 [B]; 0 = the most probable token.
        top_k: int64 [B], at most K.
        clocks: float32 [B, K], Exp(1) draws; K bounds every row's top-k.
    """
    logits = logits.float()
    greedy = temperature <= 0
    scale = torch.where(greedy, torch.ones_like(temperature), temperature)
    probability = torch.softmax(logits / scale[:, None], dim=-1)
    best, index = torch.topk(probability, clocks.shape[-1], dim=-1)  # [B, K], descending
    allowed = torch.arange(clocks.shape[-1], device=logits.device) < top_k[:, None]
    # -1 loses against every allowed candidate, whose score is never negative.
    score = torch.where(allowed, best / clocks, torch.full_like(best, -1.0))
    drawn = index.gather(1, score.argmax(dim=-1, keepdim=True))[:, 0]
    token = torch.where(greedy, logits.argmax(dim=-1), drawn)
    return Drawn(token=token, broken=torch.isnan(best[:, 0]))
