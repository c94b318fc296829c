"""Every Redis key and every time to live of the broker.

All keys of a pool carry one hash tag, so in a Redis Cluster a pool lives in one slot and every
script may touch all of its keys. The scripts get the prefix as their only declared key and append
the rest; the suffixes below are the whole list.

    {cc:<pool>}:workers       ZSET  worker id -> Unix ms at which its lease runs out
    {cc:<pool>}:w:<worker>    HASH  url epoch slots kind model lease_ms state primed tick_p99_ms
    {cc:<pool>}:wc:<worker>   SET   ids of the calls that hold a slot there
    {cc:<pool>}:calls         ZSET  call id -> Unix ms at which its lease runs out
    {cc:<pool>}:c:<call>      HASH  worker epoch fence gateway prompt state
    {cc:<pool>}:fence         counter of fencing tokens; only grows

A worker's capacity is its slots less the size of its set of calls: there is no counter that could
drift.
"""

from __future__ import annotations

import re

from callcenter.errors import ConfigurationError

WORKER_LEASE_S = 3.0  # three heartbeats of 1 s: one may be lost, one may be late
CALL_LEASE_S = 15.0  # renewed every third of it; the worker's own record outlives a Redis restart
RELEASED_TTL_S = 5.0  # how long a heartbeat that was already on its way can't revive a call

# A record may outlive its lease by this factor before Redis itself forgets it, so that nothing
# stays for ever even if every worker and gateway is gone.
RECORD_TTL_FACTOR = 4

# Other keys have these names in the same place: an account that may write a pool's books must not
# reach them (deploy/redis/acl.sh).
RESERVED_NAMES = frozenset({"published", "limits"})

_POOL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def prefix(pool: str) -> str:
    """The prefix of all keys of a pool, with its hash tag.

    Raises:
        ConfigurationError: the name could break the hash tag, or is that of other keys.
    """
    if pool in RESERVED_NAMES:
        raise ConfigurationError(f"pool name {pool!r} is reserved; choose another one")
    if not _POOL_NAME.fullmatch(pool):
        raise ConfigurationError(
            f"pool name {pool!r}: use 1 to 64 letters, digits, '.', '_' or '-'"
        )
    return f"{{cc:{pool}}}"
