"""The rule of placement."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from callcenter.broker.placement import WorkerInfo, choose


def worker(worker_id: str, slots: int = 4, used: int = 0, **fields: object) -> WorkerInfo:
    """A worker with an address made of its name."""
    info = WorkerInfo(worker_id, f"ws://{worker_id}", 1, slots, used)
    return replace(info, **fields)  # type: ignore[arg-type]


def test_a_worker_with_the_prompt_goes_first() -> None:
    """Even if another would fit better."""
    tight = worker("a", used=3)
    primed = worker("b", primed=frozenset({"p"}))
    assert choose([tight, primed], "p") is primed
    assert choose([tight, primed], "q") is tight


def test_among_equals_the_fullest_that_has_room() -> None:
    """Empty workers stay empty."""
    assert choose([worker("a"), worker("b", used=3), worker("c", used=4)], "p") == worker(
        "b", used=3
    )


def test_the_name_settles_a_tie() -> None:
    """The order of the table does not matter."""
    assert choose([worker("b"), worker("a")], "p") == worker("a")


def test_full_draining_and_excluded_workers_get_nothing() -> None:
    """Nobody left means None."""
    candidates = [worker("a", used=4), worker("b", state="draining"), worker("c")]
    assert choose(candidates, "p", exclude={"c"}) is None
    assert choose([], "p") is None


WORKERS = st.lists(
    st.builds(
        worker,
        st.sampled_from("abcdef"),
        st.integers(0, 4),
        st.integers(0, 4),
        state=st.sampled_from(["open", "draining"]),
        primed=st.frozensets(st.sampled_from("pq")),
    ),
    max_size=6,
    unique_by=lambda info: info.worker_id,
)


@given(workers=WORKERS, exclude=st.sets(st.sampled_from("abc")))
def test_the_choice_is_never_wrong(workers: list[WorkerInfo], exclude: set[str]) -> None:
    """The chosen one may be chosen, and no other is both primed and unchosen for an unprimed."""
    able = [
        info
        for info in workers
        if info.free > 0 and info.state == "open" and info.worker_id not in exclude
    ]
    chosen = choose(workers, "p", exclude)
    assert (chosen is None) == (not able)
    if chosen is not None:
        assert chosen in able
        assert "p" in chosen.primed or not any("p" in info.primed for info in able)
        peers = [info for info in able if ("p" in info.primed) == ("p" in chosen.primed)]
        assert chosen.free == min(info.free for info in peers)
