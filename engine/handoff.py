"""One session's whole state, to go on elsewhere: another engine, another process.

    state = engine.export_session(slot)     between two ticks; the session goes on meanwhile
    data = state.to_bytes()                 safetensors
    slot = other.import_session(SessionState.from_bytes(data))

The next tick of the importing engine computes what the exporting one's would have. The other
engine must have the same weights, the same kind of KV pages and the session's voice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from engine.interface import EngineError, Sampling, SessionSpec


class HandoffRefused(EngineError):
    """The state does not belong into this engine; the message says why."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a session stands; plain numbers.

    Attributes:
        weights_id: the checkpoint's.
        pages: type and size of the KV pages, as `page_kind` says.
        prompt: positions of the prompt.
        prompt_sha256: of what it reads, as `Prefix.sha256` says.
        first_page: the oldest live page, counted from the first.
        stop: the next live offset.
        floor: live offsets below it were given up.
    """

    weights_id: str
    pages: str
    prompt: int
    prompt_sha256: str
    first_page: int
    stop: int
    floor: int


@dataclass(frozen=True, slots=True)
class SessionState:
    """Everything of a session.

    Attributes:
        spec: what it was admitted with.
        standing: where it stands.
        tensors: on the host. "sink" and "live" are pages [layers, n, ...] as bytes, with
            int8 "sink_scales" and "live_scales" as well; "last.*" is the prompt's last result,
            "scales" those of fp8 pages, "grid.*" and "codec.*" rows.
    """

    spec: SessionSpec
    standing: Standing
    tensors: Mapping[str, Tensor]

    def to_bytes(self) -> bytes:
        """A safetensors file; personal data may stand in its role text."""
        header = {
            "spec": json.dumps(asdict(self.spec)),
            "standing": json.dumps(asdict(self.standing)),
        }
        return save({name: tensor.contiguous() for name, tensor in self.tensors.items()}, header)

    @staticmethod
    def from_bytes(data: bytes) -> SessionState:
        """Reads what `to_bytes` wrote.

        Raises:
            HandoffRefused: the bytes are no session.
        """
        try:
            length = int.from_bytes(data[:8], "little")
            header = json.loads(data[8 : 8 + length])["__metadata__"]
            spec, standing = json.loads(header["spec"]), Standing(**json.loads(header["standing"]))
            spec["sampling"] = Sampling(**spec["sampling"])
            for entry in fields(standing):
                if type(getattr(standing, entry.name)).__name__ != entry.type:
                    raise TypeError(f"{entry.name} is not {entry.type}")
            return SessionState(SessionSpec(**spec), standing, load(data))
        except (SafetensorError, ValueError, KeyError, TypeError) as error:  # cut or foreign
            raise HandoffRefused(f"these bytes are no exported session: {error}") from error


def page_kind(pool: Tensor) -> str:
    """What two pools must share for pages to move between them."""
    layers, _, _, heads, slots, dim = pool.shape
    return f"{str(pool.dtype).removeprefix('torch.')} {layers} x {heads} x {slots} x {dim}"


def read_pages(pool: Tensor, pages: list[int]) -> Tensor:
    """Copies pages to the host as bytes, layer by layer: [layers, n, 2, H, S, bytes]."""
    index = torch.tensor(pages, dtype=torch.long, device=pool.device)
    shape = (len(pool), *pool.view(torch.uint8)[0, index].shape)
    copied = torch.empty(shape, dtype=torch.uint8, pin_memory=pool.is_cuda)
    for layer, place in zip(pool, copied, strict=True):
        place.copy_(layer.view(torch.uint8)[index])
    return copied


def write_pages(pool: Tensor, pages: list[int], contents: Tensor) -> None:
    """Puts pages back that `read_pages` copied."""
    index = torch.tensor(pages, dtype=torch.long, device=pool.device)
    for layer, content in zip(pool, contents, strict=True):
        layer.view(torch.uint8)[index] = content.to(pool.device)


def check_tensors(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Compares names, types and shapes.

    Raises:
        HandoffRefused: names what is missing, too much or different.
    """
    if odd := sorted(tensors.keys() ^ wanted.keys()):
        raise HandoffRefused(f"the session's data are not this engine's: {odd[0]}")
    for name, like in wanted.items():
        given = tensors[name]
        if (given.dtype, given.shape) != (like.dtype, like.shape):
            raise HandoffRefused(
                f"the session's {name} is {given.dtype} {list(given.shape)}, "
                f"this engine's {like.dtype} {list(like.shape)}"
            )


def export_rows(prefix: str, rows: Any, slot: int) -> dict[str, Tensor]:
    """One row of every tensor of a rows dataclass."""
    return {f"{prefix}.{f.name}": getattr(rows, f.name)[slot].cpu() for f in fields(rows)}


def import_rows(prefix: str, rows: Any, slot: int, tensors: Mapping[str, Tensor]) -> None:
    """Overwrites one row of every tensor of a rows dataclass."""
    for entry in fields(rows):
        getattr(rows, entry.name)[slot] = tensors[f"{prefix}.{entry.name}"].to(
            getattr(rows, entry.name).device
        )


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, without it."""
    start = f"{prefix}."
    return {name.removeprefix(start): t for name, t in tensors.items() if name.startswith(start)}
