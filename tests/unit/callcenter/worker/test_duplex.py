"""PersonaPlex as a worker builds it."""

import pytest

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
