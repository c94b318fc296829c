"""The real programs as processes of their own, for tests of the whole system."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

HOST = "127.0.0.1"
LINK_SECRET = "link-secret-of-the-tests-0123456789"
AUTH_TOKEN = "auth-token-of-the-tests-0123456789"
START_S = 40.0


@dataclass(frozen=True)
class Program:
    """A running command.

    Attributes:
        process: itself.
        output: where both its output streams go.
    """

    process: subprocess.Popen[bytes]
    output: Path

    def said(self) -> str:
        """Everything that it has written so far."""
        return self.output.read_text(errors="replace")

    def until_ready(self, url: str) -> None:
        """Waits for a page that answers 200."""
        give_up_at = time.monotonic() + START_S
        while time.monotonic() < give_up_at:
            assert self.process.poll() is None, self.said()
            with suppress(httpx.TransportError):
                if httpx.get(url, trust_env=False).is_success:
                    return
            time.sleep(0.05)
        raise AssertionError(f"{url} did not become ready: {self.said()}")


@contextmanager
def running(output: Path, *arguments: str, **environment: object) -> Iterator[Program]:
    """`python -m callcenter <arguments>`; ended like a service at the end."""
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "callcenter", *arguments],
            env={**os.environ, **{name: str(value) for name, value in environment.items()}},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Program(process, output)
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and what it takes if that is not enough."""
    for name in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        process.send_signal(name)
        with suppress(subprocess.TimeoutExpired):
            process.wait(4)
            return


def sample(page: str, name: str) -> float:
    """One number of a metrics page, by its name with labels; 0 if it is not there."""
    rows = (row.rpartition(" ") for row in page.splitlines())
    return next((float(value) for found, _, value in rows if found == name), 0.0)
