"""How much one host may ask for, among hosts without number: token buckets, a bounded table.

Whoever was heard of longest ago is forgotten first: that costs a host that floods nothing less,
since it is never the one. Knows no message and no trunk.
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
            per_s, burst: of its bucket, counted from the host's first message on.
            now: seconds.
        """
        rate = self._rates.get(host)
        if rate is None:
            rate = self._rates[host] = RateLimit(per_s, burst)
            if len(self._rates) > MAX_HOSTS:
                self._rates.popitem(last=False)
        else:
            self._rates.move_to_end(host)
        return rate.take(now)
