"""The plugin that fails tests whose event loop is held up, tried on tests of its own."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

TESTS = """
import asyncio, gc, socket, subprocess, sys, threading, time
import pytest

def busy():
    began = time.thread_time()
    while time.thread_time() - began < 0.4:
        pass

async def test_quick():
    await asyncio.sleep(0.7)
    await asyncio.to_thread(time.sleep, 0.7)

async def test_shared_machine():
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        began = time.thread_time()
        while time.thread_time() - began < 0.1:
            pass
    finally:
        for other in others:
            other.kill()
            other.wait()

KEPT = [[number] for number in range(500_000)]

async def test_what_earlier_tests_have_left():
    began = time.thread_time()
    while time.thread_time() - began < 0.35:
        gc.collect()

@pytest.mark.computes_on_loop("to see that it may")
async def test_marked():
    busy()

async def test_sleeps():
    time.sleep(0.7)

async def test_computes():
    busy()

async def test_looks_up(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: time.sleep(0.7))  # a silent name server
    socket.getaddrinfo("name.example", 80)

async def test_in_the_background():
    asyncio.get_running_loop().call_soon(time.sleep, 0.7)
    await asyncio.sleep(0.01)

@pytest.fixture
async def slow():
    time.sleep(0.7)

async def test_in_a_fixture(slow):
    pass

@pytest.fixture
async def slow_end():
    yield
    time.sleep(0.7)

async def test_at_a_fixtures_end(slow_end):
    pass

async def test_after_it():
    pass
"""


@pytest.mark.timeout(60)
def test_what_blocks_and_what_computes_fails(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a test, a callback or a fixture; waiting does not, nor what others do on the machine."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setenv("SLOW_CALLBACK_S", "0.25")
    pytester.makepyfile(TESTS)
    options = ("-p", "tests.slow_callbacks", "-p", "no:cacheprovider", "--asyncio-mode=auto")
    result = pytester.runpytest_subprocess(*options)
    result.assert_outcomes(passed=6, failed=4, errors=2)
    result.stdout.fnmatch_lines_random(
        [f"FAILED *::test_{name} *" for name in ("sleeps", "computes", "looks_up")]
        + ["FAILED *::test_in_the_background *", "ERROR *::test_in_a_fixture *"]
        + ["ERROR *::test_at_a_fixtures_end *"]
    )
    result.stdout.fnmatch_lines(["*the event loop was held up:*", "*blocked 0.*sleep*"])
