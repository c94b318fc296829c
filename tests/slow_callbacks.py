"""A pytest plugin: a test fails when something holds up its event loop.

Every call in progress shares one loop, so nothing on it may block (a name looked up, a file, a
sleep) or compute for long. asyncio's debug mode can warn of that, but makes everything slower and
measures by the clock on the wall, which on a shared machine also counts other programs. Here each
callback's time is taken apart:

    wall = on the processor + waiting for the processor + blocked
           ^ computes: counts  ^ others' fault: does not   ^ input, output, sleep: counts

Collections of garbage do not count as computing: they go through all that earlier tests have left
in this process, which a program does not have.

A callback that computed for longer than `LIMIT_S`, or blocked for longer than `BLOCKED_LIMIT_S`,
fails the test in whose phase it ran; a busy disk can hold up for a second whoever opens a file.
A test that computes on the loop on purpose says so: `@pytest.mark.computes_on_loop("why")`.
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Generator
from pathlib import Path

import pytest

LIMIT_S = float(os.environ.get("SLOW_CALLBACK_S", "1.0"))
BLOCKED_LIMIT_S = 2 * LIMIT_S
SAMPLE_EVERY_S = 0.1
MARK = "computes_on_loop"

_seen: list[str] = []
_run_plain = asyncio.Handle._run


class _Waiting(threading.local):
    """How long this thread has waited for a processor, as of a moment not long ago."""

    at_s = -float("inf")
    waited_s = 0.0


_sample = _Waiting()


class _Collecting(threading.local):
    """How long this thread has collected garbage."""

    began_s = 0.0
    total_s = 0.0


_collecting = _Collecting()


def _time_collection(phase: str, _: dict[str, int]) -> None:
    now_s = time.thread_time()
    if phase == "start":
        _collecting.began_s = now_s
    else:
        _collecting.total_s += now_s - _collecting.began_s


def _waited_s() -> float:
    """Time that this thread was ready and had no processor (proc(5), schedstat); 0 if unknown."""
    try:
        text = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat").read_text()
        return int(text.split()[1]) / 1e9
    except (OSError, ValueError, IndexError):  # not Linux, or a sandbox that does not tell
        return 0.0


def _run_timed(handle: asyncio.Handle) -> None:
    began_s, computed_s = time.perf_counter(), time.thread_time()
    if began_s - _sample.at_s > SAMPLE_EVERY_S:
        _sample.at_s, _sample.waited_s = began_s, _waited_s()
    callback, collected_s = handle._callback, _collecting.total_s
    _run_plain(handle)
    wall_s = time.perf_counter() - began_s
    if wall_s < LIMIT_S:
        return
    computed_s = time.thread_time() - computed_s
    blocked_s = wall_s - computed_s - (_waited_s() - _sample.waited_s)
    computed_s -= _collecting.total_s - collected_s
    if computed_s >= LIMIT_S or blocked_s >= BLOCKED_LIMIT_S:
        _seen.append(f"computed {computed_s:.2f} s, blocked {blocked_s:.2f} s: {callback!r}")


def _check(item: pytest.Item) -> None:
    seen, _seen[:] = list(_seen), []
    if seen and item.get_closest_marker(MARK) is None:
        pytest.fail("the event loop was held up:\n  " + "\n  ".join(seen), pytrace=False)


@pytest.hookimpl
def pytest_configure() -> None:
    """Times every callback from now on."""
    asyncio.Handle._run = _run_timed  # type: ignore[method-assign]
    gc.callbacks.append(_time_collection)


@pytest.hookimpl
def pytest_unconfigure() -> None:
    """No more."""
    asyncio.Handle._run = _run_plain  # type: ignore[method-assign]
    gc.callbacks.remove(_time_collection)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    """Fixtures run here."""
    yield
    _check(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """The test itself."""
    yield
    _check(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """The ends of fixtures; what they held up is not the next test's fault."""
    yield
    _check(item)
