"""The command line."""

import os
import subprocess
import sys

import pytest

EMPTY = {"PATH": os.environ["PATH"]}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "callcenter", *arguments],
        env={**EMPTY, **environment},
        capture_output=True,
        text=True,
        timeout=9,
        check=False,
    )


def test_help_names_the_commands() -> None:
    """And loads none of their programs."""
    done = run("--help")
    assert done.returncode == 0
    for command in ("demo", "gateway", "worker", "admin", "call"):
        assert command in done.stdout


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("gateway",), "PUBLIC_BASE_URL"),
        (("worker",), "LINK_SECRET"),
        (("admin",), "ADMIN_SECRET"),
        (("call", "--number", "+15550100"), "TWILIO_AUTH_TOKEN"),
    ],
)
def test_a_missing_setting_is_a_message_and_no_traceback(arguments, word) -> None:
    """Exit status 2, as for a wrong option."""
    done = run(*arguments)
    assert done.returncode == 2
    assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_line_itself_loads_no_program() -> None:
    """A gateway's image has no torch, a worker's needs no FastAPI."""
    code = (
        "import sys, callcenter.__main__;"
        "print([m for m in ('torch', 'fastapi', 'redis', 'onnxruntime') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=9, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_gateway_loads_no_torch() -> None:
    """Only the worker's image carries it."""
    code = "import sys, callcenter.gateway.program; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=9, check=True
    )
    assert done.stdout.strip() == "False"
