"""`python -m callcenter demo` as a newcomer starts it."""

import asyncio
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.servers import free_port

START_S = 60.0
STOP_S = 40.0


@dataclass(frozen=True)
class Demo:
    """A running demo.

    Attributes:
        gateway, admin: addresses.
        database_url: of the admin app.
        secret: of an admin's key.
        auth_token: that test calls are signed with.
    """

    gateway: str
    admin: str
    database_url: str
    secret: str
    auth_token: str

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """Asks the API as the first admin; whatever is refused fails the test.

        Changes go through whatever the object was before.
        """
        headers = {"Authorization": f"Bearer {self.secret}", "If-Match": "*"}
        answer = httpx.request(
            method, self.admin + path, json=body, headers=headers, trust_env=False, **more
        )
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def call(self, number: str, *options: str) -> Mapping[str, Any]:
        """Calls a number from the command line; what the command printed."""
        command = [sys.executable, "-m", "callcenter", "call", "--number", number]
        command += ["--server", self.gateway, "--token", self.auth_token, *options]
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        printed, _ = await process.communicate()
        result: Mapping[str, Any] = json.loads(printed.decode().splitlines()[-1])
        return result


@contextmanager
def started(folder: Path) -> Iterator[Demo]:
    """A demo that keeps its data in a folder, until the end of the block."""
    port, admin_port = free_port(), free_port()
    command = [sys.executable, "-m", "callcenter", "demo", "--port", str(port)]
    command += ["--admin-port", str(admin_port), "--data", str(folder / "data")]
    command += ["--engine", "rehearsal"]  # which renders no lines beside the tests
    with (folder / "printed").open("w+") as printed:
        process = subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT)
        try:
            text = _until_welcome(process, folder / "printed")
            admin = f"http://127.0.0.1:{admin_port}"
            yield Demo(
                gateway=f"http://127.0.0.1:{port}",
                admin=admin,
                database_url=f"sqlite:///{folder}/data/callcenter.db",
                secret=_lasting(admin, _found(r"Log in with: +(\S+)", text)),
                auth_token=_found(r"TWILIO_AUTH_TOKEN=(\S+)", text),
            )
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(STOP_S)


def _lasting(admin: str, printed: str) -> str:
    """A key as the newcomer makes one: the printed one ends when another admin gets in."""
    headers = {"Authorization": f"Bearer {printed}"}
    body = {"name": "tests", "role": "admin"}
    answer = httpx.post(f"{admin}/v1/api_keys", json=body, headers=headers, trust_env=False)
    assert answer.is_success, answer.text
    return str(answer.json()["secret"])


def _until_welcome(process: subprocess.Popen[bytes], printed: Path) -> str:
    give_up_at = time.monotonic() + START_S
    while time.monotonic() < give_up_at:
        text = printed.read_text()
        if "Ctrl-C ends the demo." in text:  # the welcome's last words
            return text
        assert process.poll() is None, text[-2_000:]
        time.sleep(0.1)
    raise AssertionError(f"the demo did not start: {printed.read_text()[-2_000:]}")


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None, pattern
    return match.group(1)
