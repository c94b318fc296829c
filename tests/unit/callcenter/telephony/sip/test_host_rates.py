"""A token bucket for each host."""

from callcenter.telephony.sip import host_rates
from callcenter.telephony.sip.host_rates import HostRates


def test_each_host_has_its_own() -> None:
    """One that has used its own up takes nothing of the others'."""
    rates = HostRates()
    assert [rates.take("a", 1.0, 2.0, 0.0) for _ in range(3)] == [True, True, False]
    assert rates.take("b", 1.0, 2.0, 0.0)
    assert rates.take("a", 1.0, 2.0, 1.0)


def test_another_rate_counts_at_once() -> None:
    """A trunk's rate may be changed while it calls."""
    rates = HostRates()
    assert [rates.take("a", 1.0, 1.0, 0.0) for _ in range(2)] == [True, False]
    assert rates.take("a", 5.0, 10.0, 0.0)


def test_hosts_without_number_take_no_memory(monkeypatch) -> None:
    """The table is bounded, and whoever floods all the time is not forgotten."""
    monkeypatch.setattr(host_rates, "MAX_HOSTS", 10)
    rates = HostRates()
    for number in range(1_000):
        rates.take("flood", 1.0, 1.0, 0.0)
        rates.take(f"h{number}", 1.0, 1.0, 0.0)
    assert len(rates) == 10
    assert not rates.take("flood", 1.0, 1.0, 0.0)
