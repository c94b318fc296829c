"""The configuration file that an admin imports."""

from callcenter.admin.bundle import read
from callcenter.admin.problems import Problem


def one_input(data: bytes) -> None:
    """It is read, or refused with a Problem that names a place."""
    try:
        read(data.decode("utf-8", "replace"))
    except Problem:
        return
