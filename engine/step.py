"""One tick on the device: 80 ms in, 80 ms out, for every live row of the batch.

Everything it touches is allocated once and changed in place, its shapes depend on the batch
size alone, and nothing waits for the host: it can be captured in a CUDA graph as it stands.
It knows no session, no page pool and no clock.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol

import torch
from torch import Tensor

from engine.config import AGENT_STREAMS, USER_STREAMS, LMConfig
from engine.interface import FRAME_SAMPLES
from engine.model.delays import GridRows
from engine.model.kv import CacheRows, DecodeAttend, PrefillAttend
from engine.model.lm import Hidden, LanguageModel
from engine.model.mimi import Mimi
from engine.model.sampling import Noise, SamplingRows
from engine.model.state import RowState
from engine.phases import Span

PCM16_SCALE = 32_768.0


@dataclass(frozen=True, slots=True)
class FrameRows:
    """The tick's way in and out.

    Attributes:
        live: bool [B], the rows that take part.
        pcm_in: int16 [B, 1920], the user's frame.
        pcm_out: int16 [B, 1920], the agent's frame.
        text: int64 [B], the text token of the agent's frame.
        broken: bool [B], live rows whose logits were not numbers.
    """

    live: Tensor
    pcm_in: Tensor
    pcm_out: Tensor
    text: Tensor
    broken: Tensor

    @staticmethod
    def allocate(rows: int, device: torch.device) -> FrameRows:
        """Idle rows."""
        return FrameRows(
            live=torch.zeros(rows, dtype=torch.bool, device=device),
            pcm_in=torch.zeros(rows, FRAME_SAMPLES, dtype=torch.int16, device=device),
            pcm_out=torch.zeros(rows, FRAME_SAMPLES, dtype=torch.int16, device=device),
            text=torch.zeros(rows, dtype=torch.int64, device=device),
            broken=torch.zeros(rows, dtype=torch.bool, device=device),
        )

    def rows(self, start: int, stop: int) -> FrameRows:
        """Views of the rows [start, stop)."""
        return FrameRows(*(getattr(self, field.name)[start:stop] for field in fields(self)))


@dataclass(frozen=True, slots=True)
class Rows:
    """All that the rows carry from tick to tick.

    Attributes:
        frame, cache, grid, sampling, codec: one entry a row.
        first: where these rows begin among all rows.
    """

    frame: FrameRows
    cache: CacheRows
    grid: GridRows
    sampling: SamplingRows
    codec: RowState
    first: int = 0

    @property
    def span(self) -> Span:
        """Which rows of all these are."""
        return Span(self.first, len(self.frame.live))

    @property
    def nbytes(self) -> int:
        """Bytes of all of them."""
        parts = (self.frame, self.cache, self.grid, self.sampling)
        tensors = [getattr(part, field.name) for part in parts for field in fields(part)]
        return sum(tensor.nbytes for tensor in (*tensors, *self.codec.tensors.values()))

    def narrow(self, span: Span) -> Rows:
        """Views of some of all rows."""
        first, stop = span.first, span.first + span.batch
        return Rows(
            frame=self.frame.rows(first, stop),
            cache=self.cache.rows(first, stop),
            grid=self.grid.rows(first, stop),
            sampling=self.sampling.rows(first, stop),
            codec=self.codec.narrow(span.batch, first),
            first=first,
        )


@dataclass(frozen=True, slots=True)
class NextColumn:
    """What is drawn of the next column.

    Attributes:
        text: int64 [B].
        agent: int64 [B, 8].
        broken: bool [B], rows whose logits were not numbers.
    """

    text: Tensor
    agent: Tensor
    broken: Tensor


class Codec(Protocol):
    """One frame of every row, either way; see `Mimi`."""

    def encode_frame(self, pcm: Tensor, state: RowState, live: Tensor) -> Tensor:
        """float32 [B, 1920] -> int64 [B, 8]."""
        ...

    def decode_frame(self, codes: Tensor, state: RowState, live: Tensor) -> Tensor:
        """int64 [B, 8] -> float32 [B, 1920]."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """The models and what they share.

    Attributes:
        lm: the language model.
        mimi: the codec.
        pool: the KV pages of all layers.
        scales: what one step is worth in 8-bit pages; see `DecodeAttend`.
        noise: where the draws come from.
        text_k: largest text top-k of any row.
        audio_k: largest audio top-k of any row.
    """

    lm: LanguageModel
    mimi: Mimi
    pool: Tensor
    scales: Tensor | None
    noise: Noise
    text_k: int
    audio_k: int

    @property
    def config(self) -> LMConfig:
        """The language model's sizes."""
        return self.lm.config

    @property
    def codec(self) -> Codec:
        """What encodes and decodes the tick's frames."""
        return self.mimi

    @torch.inference_mode()
    def __call__(self, rows: Rows) -> None:
        """Hears `rows.frame.pcm_in`, says `rows.frame.pcm_out`, and advances the live rows."""
        frame, grid, cache = rows.frame, rows.grid, rows.cache
        live = frame.live
        codec = self.codec
        heard = codec.encode_frame(frame.pcm_in.float() / PCM16_SCALE, rows.codec, live)
        drawn = self.next_column(grid.column(heard), rows)
        spoken = codec.decode_frame(grid.agent_frame(drawn.agent), rows.codec, live)

        frame.pcm_out.copy_(pcm16(spoken))
        frame.text.copy_(grid.text)
        frame.broken.copy_(drawn.broken & live)
        grid.advance(drawn.text, drawn.agent, heard, live)
        cache.advance(live)

    def attend(self, rows: Rows) -> DecodeAttend:
        """The attention of this tick."""
        return DecodeAttend(self.config, self.pool, rows.cache, rows.frame.live, self.scales)

    def next_column(self, column: Tensor, rows: Rows) -> NextColumn:
        """Runs the language model on the complete `column` [B, 17] and draws the next one."""
        sampling, position = rows.sampling, rows.cache.position + 1
        hidden = self.lm(self.lm.embed(column), self.attend(rows))
        draws = self.noise.draw(sampling.seed, position, self.text_k, self.audio_k)
        text = self.lm.draw_text(hidden, sampling, draws)
        agent = self.lm.draw_agent(hidden.state, text.token, sampling, draws)
        return NextColumn(text.token, agent.token, text.broken | agent.broken)

    def prompt(self, x: Tensor, pages: Tensor, start: int) -> Tensor:
        """Computes a piece of a prompt; see `engine.prefill.PromptPiece`."""
        stop = start + len(x)
        attend = PrefillAttend(self.config, self.pool, pages, start, stop, self.scales)
        return self.lm.hidden(x, attend)

    def first_tokens(
        self, last: Hidden, sampling: SamplingRows, position: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Draws the text token [1] and the agent's first code [1, 1] that follow a prompt."""
        draws = self.noise.draw(sampling.seed, position, self.text_k, self.audio_k)
        text = self.lm.draw_text(last, sampling, draws).token
        return text, self.lm.draw_agent(last.state, text, sampling, draws, steps=1).token

    @torch.inference_mode()
    def start(self, rows: Rows, slot: int, last: Hidden, pending: Tensor) -> None:
        """Draws a session's first text token and agent code, and sets its grid.

        Its position and its way of drawing are set already. Between ticks; may wait for the host.

        Args:
            rows: all rows.
            slot: the session's.
            last: the prompt's last position, one row.
            pending: int64 [17], what is known of the next column.
        """
        grid, sampling = rows.grid.rows(slot, slot + 1), rows.sampling.rows(slot, slot + 1)
        position = rows.cache.position[slot : slot + 1]
        text, first = self.first_tokens(last, sampling, position)  # [1], [1, 1]
        grid.text.copy_(text)
        grid.agent.copy_(torch.cat([first, pending[None, AGENT_STREAMS][:, 1:]], dim=1))
        grid.user_acoustic.copy_(pending[None, USER_STREAMS][:, 1:])


def pcm16(sound: Tensor) -> Tensor:
    """Float samples, nominally within -1..1, as clipped 16-bit integers."""
    return (sound * PCM16_SCALE).round().clamp(-PCM16_SCALE, PCM16_SCALE - 1).to(torch.int16)
