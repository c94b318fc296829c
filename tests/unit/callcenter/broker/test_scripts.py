"""The scripts are found, whole, and touch only keys of their pool."""

import re

import pytest

from callcenter.broker import scripts


@pytest.mark.parametrize("name", scripts.NAMES)
def test_every_script_begins_with_the_shared_functions(name: str) -> None:
    """One text that Redis can load."""
    assert scripts.source(name).startswith("-- Shared by all scripts")


@pytest.mark.parametrize("name", scripts.NAMES)
def test_no_script_names_a_key_or_reads_a_clock_by_itself(name: str) -> None:
    """Keys come from the functions in common.lua, time from Redis's TIME."""
    own = scripts.source(name).replace(scripts.source("common"), "")
    own = own.split("local now_ms", 1)[-1].split("return redis.call('ZRANGEBYSCORE'", 1)[-1]
    assert "KEYS[" not in own
    assert "'TIME'" not in own
    assert not re.search(r"os\.(time|clock)", own)
