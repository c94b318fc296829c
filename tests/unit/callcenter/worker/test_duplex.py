"""PersonaPlex as a worker builds it."""

import pytest
from structlog.testing import capture_logs

from callcenter.settings import WorkerSettings

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
    assert [plain.fp8_kv, plain.fp8_weights] == [False] * 2
    assert plain.reserve_gib == 1.5
    small = duplex.execution(settings(kv_fp8=True, weights_fp8=True))
    assert small.fp8_kv
    assert small.fp8_weights
    assert small.kernels
    assert small.graphs
