"""The broker's Lua scripts, read from beside this file.

It knows neither keys nor arguments: broker.py does.
"""

from __future__ import annotations

from importlib import resources

NAMES = (
    "register",
    "heartbeat",
    "claim",
    "renew",
    "release",
    "drain",
    "leave",
    "reap",
    "workers",
)


def source(name: str) -> str:
    """The text of a script with the shared functions in front."""
    folder = resources.files("callcenter.broker")
    return "\n".join(
        folder.joinpath(f"{part}.lua").read_text(encoding="utf-8") for part in ("common", name)
    )
