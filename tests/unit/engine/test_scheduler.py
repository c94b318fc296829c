"""Slots, prompt work and pages over the life of calls."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from engine.config import EngineLimits
from engine.interface import NoFreeSlot
from engine.phases import Span
from engine.scheduler import Scheduler, admitted_calls, least_pages, ring_pages, settle_pages

WINDOW = 32
LIMITS = EngineLimits(
    slots=4,
    page_size=4,
    min_window_positions=8,
    prompt_positions=12,
    prefill_chunk=5,
    cached_prompts=2,
)


def scheduler(**changes: object) -> Scheduler:
    """Four slots with memory for all."""
    limits = replace(LIMITS, **changes)
    return Scheduler(replace(limits, pages=limits.pages or settle_pages(limits, WINDOW)), WINDOW)


def prime(subject: Scheduler) -> list[tuple[int, int]]:
    """Does all prompt work; returns its pieces."""
    pieces = []
    while (chunk := subject.next_chunk()) is not None:
        pieces.append((chunk.start, chunk.stop))
        subject.finish_chunk(chunk)
    return pieces


def live_call(subject: Scheduler, key: str = "bank", positions: int = 10) -> int:
    """Admits a call and starts it."""
    slot = subject.admit(key, positions)
    prime(subject)
    assert slot in subject.start_ready()
    return slot


def test_prompt_work_comes_in_pieces_first_come_first_served() -> None:
    """Pieces of 5 positions; the second prompt waits for the first."""
    subject = scheduler()
    subject.admit("bank", 12)
    subject.admit("clinic", 3)
    assert prime(subject) == [(0, 5), (5, 10), (10, 12), (0, 3)]
    assert subject.start_ready() == [0, 1]
    assert subject.start_ready() == []


def test_known_prompt_makes_no_work() -> None:
    """The second call with a prompt starts at once, on the same pages."""
    subject = scheduler()
    first = live_call(subject)
    second = subject.admit("bank", 10)
    assert subject.next_chunk() is None
    assert subject.start_ready() == [second]
    assert subject.sink_pages(first) == subject.sink_pages(second)
    assert len(subject.sink_pages(first)) == 3


def test_plan_reports_the_tables_that_changed() -> None:
    """A table changes with the first position of each page."""
    subject = scheduler()
    slot = live_call(subject)
    changed = [bool(subject.plan([slot]).changed) for _ in range(9)]
    assert changed == [True, False, False, False, True, False, False, False, True]


def test_plan_of_a_slot_that_is_not_live_changes_nothing() -> None:
    """Waiting and free slots are errors; the live slot beside them is not advanced."""
    subject = scheduler()
    slot = live_call(subject)
    waiting = subject.admit("clinic", 4)
    for wrong in (waiting, 3):
        with pytest.raises(KeyError, match=f"slot {wrong} is not live"):
            subject.plan([slot, wrong])
    assert subject.live(slot).stop == 0


def test_window_is_shared_by_prompt_and_call() -> None:
    """A prompt of 10 leaves 22 positions of 32 to the call, and the pages for them."""
    subject = scheduler()
    slot = live_call(subject)
    assert subject.live(slot).window == 22
    for _ in range(200):
        subject.plan([slot])
    assert subject.live(slot).held <= 7


def test_compat_prompt_becomes_the_calls_first_pages() -> None:
    """No sink; the window is one position short; nobody shares."""
    subject = scheduler(reference_compat=True)
    slot = live_call(subject)
    other = live_call(subject)
    live = subject.live(slot)
    assert (live.stop, live.window, live.held) == (10, 31, 3)
    assert subject.sink_pages(slot) == ()
    assert not set(live.table[:3]) & set(subject.live(other).table)


def test_full_house() -> None:
    """Each slot once; then a refusal that says so."""
    subject = scheduler()
    assert [subject.admit("bank", 10) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(NoFreeSlot, match="all 4 slots"):
        subject.admit("bank", 10)


def test_refusal_for_pages_names_the_numbers() -> None:
    """Two calls are promised 3 pages each; the prompt needs 3 and one is in use."""
    subject = scheduler(pages=1 + 8)
    subject.admit("bank", 10)
    with pytest.raises(
        NoFreeSlot, match=r"8 KV pages .* prompts hold 3, this prompt needs 3, 6 are promised"
    ):
        subject.admit("clinic", 10)
    with pytest.raises(NoFreeSlot):
        subject.admit("bank", 10)


def test_unused_prompt_makes_room() -> None:
    """Pages of prompts that nobody uses are taken before a call loses any."""
    subject = scheduler(pages=1 + 10)
    subject.release(live_call(subject, "bank"))
    subject.release(live_call(subject, "clinic"))
    slot = live_call(subject, "hotel")
    for _ in range(40):
        assert not subject.plan([slot]).shortened
    assert sorted(subject.forgotten()) == ["bank", "clinic"]
    assert subject.forgotten() == []


def test_longest_call_pays_first() -> None:
    """Under pressure a page moves from the longest call to the one that grows."""
    subject = scheduler(pages=1 + 3 + 8)
    long, short = live_call(subject), live_call(subject)
    for _ in range(24):
        subject.plan([long])
    assert subject.live(long).held == 6
    lost = 0
    for _ in range(16):
        plan = subject.plan([short])
        assert plan.shortened.keys() <= {long}
        assert plan.shortened.keys() <= plan.changed
        lost += plan.shortened.get(long, 0)
    assert lost == 2
    assert (subject.live(long).held, subject.live(short).held) == (4, 4)


def test_no_call_falls_below_what_it_was_promised() -> None:
    """Two calls share exactly their promised pages: whoever grows pays for itself."""
    subject = scheduler(pages=1 + 3 + 6)
    slots = [live_call(subject), live_call(subject)]
    for step in range(60):
        subject.plan(slots if step % 3 else slots[1:])
        assert all(remembered(subject, slot) >= min(8, subject.live(slot).stop) for slot in slots)


def remembered(subject: Scheduler, slot: int) -> int:
    """Live offsets that a call's newest query sees."""
    live = subject.live(slot)
    return live.stop - max(live.floor, live.stop - live.window, 0)


