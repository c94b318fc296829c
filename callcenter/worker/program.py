"""The worker program: builds the parts, runs until told to end, drains, goes.

SIGTERM, SIGINT   drain: no new session, live ones may end by themselves until the deadline
a second one      end the live sessions now
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import time
from collections.abc import AsyncIterator, Iterable

import structlog

from callcenter import logs, metrics, tracing
from callcenter.background import Supervisor
from callcenter.broker import keys
from callcenter.broker.broker import Broker
from callcenter.broker.connection import connect
from callcenter.broker.placement import WorkerInfo
from callcenter.errors import ConfigurationError
from callcenter.link.server import LinkServer
from callcenter.link.tls import server_tls
from callcenter.published.board import Clips
from callcenter.settings import WorkerSettings
from callcenter.worker import deletion_cost, engines
from callcenter.worker.admission import Admission, Identity
from callcenter.worker.deletion_cost import DeletionCost, Pod
from callcenter.worker.health import HealthServer
from callcenter.worker.membership import Membership
from callcenter.worker.published import CLIP_TIMEOUT_S, published_prompts, with_voices
from callcenter.worker.service import DRAINED, SessionService
from callcenter.worker.sessions import Post
from callcenter.worker.ticker import Ticker
from callcenter.worker.voices import TakesVoices, VoiceIntake
from callcenter.worker.warm_up import rendered, session_of, warm_up
from engine.interface import Engine, SessionSpec

PULSE_S = 0.25
LOOP_STUCK_S = 5.0
LAST_WORDS_S = 2.0

log = structlog.get_logger(__name__)


def run(settings: WorkerSettings) -> int:
    """Runs a worker until it's told to end.

    Returns:
        The process's exit code: 0 after a drain, 1 if the engine broke or a newer process has this
        worker's id.

    Raises:
        ConfigurationError: the engine can't be built, or a port is taken.
    """
    logs.configure(settings.log_level, "worker", settings.log_pii, settings.log_format)
    wanted = asyncio.run(published_prompts(settings))
    engine = engines.build(settings, len(wanted))
    personas = asyncio.run(with_voices(settings, engine, engines.voices(settings), wanted))
    personas = personas or rendered(engines.personas(settings))
    known_prompts = warm_up(engine, personas)
    usable = [each for each in personas if each.prompt_hash in known_prompts] or personas
    probe = session_of(usable[0], "probe") if usable else None
    tracing.configure("worker", settings.otel_exporter_otlp_endpoint)
    try:
        return asyncio.run(Worker(settings, engine, known_prompts, probe).run())
    finally:
        tracing.shutdown()
        gc.unfreeze()  # or else Python's end finds native objects that nobody has ended


class Worker:
    """One worker process' parts.

    Args:
        settings: everything it needs.
        engine: ready to tick.
        known_prompts: prompts (by their hashes) that the engine has taken in already.
        probe: what an idle engine is asked, to show that it steps frames in time.

    Attributes:
        started: set once every part runs and the books, if they can be reached, know it.
        url: where gateways open links; known once started.
        http_port: where the health pages are.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        engine: Engine,
        known_prompts: Iterable[str] = (),
        probe: SessionSpec | None = None,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._identity = Identity(
            settings.worker_id, epoch=time.time_ns() // 1_000_000, slots=engine.slots
        )
        self._admission = Admission(self._identity, settings.link_secrets)
        for name in known_prompts:
            self._admission.remember_prompt(name)
        self._ticker = Ticker(engine, self._hand_over, probe)
        redis = connect(settings.redis_url, timeout_s=CLIP_TIMEOUT_S, decode_responses=False)
        self._clips_redis = redis
        files = engines.voices(settings) if isinstance(engine, TakesVoices) else {}
        intake = VoiceIntake(engine, engine.kind, Clips(redis), files)
        self._service = SessionService(self._admission, self._ticker, engine.kind, intake)
        self._server = LinkServer(self._admission.judge, self._service.serve)
        self._loop_beat_s = time.monotonic()
        self._told_to_end = asyncio.Event()
        self._supervisor = Supervisor()
        self._exit_code = 0
        self.started = asyncio.Event()
        self.url = ""
        self.http_port = 0

    @property
    def epoch(self) -> int:
        """This process's start, in Unix ms: part of every session token for it."""
        return self._identity.epoch

    async def run(self) -> int:
        """Runs with signals until the drain is over; returns the exit code."""
        self._loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(name, self.drain)
        async with self.running():
            await self._told_to_end.wait()
            await self._drain_out()
        return self._exit_code

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Worker]:
        """Starts every part, and stops them in the opposite order.

        Raises:
            ConfigurationError: a port is taken.
        """
        self._loop = asyncio.get_running_loop()
        async with contextlib.AsyncExitStack() as stack:
            self._ticker.start()
            stack.callback(self._ticker.stop)
            await self._listen(stack)
            stack.push_async_callback(self._clips_redis.aclose)
            membership = await self._join(stack)
            cost = await self._deletion_cost(stack)
            self._supervisor.keep("pulse", self._pulse)
            self._supervisor.keep("heartbeat", membership.run)
            if cost is not None:
                self._supervisor.keep("deletion_cost", cost.run, vital=False)
            stack.push_async_callback(self._supervisor.close)
            metrics.WORKER_SLOTS_TOTAL.labels(self._engine.kind).set(self._engine.slots)
            # What start-up made stays for good: collections need not look at it again.
            gc.collect()
            gc.freeze()
            log.info(
                "worker_started",
                worker_id=self._identity.worker_id,
                engine=self._engine.kind,
                slots=self._engine.slots,
                url=self.url,
                http_port=self.http_port,
            )
            self.started.set()
            yield self

    def drain(self) -> None:
        """Takes no new session; called again, ends the live ones."""
        if self._admission.draining:
            self._service.end_all(DRAINED)
            return
        log.info("draining", deadline_s=self._settings.drain_deadline_s)
        self._admission.draining = True
        self._service.warn_of_drain(self._settings.drain_deadline_s)
        self._told_to_end.set()

    def dead(self) -> str:
        """Why this process should be restarted, or ""."""
        now = time.monotonic()
        if not self._ticker.alive(now):
            return "the tick thread does not tick"
        return "the event loop is stuck" if now - self._loop_beat_s > LOOP_STUCK_S else ""

    def unready(self) -> str:
        """Why this process should get no new call, or ""."""
        if self._admission.draining:
            return "draining"
        why = self.dead() or self._ticker.unready(time.monotonic())
        if why or not self._supervisor.failing():
            return why
        return self._supervisor.trouble()

    async def _listen(self, stack: contextlib.AsyncExitStack) -> None:
        settings = self._settings
        try:
            tls = server_tls(
                settings.worker_tls_certificate,
                settings.worker_tls_key,
                settings.worker_tls_client_ca,
            )
            port = await self._server.start(settings.worker_host, settings.worker_port, tls)
            stack.push_async_callback(self._server.stop)
            health = HealthServer(
                settings.worker_host,
                settings.worker_http_port,
                dead=self.dead,
                unready=self.unready,
            )
        except OSError as error:
            raise ConfigurationError(
                f"WORKER_PORT={settings.worker_port} or WORKER_HTTP_PORT="
                f"{settings.worker_http_port} can't be used on {settings.worker_host}: {error}"
            ) from None
        health.start()
        stack.callback(health.stop)
        self.http_port = health.port
        scheme, host = "ws" if tls is None else "wss", settings.worker_host
        address = f"[{host}]" if ":" in host else host
        self.url = settings.worker_url or f"{scheme}://{address}:{port}"

    async def _join(self, stack: contextlib.AsyncExitStack) -> Membership:
        """Registers and makes sure that the books forget this process at its end."""
        settings, identity = self._settings, self._identity
        redis = connect(settings.redis_url, timeout_s=settings.redis_timeout_s)
        stack.push_async_callback(redis.aclose)
        broker = Broker(
            redis,
            settings.worker_pool,
            timeout_s=settings.redis_timeout_s,
            worker_lease_s=max(keys.WORKER_LEASE_S, 3 * settings.heartbeat_s),
        )
        membership = Membership(
            broker,
            WorkerInfo(
                worker_id=identity.worker_id,
                url=self.url,
                epoch=identity.epoch,
                slots=identity.slots,
                kind=self._engine.kind,
                model=settings.checkpoint or self._engine.kind,
            ),
            self._admission,
            tick_p99_ms=self._ticker.tick_p99_ms,
            heartbeat_s=settings.heartbeat_s,
            on_drain=self.drain,
            on_superseded=lambda: self._give_up("a newer process has this worker's id"),
        )
        await membership.beat()
        stack.push_async_callback(membership.leave)
        self._membership = membership
        return membership

    async def _deletion_cost(self, stack: contextlib.AsyncExitStack) -> DeletionCost | None:
        """In a cluster: lets a scale-down know how many calls this pod has."""
        settings = self._settings
        if not (settings.pod_name and settings.pod_namespace and settings.kubernetes_service_host):
            return None
        host, port = settings.kubernetes_service_host, settings.kubernetes_service_port
        api_url = f"https://{f'[{host}]' if ':' in host else host}:{port}"
        try:
            http = await stack.enter_async_context(deletion_cost.client())
        except OSError as error:  # the pod's account is not mounted
            log.warning("no_deletion_cost", why=str(error))
            return None
        pod = Pod(api_url, settings.pod_namespace, settings.pod_name)
        return DeletionCost(http, pod, lambda: len(self._admission.sessions))

    def _hand_over(self, post: Post) -> None:
        """Called in the tick thread: results cross to the event loop in one hop."""
        self._loop.call_soon_threadsafe(self._service.deliver, post)

    async def _pulse(self) -> None:
        """Shows that the loop turns, measures how late it does, and watches the engine."""
        while True:
            due = time.monotonic() + PULSE_S
            await asyncio.sleep(PULSE_S)
            self._loop_beat_s = time.monotonic()
            metrics.EVENT_LOOP_LAG_SECONDS.observe(max(0.0, self._loop_beat_s - due))
            self._show_state()
            if self._ticker.broken:
                self._give_up("the engine is broken")

    def _show_state(self) -> None:
        kind, engine_problem = self._engine.kind, self._ticker.unready(time.monotonic())
        metrics.WORKER_READY.labels(kind).set(not engine_problem)
        metrics.WORKER_DRAINING.labels(kind).set(self._admission.draining)

    def _give_up(self, why: str) -> None:
        """Ends the process at once and with an error, so that a fresh one replaces it."""
        if not self._exit_code:
            log.error("worker_gives_up", why=why)
            self._exit_code = 1
            self.drain()
            self._service.end_all(DRAINED)

    async def _drain_out(self) -> None:
        """Lets the live sessions end, until the deadline."""
        await self._membership.beat()  # the books learn of the drain before the next heartbeat
        if not await self._service.wait_until_empty(self._settings.drain_deadline_s):
            self._service.end_all(DRAINED)
            await self._service.wait_until_empty(LAST_WORDS_S)
        log.info("drained")
