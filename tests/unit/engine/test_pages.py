"""Rings of live pages and the cache of prompts, as plain numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.pages import LivePages, PagePool, PromptCache


def ring(window: int = 15, places: int = 4, page_size: int = 4) -> LivePages:
    """A ring of 4 pages of 4 positions."""
    return LivePages(page_size, window, [0] * places)


def write(live: LivePages, pool: PagePool, count: int) -> None:
    """Writes offsets as the scheduler does."""
    for _ in range(count):
        pool.give(live.scrolled_out())
        if live.needs_page:
            if live.wraps:
                live.wrap()
            else:
                live.grow(pool.take())
        live.stop += 1


def test_scratch_page_is_never_handed_out() -> None:
    """A pool of 5 has 4 pages to give, none of them 0."""
    pool = PagePool(5)
    assert sorted(pool.take() for _ in range(4)) == [1, 2, 3, 4]
    assert (pool.free, pool.capacity) == (0, 4)
    pool.give([3, 2])
    assert pool.free == 2


def test_ring_takes_a_page_every_page_size_positions() -> None:
    """Nothing at first; then one page for each 4 positions begun."""
    live, pool = ring(), PagePool(20)
    held = []
    for _ in range(9):
        write(live, pool, 1)
        held.append(live.held)
    assert held == [1, 1, 1, 1, 2, 2, 2, 2, 3]


def test_narrow_window_gives_pages_back() -> None:
    """A window of 6 positions never touches more than 3 pages of 4."""
    live, pool = ring(window=6), PagePool(20)
    write(live, pool, 100)
    assert live.held <= 3
    assert pool.free == pool.capacity - live.held
    assert sorted(page for page in live.table if page) == sorted(set(live.table) - {0})


@given(
    window=st.integers(1, 16),
    steps=st.integers(1, 80),
    thefts=st.sets(st.integers(0, 79), max_size=6),
)
def test_every_visible_offset_has_a_page_that_nobody_wrote_over(
    window: int, steps: int, thefts: set[int]
) -> None:
    """Written into real pages, what a query may see is what was written there."""
    live, pool = ring(window), PagePool(6)
    memory: dict[tuple[int, int], int] = {}
    for offset in range(steps):
        if offset in thefts and live.held > 1:
            pool.give([live.drop_oldest()])
        write(live, pool, 1)
        page = live.table[offset // 4 % 4]
        assert page
        memory[page, offset % 4] = offset
        for visible in range(max(live.floor, offset + 1 - window, 0), offset + 1):
            assert memory[live.table[visible // 4 % 4], visible % 4] == visible


def test_dropping_the_oldest_page_raises_the_floor() -> None:
    """The floor is the first offset of the oldest page that is left."""
    live, pool = ring(), PagePool(20)
    write(live, pool, 10)
    page = live.drop_oldest()
    assert page not in live.table
    assert (live.floor, live.held) == (4, 2)


def test_dropping_all_pages_leaves_nothing() -> None:
    """After a call, its table holds no page, and each page comes back once."""
    live, pool = ring(), PagePool(20)
    write(live, pool, 50)
    freed = live.drop_all()
    pool.give(freed)
    assert len(set(freed)) == len(freed) == 4
    assert live.table == [0, 0, 0, 0]
    assert pool.free == pool.capacity


def cache(unused: int = 1) -> tuple[PromptCache, PagePool]:
    """A cache that keeps one unused prompt."""
    pool = PagePool(20)
    return PromptCache(pool, unused), pool


def computed(prompts: PromptCache, pool: PagePool, key: str) -> None:
    """Adds a prompt of 2 pages, computed and with one user."""
    prompts.add(key, (pool.take(), pool.take()), 8).done = 8


def test_prompt_is_kept_after_its_last_user() -> None:
    """A finished prompt stays known and holds its pages."""
    prompts, pool = cache()
    computed(prompts, pool, "a")
    assert prompts.release("a") == []
    assert "a" in prompts
    assert (prompts.held(), prompts.held(also="a"), pool.free) == (0, 2, 17)
    assert prompts.acquire("a").users == 1
    assert prompts.held() == 2


def test_least_recently_used_prompt_is_forgotten_first() -> None:
    """One more unused prompt than are kept: the older goes, with its pages."""
    prompts, pool = cache()
    computed(prompts, pool, "a")
    computed(prompts, pool, "b")
    prompts.acquire("a")
    prompts.release("a")
    prompts.release("b")
    assert prompts.release("a") == ["b"]
    assert pool.free == 17


def test_prompt_in_use_is_never_evicted() -> None:
    """Eviction takes an unused prompt or nothing."""
    prompts, pool = cache()
    computed(prompts, pool, "a")
    assert prompts.evict_one() is None
    prompts.release("a")
    assert prompts.evict_one() == "a"
    assert prompts.evict_one() is None
    assert pool.free == 19


def test_unfinished_prompt_goes_with_its_last_user() -> None:
    """Half a prompt is of no use to anybody."""
    prompts, pool = cache()
    prompts.add("a", (pool.take(),), 4)
    prompts.acquire("a")
    assert prompts.release("a") == []
    assert prompts.release("a") == ["a"]
    assert prompts.known == 0


def test_handed_over_pages_are_the_callers() -> None:
    """The prompt is unknown afterwards and its pages are not free."""
    prompts, pool = cache()
    computed(prompts, pool, "a")
    assert len(prompts.hand_over("a")) == 2
    assert "a" not in prompts
    assert pool.free == 17
