"""The jitter buffer, packet by packet."""

import pytest

from callcenter.media.jitter import Advice, Gap, JitterBuffer, step


def fed(*sequences: int) -> JitterBuffer:
    """A buffer with up to three packets, 20 ms apart, whose payload is their number."""
    buffer = JitterBuffer()
    for index, sequence in enumerate(sequences):
        buffer.push(sequence, str(sequence).encode(), 0.02 * index)
    return buffer


def played(*sequences: int) -> tuple[JitterBuffer, list[bytes | Gap]]:
    """A buffer that was fed and played in step, and what came out; the next turn is at 0.02 s * n.

    What is not there (None) came late or never.
    """
    buffer, got = JitterBuffer(), []
    for index, sequence in enumerate(sequences):
        if sequence is not None:
            buffer.push(sequence, str(sequence).encode(), 0.02 * index)
        if index >= 2:
            got.append(buffer.pull(0.02 * index + 0.001))
    return buffer, got


@pytest.mark.parametrize(
    ("later", "earlier", "apart"),
    [(1, 0, 1), (0, 65_535, 1), (65_535, 0, -1), (32_768, 0, -32_768)],
)
def test_sequence_arithmetic(later, earlier, apart) -> None:
    """16-bit numbers wrap round."""
    assert step(later, earlier) == apart


def test_it_waits_before_it_plays() -> None:
    """40 ms pass before the first packet comes out."""
    buffer = fed(7)
    assert buffer.pull(0.02) is Gap.EMPTY
    buffer.push(8, b"8", 0.02)
    assert buffer.pull(0.04) == b"7"
    assert buffer.pull(0.06) == b"8"


def test_numbers_wrap_round() -> None:
    """65535 is followed by 0."""
    _, got = played(65_533, 65_534, 65_535, 0, 1, 2)
    assert got == [b"65533", b"65534", b"65535", b"0"]


def test_a_lost_packet_is_one_gap() -> None:
    """The packets behind it are not delayed by it."""
    buffer, got = played(1, 2, 3, None, 5, 6, 7, 8)
    assert got == [b"1", b"2", b"3", Gap.LOST, b"5", b"6"]
    assert buffer.counters.concealed == 1


def test_a_lost_packet_at_the_end_stands_for_itself() -> None:
    """Concealed while nothing is there; its successor is then played, not concealed again."""
    buffer = fed(1, 2, 3)
    for turn in range(3):
        buffer.pull(0.06 + 0.02 * turn)
    assert buffer.pull(0.12) is Gap.LOST
    buffer.push(5, b"5", 0.13)
    assert buffer.pull(0.14) == b"5"
    assert buffer.counters.concealed == 1


def test_a_late_packet_is_played_when_it_is_alone() -> None:
    """The delay grows by it rather than that its words are lost."""
    buffer = fed(1, 2, 3)
    for turn in range(4):
        buffer.pull(0.06 + 0.02 * turn)
    buffer.push(4, b"4", 0.13)
    assert buffer.pull(0.14) == b"4"


def test_copies_are_dropped() -> None:
    """Before and after their time."""
    buffer = fed(1, 2, 2, 3)
    assert [buffer.pull(0.08 + 0.02 * i) for i in range(3)] == [b"1", b"2", b"3"]
    buffer.push(2, b"2", 0.2)
    assert buffer.counters.duplicates == 2
    assert buffer.pull(0.2) is Gap.LOST


def test_a_far_end_that_stops_empties_it() -> None:
    """Five concealments, then nothing; a new start waits again."""
    buffer = fed(1, 2, 3)
    got = [buffer.pull(0.06 + 0.02 * i) for i in range(9)]
    assert got[3:8] == [Gap.LOST] * 5
    assert got[8] is Gap.EMPTY
    buffer.push(4, b"4", 1.0)
    assert buffer.pull(1.0) is Gap.EMPTY
    assert buffer.pull(1.04) == b"4"


def test_another_stream_starts_anew() -> None:
    """A jump of the numbers is no loss of a thousand packets."""
    buffer = fed(1, 2, 3)
    buffer.pull(0.06)
    buffer.push(40_000, b"new", 0.08)
    assert buffer.pull(0.08) is Gap.EMPTY
    assert buffer.pull(0.125) == b"new"


def test_a_burst_is_cut_at_the_limit() -> None:
    """What the reader does not make up for in 0.2 s goes; and there is never more than a second."""
    buffer = fed(*range(3))
    buffer.pull(0.06)
    for sequence in range(3, 14):
        buffer.push(sequence, b"", 0.07)
    for turn in range(20):
        buffer.push(14 + turn, b"", 0.08 + 0.02 * turn)
        buffer.pull(0.08 + 0.02 * turn)
    assert buffer.waiting_s <= 0.06
    assert buffer.counters.dropped == 11
    for sequence in range(40, 100):
        buffer.push(sequence, b"", 0.5)
    assert buffer.waiting_s <= 1.0


def test_a_reader_that_makes_up_for_its_stall_loses_nothing() -> None:
    """Ten packets at once, then ten pulls at once."""
    buffer = fed(*range(3))
    buffer.pull(0.06)
    for sequence in range(3, 13):
        buffer.push(sequence, b"x", 0.25)
    assert all(isinstance(buffer.pull(0.25), bytes) for _ in range(11))
    assert buffer.counters.dropped == 0


def advice(buffer: JitterBuffer, turn: int) -> Advice:
    """What it says before the pull of a turn."""
    return buffer.advice(0.02 * turn + 0.001)


def test_too_much_delay_is_to_shrink_and_too_little_to_grow() -> None:
    """The advice follows the latest packets, whether jitter or a slow clock makes them late."""
    buffer = JitterBuffer()
    for index in range(100):
        buffer.push(index, b"x", 0.02 * index)
        buffer.pull(0.02 * index + 0.001)
    assert advice(buffer, 100) is Advice.SHRINK
    assert advice(buffer, 101) is Advice.SHRINK_FAST  # 20 ms more
    assert advice(buffer, 99) is Advice.KEEP
    assert advice(buffer, 98) is Advice.GROW
    assert advice(buffer, 97) is Advice.GROW_FAST
    for index in range(100, 500):
        buffer.push(index, b"x", 0.02 * index + 0.0001 * (index - 100))
        buffer.pull(0.02 * index + 0.001)
    assert advice(buffer, 500) is Advice.GROW


def test_late_packets_make_it_grow_when_it_happens_again() -> None:
    """How late they come says how much delay is missing; once is not enough."""
    buffer, got = played(1, 2, 3, None, 5, 6, 7, 8, None, 10, 11, 12)
    assert got.count(Gap.LOST) == 2
    buffer.push(4, b"4", 0.2)
    assert advice(buffer, 12) is not Advice.GROW_FAST
    buffer.push(9, b"9", 0.35)
    assert buffer.counters.late == 2
    assert advice(buffer, 12) is Advice.GROW_FAST


def test_it_never_grows_beyond_the_limit() -> None:
    """Packets that are spread over more cannot all be waited for."""
    buffer = JitterBuffer()
    for index in range(100):
        buffer.push(index, b"x", 0.02 * index + (0.15 if index % 10 == 5 else 0.0))
        buffer.pull(0.02 * index + 0.06)
    assert buffer.advice(2.0 + 0.08) is Advice.GROW_FAST
    assert buffer.advice(2.0 + 0.11) is Advice.KEEP
