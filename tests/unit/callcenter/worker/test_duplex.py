"""PersonaPlex as a worker builds it."""

from dataclasses import replace

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from callcenter.errors import ConfigurationError
from callcenter.settings import WorkerSettings
from callcenter.worker.health import HealthServer

duplex = pytest.importorskip("callcenter.worker.duplex", reason="needs the worker's packages")


def settings(**overrides: object) -> WorkerSettings:
    """Settings of a worker with the model."""
    return WorkerSettings.load(link_secret="s" * 32, engine="personaplex", **overrides)


def test_every_limit_arrives() -> None:
    """And all personas' prompts stay known."""
    wanted = settings(
        worker_slots=9,
        kv_pages=77,
        min_window_positions=900,
        prompt_positions=600,
        cached_prompts=3,
    )
    found = duplex.limits(wanted, prompts=12)
    assert (found.slots, found.pages, found.min_window_positions) == (9, 77, 900)
    assert (found.prompt_positions, found.cached_prompts) == (600, 12)
    assert duplex.limits(wanted, prompts=1).cached_prompts == 3


def test_phase_groups_arrive_unless_there_is_but_one_slot() -> None:
    """A group without a slot is of no use."""
    found = [
        duplex.limits(settings(worker_slots=slots, phase_groups=groups), prompts=1).phases
        for slots, groups in ((9, 1), (9, 2), (1, 2))
    ]
    assert found == [1, 2, 1]


def test_a_call_that_loses_memory_is_named_now_and_then() -> None:
    """At the first page and whenever the sum has doubled."""
    with capture_logs() as lines:
        for pages, in_all in ((1, 1), (1, 2), (1, 3), (3, 6), (1, 7), (1, 8), (1, 9)):
            duplex.tell_shortened(duplex.Shortened("CA1", pages, in_all))
    assert [line["pages"] for line in lines] == [1, 2, 6, 8]
    assert {(line["event"], line["call_id"]) for line in lines} == {("window_shortened", "CA1")}


def test_every_switch_arrives() -> None:
    """Each by itself."""
    plain = duplex.execution(
        settings(engine_kernels=False, engine_graphs=False, engine_tf32=False, gpu_reserve_gib=1.5)
    )
    assert [plain.kernels, plain.graphs, plain.tf32] == [False] * 3
    assert [plain.kv, plain.weights] == ["auto"] * 2
    assert plain.reserve_gib == 1.5
    small = duplex.execution(settings(kv_format="int8", weights_format="fp8"))
    assert [small.kv, small.weights] == ["int8", "fp8"]
    assert small.kernels
    assert small.graphs


def shown() -> dict[tuple[str, str], float]:
    """The worker's metrics page: (name, kind or state) -> value of this engine."""
    server = HealthServer("127.0.0.1", 0, dead=str, unready=str)
    server.start()
    try:
        page = httpx.get(f"http://127.0.0.1:{server.port}/metrics").text
    finally:
        server.stop()
    samples = [each for family in text_string_to_metric_families(page) for each in family.samples]
    return {
        (each.name, each.labels.get("kind") or each.labels.get("state") or ""): each.value
        for each in samples
        if each.labels.get("engine") == "personaplex"
    }


@pytest.mark.timeout(60)  # writes and loads a small checkpoint
def test_how_the_engine_came_up_stands_on_the_page_and_in_the_log() -> None:
    """The plan of its memory, what was given up, and pages that calls lose while it runs."""
    from engine.memory import MemoryPlan
    from tests.unit.engine.engine_cases import LIMITS, engine, frame, join

    subject = engine(replace(LIMITS, slots=2, pages=1 + 6 + 6, cached_prompts=0))
    subject.memory = MemoryPlan(15 << 30, 2 << 30, 40 << 30, 16 << 20, 3 << 30, 54, 60, "fp8")
    subject.fallbacks.append("no kernels: out of registers")
    before = shown().get(("engine_fallbacks_total", ""), 0.0)
    with capture_logs() as lines:
        duplex.tell(subject)
        long = join(subject, session_id="long")
        for tick in range(41):
            subject.tick({long: frame(tick)})
        late = join(subject, session_id="late")
        subject.tick({late: frame(0)})
    page = shown()
    memory = {kind: value for (name, kind), value in page.items() if name == "engine_memory_bytes"}
    assert memory == {
        kind: size * 2**30
        for kind, size in {"weights": 15, "sessions": 2, "pages": 40, "reserve": 3}.items()
    }
    assert page["engine_fallbacks_total", ""] == before + 1
    pages = [page["engine_kv_pages", state] for state in ("total", "free", "shortened")]
    assert pages == [12, 0, 1]
    told = {line["event"]: line for line in lines}
    assert "15.0 GiB weights, 2.0 GiB codec state" in told["engine_started"]["memory"]
    assert told["engine_fallback"]["reason"] == "no kernels: out of registers"
    assert told["window_shortened"]["call_id"] == "long"


def test_too_few_pages_are_said_by_their_variable(tmp_path) -> None:
    """Before the worker looks as if it could take a call."""
    from engine.checkpoint import write_tiny

    write_tiny(tmp_path)
    with pytest.raises(ConfigurationError, match=r"KV_PAGES=2, .*: 2 KV pages were asked for"):
        duplex.build(settings(checkpoint=str(tmp_path), kv_pages=2), {}, prompts=1)


def test_a_card_that_cannot_do_it_is_said_by_its_variable(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the remedy, in place of a traceback."""
    from engine.checkpoint import write_tiny
    from engine.device import Unsuited

    def load(*_: object) -> None:
        raise Unsuited("the kernels do not run on this card")

    write_tiny(tmp_path)
    monkeypatch.setattr(duplex.PersonaPlexEngine, "load", load)
    with pytest.raises(ConfigurationError, match=r"DEVICE=cuda:1: the kernels do not run"):
        duplex.build(settings(checkpoint=str(tmp_path), device="cuda:1"), {}, prompts=1)


@pytest.mark.timeout(60)  # loads a small checkpoint
def test_fewer_slots_than_wished_are_advertised_and_said(tmp_path) -> None:
    """As many as there are pages for, so that no claimed call is turned away."""
    from engine.checkpoint import TINY, write_tiny
    from engine.scheduler import admitted_calls, least_pages

    write_tiny(tmp_path)
    wanted = settings(checkpoint=str(tmp_path), worker_slots=8, cached_prompts=1)
    window = TINY.lm.window_positions
    pages = 2 * least_pages(duplex.limits(wanted, prompts=1), window)
    few = settings(checkpoint=str(tmp_path), worker_slots=8, cached_prompts=1, kv_pages=pages)
    with capture_logs() as lines:
        engine = duplex.build(few, {}, prompts=1)
    assert engine.slots == admitted_calls(engine.limits, window) == 3
    told = next(line for line in lines if line["event"] == "fewer_slots")
    assert (told["wished"], told["slots"]) == (8, 3)


def test_a_folder_that_is_not_there_is_named(tmp_path) -> None:
    """With what to write for a repo."""
    with pytest.raises(ConfigurationError, match=r"CHECKPOINT=.*gone is no folder"):
        duplex.build(settings(checkpoint=str(tmp_path / "gone")), {}, prompts=1)
