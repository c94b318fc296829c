"""Packets and frames."""

from __future__ import annotations

import numpy as np

from callcenter.media.framer import Framer, split


def test_four_packets_make_one_frame() -> None:
    """Not before the fourth, and in order."""
    framer = Framer()
    stream = np.arange(1_920).astype(np.int16)
    for packet in split(stream, 480)[:3]:
        framer.push(packet)
        assert framer.pop() is None
    framer.push(stream[1_440:])
    frame = framer.pop()
    assert frame is not None
    assert np.array_equal(frame, stream)
    assert framer.pop() is None


def test_odd_chunks_keep_every_sample() -> None:
    """What is left over begins the next block."""
    framer = Framer(100)
    stream = np.arange(350).astype(np.int16)
    framer.push(stream[:250])
    framer.push(stream[250:])
    blocks = [framer.pop() for _ in range(4)]
    assert blocks[3] is None
    assert np.array_equal(np.concatenate([b for b in blocks if b is not None]), stream[:300])


def test_split_leaves_a_short_rest() -> None:
    """The last block holds what remains."""
    assert [block.size for block in split(np.zeros(50, np.int16), 20)] == [20, 20, 10]