def test_a_call_that_comes_from_elsewhere_takes_no_more_than_its_share() -> None:
    """Where pages are few it gets its newest, and the calls that are there keep theirs."""
    subject = scheduler(pages=1 + 3 + 8)
    here = live_call(subject)
    for _ in range(20):
        subject.plan([here])
    slot, empty = subject.adopt("bank", 10, first_page=4, pages=6, stop=38)
    moved = subject.live(slot)
    assert not empty
    assert (moved.first_page, moved.held, moved.floor) == (6, 4, 24)
    assert moved.pages() == [moved.table[page % len(moved.table)] for page in range(6, 10)]
    assert (subject.live(here).held, remembered(subject, here)) == (4, 16)
    check_accounts(subject)


def test_least_pages_let_one_call_in_and_one_less_none() -> None:
    """The longest prompt, the promised window and the scratch page."""
    least = least_pages(LIMITS, WINDOW)
    assert scheduler(pages=least).admit("bank", 12) == 0
    with pytest.raises(NoFreeSlot, match="cannot hold one more call"):
        scheduler(pages=least - 1).admit("bank", 12)


def test_loss_of_a_call_that_has_gone_is_nobodys() -> None:
    """A page that was taken for a new prompt is not laid to the slot's next caller."""
    subject = scheduler(pages=1 + 3 + 10, cached_prompts=0)
    long, other = live_call(subject), live_call(subject)
    for _ in range(24):
        subject.plan([long])
    for _ in range(4 * subject.pool.free):
        subject.plan([other])
    subject.admit("clinic", 4)
    assert subject.live(long).lost == 1
    subject.release(long)
    assert live_call(subject) == long
    assert not subject.plan([long, other]).shortened


