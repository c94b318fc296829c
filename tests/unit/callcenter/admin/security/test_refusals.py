"""Refusals leave traces within bounds."""

from datetime import UTC, datetime, timedelta

from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from callcenter.admin.security.refusals import MAX_LINES, MAX_TALLIES, OTHERS, Refusals
from callcenter.admin.store.work import Actor

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ANN = Actor("Ann", "viewer", "key_1", "key")


def counted(kind: str) -> float:
    """What the metric says."""
    return REGISTRY.get_sample_value("callcenter_admin_refusals_total", {"kind": kind}) or 0.0


def test_many_of_one_kind_are_one_entry() -> None:
    """With a count; a few lines in the log, and one that sums them up."""
    found, before = Refusals(), counted("bad_key")
    with capture_logs() as lines:
        for second in range(100):
            at = NOW + timedelta(seconds=second)
            found.note("bad_key", "192.0.2.1", at, why="pcc_abcdefgh")
        (tally,) = found.take()
    assert (tally.count, tally.first_at, tally.last_at) == (100, NOW, NOW + timedelta(seconds=99))
    assert len(lines) == MAX_LINES + 1
    assert lines[-1]["count"] == 100
    assert counted("bad_key") - before == 100
    assert found.take() == []


def test_addresses_and_actors_are_told_apart() -> None:
    """One entry each."""
    found = Refusals()
    found.note("role_too_low", "192.0.2.1", NOW, ANN)
    found.note("role_too_low", "192.0.2.2", NOW, ANN)
    found.note("role_too_low", "192.0.2.2", NOW)
    assert [tally.count for tally in found.take()] == [1, 1, 1]


def test_a_thousand_addresses_fill_nothing() -> None:
    """What is beyond the bound is counted together."""
    found = Refusals()
    for number in range(1_000):
        found.note("bad_login", f"2001:db8::{number:x}", NOW)
    tallies = found.take()
    assert len(tallies) == MAX_TALLIES + 1
    (rest,) = [tally for tally in tallies if tally.address == OTHERS]
    assert rest.count == 1_000 - MAX_TALLIES


def test_a_log_in_page_is_no_attack() -> None:
    """Who has no session yet is counted, and no more."""
    found, before = Refusals(), counted("no_credentials")
    with capture_logs() as lines:
        found.note("no_credentials", "192.0.2.1", NOW)
    assert (found.take(), lines, counted("no_credentials") - before) == ([], [], 1)


def test_what_could_not_be_stored_is_kept() -> None:
    """And adds up with what came meanwhile."""
    found = Refusals()
    found.note("csrf", "192.0.2.1", NOW, ANN)
    taken = found.take()
    found.note("csrf", "192.0.2.1", NOW + timedelta(minutes=1), ANN)
    found.put_back(taken)
    (tally,) = found.take()
    assert (tally.count, tally.first_at) == (2, NOW)
