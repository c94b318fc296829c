"""Which KV page belongs to whom, on the host: plain numbers.

A call's live pages form a ring. Page by page it takes one as it grows and gives one back as
positions leave its window. When the pool is empty, the call that holds the most live pages
loses its oldest: the elastic window. Admission keeps `floor_pages` for every call, so that a
call in progress always finds a page.

This module knows no tensor and no prompt text; page 0 is scratch and never handed out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field


class PagePool:
    """The free pages."""

    def __init__(self, pages: int) -> None:
        self.capacity = pages - 1
        self._free = list(range(pages - 1, 0, -1))

    @property
    def free(self) -> int:
        """Pages that nobody holds."""
        return len(self._free)

    def pages(self) -> tuple[int, ...]:
        """The pages that nobody holds."""
        return tuple(self._free)

    def take(self) -> int:
        """Hands out a page; the pool must not be empty."""
        return self._free.pop()

    def give(self, pages: Iterable[int]) -> None:
        """Takes pages back."""
        self._free.extend(pages)


@dataclass(slots=True)
class LivePages:
    """One call's ring of private pages.

    `table` is what the device sees. Once every place is taken, the newest page is the oldest
    one again, written over from its beginning: the window is no wider than the ring, so what
    is written over is out of sight.

        S = 4, 4 places, window 15, stop 17:   visible 2..16
        place 0 holds 16 at 0 (new), 2 and 3 at 2 and 3 (from the lap before)

    Attributes:
        page_size: S, positions in a page.
        window: live offsets that may be seen at once.
        table: page of each place in the ring; 0 where there is none.
        stop: the next offset to be written.
        floor: offsets below it were taken away under pressure.
        lost: pages that were taken away so far.
    """

    page_size: int
    window: int
    table: list[int]
    stop: int = 0
    floor: int = 0
    lost: int = 0
    _oldest: int = field(default=0, repr=False)  # oldest page that is held, counted from offset 0
    _next: int = field(default=0, repr=False)  # first page that is not held yet

    @property
    def held(self) -> int:
        """How many pages the call holds."""
        return self._next - self._oldest

    @property
    def needs_page(self) -> bool:
        """Whether the next offset lies in a page that the call does not hold."""
        return self.stop // self.page_size >= self._next

    def scrolled_out(self) -> list[int]:
        """Gives up the pages that no later query can see."""
        first_visible = max(self.floor, self.stop + 1 - self.window)
        freed = []
        while self._oldest < min(first_visible // self.page_size, self._next):
            freed.append(self._drop())
        return freed

    @property
    def wraps(self) -> bool:
        """Whether every place of the ring is taken."""
        return self.held == len(self.table)

    def wrap(self) -> None:
        """Goes on in the oldest page, over what lies there."""
        self._oldest += 1
        self._next += 1

    def grow(self, page: int) -> None:
        """Adds a page behind the newest."""
        self.table[self._next % len(self.table)] = page
        self._next += 1

    @property
    def first_page(self) -> int:
        """The oldest page that the call holds, counted from offset 0."""
        return self._oldest

    def pages(self) -> list[int]:
        """The pages that the call holds, oldest first."""
        return [self.table[page % len(self.table)] for page in range(self._oldest, self._next)]

    def begin_at(self, page: int) -> None:
        """Says that the first page to be held is `page`; the call must hold none yet."""
        self._oldest = self._next = page

    def drop_oldest(self) -> int:
        """Gives up the oldest page before its time; its offsets are seen no more."""
        page = self._drop()
        self.lost += 1
        self.floor = self._oldest * self.page_size
        return page

    def drop_all(self) -> list[int]:
        """Gives up every page."""
        return [self._drop() for _ in range(self.held)]

    def _drop(self) -> int:
        place = self._oldest % len(self.table)
        page, self.table[place] = self.table[place], 0
        self._oldest += 1
        return page


@dataclass(slots=True)
class PromptPages:
    """The pages of one prompt; shared by all calls that use it.

    Attributes:
        pages: in the order of positions.
        positions: the prompt's length.
        done: positions computed so far.
        users: calls that hold it.
    """

    pages: tuple[int, ...]
    positions: int
    done: int = 0
    users: int = 0

    @property
    def ready(self) -> bool:
        """Whether every position is computed."""
        return self.done >= self.positions


class PromptCache:
    """Prompts by key, least recently used first; those in use are never evicted."""

    def __init__(self, pool: PagePool, unused: int) -> None:
        self._pool = pool
        self._unused = unused
        self._prompts: OrderedDict[Hashable, PromptPages] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._prompts

    def __getitem__(self, key: Hashable) -> PromptPages:
        return self._prompts[key]

    def values(self) -> Iterable[PromptPages]:
        """All prompts, least recently used first."""
        return self._prompts.values()

    @property
    def known(self) -> int:
        """How many prompts there are, computed or not."""
        return len(self._prompts)

    def held(self, also: Hashable = None) -> int:
        """Pages of the prompts that calls are using, and of the prompt `also`, if it is known."""
        return sum(
            len(prompt.pages)
            for key, prompt in self._prompts.items()
            if prompt.users or key == also
        )

    def acquire(self, key: Hashable) -> PromptPages:
        """Counts one more user of a known prompt."""
        self._prompts.move_to_end(key)
        self._prompts[key].users += 1
        return self._prompts[key]

    def add(self, key: Hashable, pages: tuple[int, ...], positions: int) -> PromptPages:
        """Adds a prompt that is not computed yet, with one user."""
        self._prompts[key] = PromptPages(pages, positions, users=1)
        return self._prompts[key]

    def release(self, key: Hashable) -> list[Hashable]:
        """Counts one user less.

        Returns:
            The keys that were forgotten by it: a prompt that nobody finished, or the least
            recently used beyond the number to keep.
        """
        prompt = self._prompts[key]
        prompt.users -= 1
        if not prompt.users and not prompt.ready:
            return [self._forget(key)]
        idle = [name for name, entry in self._prompts.items() if not entry.users]
        return [self._forget(name) for name in idle[: max(0, len(idle) - self._unused)]]

    def hand_over(self, key: Hashable) -> tuple[int, ...]:
        """Forgets a prompt and leaves its pages to the caller."""
        return self._prompts.pop(key).pages

    def evict_one(self) -> Hashable | None:
        """Forgets the least recently used prompt that nobody uses; None if all are in use."""
        for key, prompt in self._prompts.items():
            if not prompt.users:
                return self._forget(key)
        return None

    def _forget(self, key: Hashable) -> Hashable:
        self._pool.give(self._prompts.pop(key).pages)
        return key