def test_groups_fill_evenly() -> None:
    """Each call goes where the fewest are, and to the lowest slot there."""
    subject = scheduler(phases=2)
    assert [live_call(subject) for _ in range(3)] == [0, 2, 1]
    subject.release(0)
    subject.release(1)
    assert [live_call(subject) for _ in range(2)] == [0, 1]
    assert live_call(subject) == 3
    with pytest.raises(NoFreeSlot, match="all 4 slots"):
        subject.admit("bank", 10)


def test_each_group_runs_its_own_rows() -> None:
    """Up to its highest live one that takes part."""
    subject = scheduler(phases=2, buckets=(1, 2))
    for _ in range(4):
        live_call(subject)
    assert subject.plan([2]).spans == (Span(2, 1),)
    assert subject.plan([3]).spans == (Span(2, 2),)
    assert subject.plan([3, 0]).spans == (Span(0, 1), Span(2, 2))
    assert subject.plan([]).spans == ()


def test_release_of_a_free_slot_is_an_error() -> None:
    """Releasing twice is a mistake that must not pass."""
    subject = scheduler()
    slot = live_call(subject)
    subject.release(slot)
    with pytest.raises(KeyError, match="slot 0 is free"):
        subject.release(slot)


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_pages_are_never_lost_or_shared_by_mistake(seed: int, compat: bool) -> None:
    """A thousand random steps: private pages are private, and every page is accounted for."""
    chance = random.Random(seed)
    subject = scheduler(pages=1 + 24, reference_compat=compat)
    for _ in range(1000):
        live = [slot for slot, seat in subject.seats.items() if seat.started]
        action = chance.random()
        if action < 0.05:
            try:
                subject.admit(chance.choice("abcdef"), 10)
            except NoFreeSlot:
                assert subject.seats
        elif action < 0.09 and subject.seats:
            subject.release(chance.choice(list(subject.seats)))
        elif action < 0.2 and (chunk := subject.next_chunk()):
            subject.finish_chunk(chunk)
            subject.start_ready()
        elif live:
            subject.plan(chance.sample(live, chance.randint(1, len(live))))
            assert all(remembered(subject, s) >= min(8, subject.live(s).stop) for s in live)
        check_accounts(subject)


def check_accounts(subject: Scheduler) -> None:
    """Free, private and prompt pages are disjoint and together all there are."""
    private = [page for seat in subject.seats.values() for page in seat.live.table if page]
    prompts = [page for prompt in subject.prompts.values() for page in prompt.pages]
    free = list(subject.pool.pages())
    assert sorted(private + prompts + free) == list(range(1, subject.pool.capacity + 1))


def test_settled_pages_hold_every_window() -> None:
    """All slots at full length, each with a prompt of its own, and nobody is shortened."""
    subject = scheduler(min_window_positions=WINDOW)
    slots = [live_call(subject, str(index), 12) for index in range(4)]
    for _ in range(100):
        assert not subject.plan(slots).shortened
    assert ring_pages(LIMITS, WINDOW) == 8


@pytest.mark.parametrize("pages", [11, 17, 30, 45, 400])
@pytest.mark.parametrize("prompts", [1, 3])
def test_as_many_calls_are_let_in_as_were_promised(pages: int, prompts: int) -> None:
    """With the longest prompts, as different as prompts are kept: no advertised slot is refused."""
    limits = replace(LIMITS, slots=6, pages=pages, prompt_positions=20, cached_prompts=prompts)
    promised = admitted_calls(limits, WINDOW)
    assert 0 <= promised <= 6
    subject = Scheduler(limits, WINDOW)
    for call in range(promised):
        subject.admit(f"prompt {call % prompts}", min(20, WINDOW // 2))
    assert admitted_calls(replace(limits, pages=100_000), WINDOW) == 6
    assert admitted_calls(replace(limits, pages=1), WINDOW) == 0
