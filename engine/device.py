"""What a card can do, as data: kernels' tiles, 8-bit formats and the memory plan follow from it.

Knows no kernel and no model. Sources: CUDA C++ Programming Guide, "Technical specifications per
compute capability" (shared memory) and PTX ISA, `cvt` (e4m3 from 8.9 on).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

KIB = 1024
LEAST_CAPABILITY = (8, 0)  # before it there is no bf16 arithmetic

EightBits = Literal["fp8", "int8"]


class Unsuited(Exception):
    """The card cannot run what was asked for; the message says what to change."""


# Shared memory that one block may ask for. A capability that is not named here gets the least of
# them: its kernels fit, and may be slower than they could be.
SHARED_BYTES = {
    (8, 0): 163 * KIB,
    (8, 6): 99 * KIB,
    (8, 7): 163 * KIB,
    (8, 9): 99 * KIB,
    (9, 0): 227 * KIB,
    (10, 0): 227 * KIB,
    (10, 3): 227 * KIB,
    (12, 0): 99 * KIB,
    (12, 1): 99 * KIB,
}


@dataclass(frozen=True, slots=True)
class Device:
    """A card.

    Attributes:
        name: as the driver says it.
        capability: its compute capability.
        shared_bytes: shared memory that one block may ask for.
        multiprocessors: how many blocks run side by side, at least.
    """

    name: str
    capability: tuple[int, int]
    shared_bytes: int
    multiprocessors: int

    @staticmethod
    def of(properties: Any) -> Device:
        """From what `torch.cuda.get_device_properties` gives."""
        capability = (properties.major, properties.minor)
        return Device(
            properties.name, capability, shared_bytes(capability), properties.multi_processor_count
        )

    @property
    def runs_kernels(self) -> bool:
        """Whether it has the arithmetic that the kernels are made of."""
        return self.capability >= LEAST_CAPABILITY

    @property
    def eight_bits(self) -> EightBits:
        """The 8-bit format that costs it least: e4m3 floats where it can convert them."""
        return "fp8" if self.capability >= (8, 9) else "int8"

    @property
    def multiplies_from_shared(self) -> bool:
        """Whether its matrix instructions read shared memory.

        Every stage of a loop then has a buffer of its own; else one stage is in registers.
        """
        return self.capability >= (9, 0) and self.capability < (12, 0)


def shared_bytes(capability: tuple[int, int]) -> int:
    """Shared memory that one block may ask for."""
    return SHARED_BYTES.get(capability, min(SHARED_BYTES.values()))


def typical(capability: tuple[int, int], multiprocessors: int = 132) -> Device:
    """A card of this capability, for plans and tests that have none at hand."""
    return Device(
        f"compute capability {capability[0]}.{capability[1]}",
        capability,
        shared_bytes(capability),
        multiprocessors,
    )
