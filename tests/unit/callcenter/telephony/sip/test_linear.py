"""Reading takes time in proportion to the text, whatever it is: all calls share the loop.

Eight times the text may take 24 times as long, and a moment more: what looks at the same text again
and again takes 64 times as long.
"""

import contextlib
import importlib
import itertools
import pkgutil
import re
import time
from collections.abc import Callable

import pytest

from callcenter.errors import ProtocolError
from callcenter.telephony import sip
from callcenter.telephony.sip import sdp
from callcenter.telephony.sip.auth import parse_digest
from callcenter.telephony.sip.message import one_line, parse, parse_headers
from callcenter.telephony.sip.rules import check
from callcenter.telephony.sip.splitter import StreamSplitter
from callcenter.telephony.sip.text import clean
from callcenter.telephony.sip.uri import (
    first_value,
    parse_name_addr,
    parse_params,
    parse_uri,
    parse_via,
    split_unquoted,
    unescape,
)
from tests.unit.callcenter.telephony.sip.conftest import request

SMALL, FACTOR, SLOWER, MOMENT_S = 2_000, 8, 24, 0.005
BEGINNINGS = ["", "a=", 'a="', "<", "sip:", "sip:a@", "SIP/2.0/UDP ", "SIP/2.0/UDP a", "Digest "]
UNITS = [
    *("a", " ", "\t", "\n", "\r\n", ",", ";", ":", "=", '"', "\\", "<", ">", "@", "%", "%4", "1"),
    *(";a", "a=", "a ", "a,", "a =", '"a', '\\"', '"\\', ";a=", '="', "<a", "<>", "<a>,", '"a",'),
    *(
        "[:",
        'a="\\',
        "a  =  ",
        '"<',
        '<"',
        "=,",
        " ,",
        "\n ",
        "\nsignal",
        " :",
        "signal=",
        "branch=",
    ),
]
SEARCHED = ("_BRANCH", "_DELIMITER", "_ESCAPE", "_NAMED", "_PIECES", "_TYPE_HEADER")
READERS: dict[str, Callable[[str], object]] = {
    "parse_uri": parse_uri,
    "parse_via": parse_via,
    "parse_name_addr": parse_name_addr,
    "parse_params": parse_params,
    "split": lambda text: split_unquoted(text, ","),
    "first_value": first_value,
    "unescape": unescape,
    "parse_digest": parse_digest,
    "one_line": one_line,
    "clean": lambda text: clean(text, len(text)),
    "headers": lambda text: parse_headers(text.split("\n")),
    "folded": lambda text: parse_headers(["a: b", *(" " + line for line in text.split("a"))]),
    "sdp": lambda text: sdp.parse(f"v=0\r\nm=audio 1 RTP/AVP 0\r\na={text}".encode()),
    "splitter": lambda text: StreamSplitter().receive(text.encode()),
    "via": lambda text: check(parse(request("OPTIONS", Via=f"SIP/2.0/UDP a;{text}"))),
    "from": lambda text: check(parse(request("OPTIONS", From=f"<sip:a@b>;tag=1;{text}"))),
    "contact": lambda text: check(parse(request("INVITE", Contact=f"<sip:a@b>,{text}"))),
    "accept": lambda text: check(parse(request("INVITE", Accept=f"application/sdp,{text}"))),
    "route": lambda text: check(parse(request("INVITE", Record_Route=f"<sip:a@b>,{text}"))),
}


def patterns() -> dict[str, re.Pattern]:
    """Every regular expression of the package."""
    found = {}
    for module in pkgutil.iter_modules(sip.__path__):
        values = vars(importlib.import_module(f"{sip.__name__}.{module.name}"))
        for name, value in values.items():
            several = value.values() if isinstance(value, dict) else [value]
            for index, one in enumerate(several):
                if isinstance(one, re.Pattern):
                    found[f"{module.name}.{name}.{index}"] = one
    return found


def seconds(read: Callable[[str], object], text: str) -> float:
    """The lesser of two; a long time counts at once."""
    took = []
    while len(took) < 2 and (not took or took[-1] < 0.2):
        began = time.thread_time()
        with contextlib.suppress(ProtocolError):  # what is none is refused: in time as well
            read(text)
        took.append(time.thread_time() - began)
    return min(took)


def too_slow(read: Callable[[str], object], units: list[str] = UNITS) -> str:
    """The first text whose time grows faster than it does, with both times; "" for none."""
    for beginning, unit in itertools.product(BEGINNINGS, units):
        few, many = (beginning + unit * (n // len(unit)) for n in (SMALL, FACTOR * SMALL))
        short_s, long_s = seconds(read, few), seconds(read, many)
        if long_s > SLOWER * short_s + MOMENT_S:
            return f"{beginning!r} and many {unit!r}: {short_s:.4f} s, {long_s:.4f} s"
    return ""


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", READERS)
def test_every_reader_is_linear(name) -> None:
    """All beginnings with all endless endings."""
    assert too_slow(READERS[name]) == ""


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", patterns())
def test_every_regular_expression_is_linear(name) -> None:
    """At the beginning of a text; those that are looked for anywhere, anywhere in it."""
    pattern = patterns()[name]

    def read(text: str) -> None:
        found = text.encode() if isinstance(pattern.pattern, bytes) else text
        pattern.match(found)
        pattern.fullmatch(found)
        if name.split(".")[1] in SEARCHED:
            pattern.findall(found)

    assert too_slow(read) == ""


@pytest.mark.timeout(60)
def test_the_measure_finds_a_slow_one() -> None:
    """A pattern that begins anew at every letter."""
    assert too_slow(re.compile(r'(\w+)\s*=\s*"').findall, ["a"])
