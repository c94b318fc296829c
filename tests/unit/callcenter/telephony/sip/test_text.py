"""Text of the far end, cleaned."""

import json

import pytest

from callcenter.telephony.sip.text import clean


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("+15550100", "+15550100"),
        ("Zoë 店", "Zoë 店"),
        ("+1555\x000100", "+1555\ufffd0100"),
        ("\udcff", "\ufffd"),
        ("a\r\nb\tc", "a  b c"),
        ("\u202eevil\u2066", "\ufffdevil\ufffd"),
        ("x" * 20, "x" * 10),
    ],
)
def test_every_character_can_be_printed_and_stored(text, cleaned) -> None:
    """What cannot is replaced, not left out: a hidden character makes no other number."""
    assert clean(text, 10) == cleaned[:10]
    assert clean(text, 10).isprintable()
    json.dumps(clean(text, 10), ensure_ascii=False).encode()
