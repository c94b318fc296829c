"""How much each host may ask for: token buckets in a bounded table.

When the table is full, the host that was heard of longest ago is forgotten, and begins anew with a
full bucket; one that floods is heard of all the time, so it is not forgotten. Knows no message.
"""

from __future__ import annotations

from collections import OrderedDict

from callcenter.telephony.sip.trunk import RateLimit

MAX_HOSTS = 4_096


class HostRates:
    """A token bucket for each host."""

    def __init__(self) -> None:
        self._rates: OrderedDict[str, RateLimit] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rates)

    def take(self, host: str, per_s: float, burst: float, now: float) -> bool:
        """Takes one of a host's; False when there is none.

        Args:
            host: by its address.
            per_s: refills its bucket.
            burst: what its bucket holds.
            now: seconds.
        """
        rate = self._rates.get(host)
        if rate is None or rate.per_s != per_s:  # new, or its trunk has another rate now
            rate = self._rates[host] = RateLimit(per_s, burst)
            if len(self._rates) > MAX_HOSTS:
                self._rates.popitem(last=False)
        else:
            self._rates.move_to_end(host)
        return rate.take(now)
