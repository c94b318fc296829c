"""Telephone numbers in the spellings of carriers and people, and when two of them are the same.

Everything that looks at a called or a calling number does it by these functions: the routes of all
carriers, the trunks file and the admin's simulator, so that they all find the same number.

    +1 (555) 0100    %2B15550100    15550100    tel:+1-555-0100    +15550100;npdi;rn=+15550190
    5550100;phone-context=+1        sip:+15550100@example.com;user=phone        0015550100

What is no telephone number (`agent`, `client:alice`, `sip:support@example.com`) stays as it is.
Rules: RFC 3261 19.1.2 and 19.1.6, RFC 3966 3 to 5, RFC 4694. It knows no carrier and no plan of
national numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

E164 = re.compile(r"\+[1-9][0-9]{5,14}")
MAX_CHARS = 512  # of what is looked at; a longer one is no number

_ADDRESS = re.compile(r"(?P<scheme>sips?|tel):(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_WITH_SEPARATORS = re.compile(r"\+?[ ()./-]*[0-9][0-9 ()./-]*")
_SEPARATORS = re.compile(r"[ ()./-]")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_COUNTRY_CODE = re.compile(r"\+[1-9][0-9]{0,2}")
_SHORTEST_INTERNATIONAL = 6  # digits behind an international prefix

Value = TypeVar("Value")


def canonical(text: str, international: Sequence[str] = ()) -> str:
    """A number without escapes, parameters and visual separators.

    Args:
        text: a number, the user part of a SIP URI, a tel URI or a SIP address.
        international: what a trunk's numbers begin with where others write a plus: "00", "011".

    Returns:
        Digits with their plus if there is one; what is no number as it came, a SIP address without
        its parameters.
    """
    text = text.strip()
    if len(text) > MAX_CHARS:
        return text
    address = _ADDRESS.fullmatch(text)
    if address is None:
        return _number(text, international) or text
    scheme, rest = address["scheme"].lower(), address["rest"]
    if scheme == "tel":
        return _number(rest, international) or text
    user, at, host = rest.rpartition("@")
    host = re.split("[;?]", host, maxsplit=1)[0].strip().lower()
    number = _number(user, international) if at else None
    return number or f"{scheme}:{without_password(user)}{at}{host}"


def without_password(user: str) -> str:
    """The user part of an address without the password that RFC 3261 19.1.1 allows in it."""
    return user if user.lower().startswith("client:") else user.partition(":")[0]


def is_telephone(text: str) -> bool:
    """Whether a canonical form is that of a telephone number."""
    return text.removeprefix("+").isdecimal() and text.isascii()


def variants(text: str, international: Sequence[str] = ()) -> tuple[str, ...]:
    """The canonical form, and the one with or without the plus: carriers disagree about it."""
    found = canonical(text, international)
    if not is_telephone(found):
        return (found,)
    return found, found[1:] if found.startswith("+") else f"+{found}"


def same(one: str, other: str) -> bool:
    """Whether two canonical forms are one number, with or without the plus."""
    return one == other or (
        is_telephone(one) and is_telephone(other) and one.lstrip("+") == other.lstrip("+")
    )


def find_in(
    table: Mapping[str, Value], text: str, international: Sequence[str] = ()
) -> Value | None:
    """The entry of a number in a table of canonical forms; the one as written comes first."""
    for name in variants(text, international):
        if name in table:
            return table[name]
    return None


def fits(pattern: str, number: str) -> bool:
    """Whether a canonical form is the pattern's number, or begins as `+1555*` says."""
    if not pattern.endswith("*"):
        return same(canonical(pattern), number)
    beginning = pattern[:-1]
    if number.startswith(beginning):
        return True
    if not is_telephone(number) or not beginning:
        return not beginning
    digits = _SEPARATORS.sub("", beginning).removeprefix("+")
    return bool(digits) and digits.isdecimal() and number.removeprefix("+").startswith(digits)


def _number(text: str, international: Sequence[str]) -> str | None:
    """A telephone number from a user part or a telephone-subscriber; None if it is none."""
    written, _, params = text.partition(";")
    number = _unescaped(without_password(written))
    if not _WITH_SEPARATORS.fullmatch(number):
        return None
    number = _SEPARATORS.sub("", number)
    if number.startswith("+"):
        return number
    return _international(number, international) or _in_context(number, params)


def _international(number: str, prefixes: Sequence[str]) -> str | None:
    for prefix in sorted(prefixes, key=len, reverse=True):
        rest = number[len(prefix) :]
        long_enough = len(rest) >= _SHORTEST_INTERNATIONAL and not rest.startswith("0")
        if number.startswith(prefix) and long_enough:
            return f"+{rest}"
    return None


def _in_context(number: str, params: str) -> str:
    """A local number, with the country code that its context gives (RFC 3966 5.1.5).

    A longer context names whose number it is and no beginning of it; a domain says nothing.
    """
    for param in params.split(";"):
        name, _, value = param.partition("=")
        context = _SEPARATORS.sub("", _unescaped(value.strip()))
        if name.strip().lower() == "phone-context" and _COUNTRY_CODE.fullmatch(context):
            return context + number
    return number


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
