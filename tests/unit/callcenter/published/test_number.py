"""One number in many spellings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callcenter.published.number import canonical, find_in, fits, same, variants

ABROAD = ("00", "011")
ODD = st.text(st.sampled_from("+0123456789 ()./-;:@%2Bsiptel=ax*#\u0661\x00"), max_size=24)


@pytest.mark.parametrize(
    "text",
    [
        "+15550100",
        "%2B15550100",
        "+1 (555) 0100",
        "+1-555-0100",
        "+1.555.0100",
        " +1/555/0100 ",
        "tel:+1-555-0100",
        "TEL:+15550100;ext=7",
        "+15550100;npdi;rn=+15550190",
        "+15550100;phone-context=example.com",
        "+15550100;isub=12",
        "%2B15550100;npdi",
        "+15550100:secret",
        "sip:+15550100@example.com",
        "SIPS:%2B15550100;npdi@example.com:5061;user=phone",
        "0015550100",
        "01115550100",
        "tel:5550100;phone-context=+1",
        "5550100;Phone-Context=%2B1",
    ],
)
def test_spellings_of_one_number(text) -> None:
    """All are the same in the end."""
    assert canonical(text, ABROAD) == "+15550100"
    assert canonical(canonical(text, ABROAD), ABROAD) == "+15550100"


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("15550100", "15550100"),
        ("0015550100", "0015550100"),  # the trunk has no such prefix
        ("(555) 0100", "5550100"),
        ("863-1234;phone-context=+1-914-555", "8631234"),  # RFC 3966 5.1.5: no beginning
        ("agent", "agent"),
        ("trial-01-2", "trial-01-2"),
        ("agent%20smith", "agent%20smith"),
        ("%252B15550100", "%252B15550100"),  # escaped twice: once is what senders do
        ("client:alice", "client:alice"),
        ("sip:support@Example.com:5060;transport=tcp", "sip:support@example.com:5060"),
        ("sip:support:secret@example.com", "sip:support@example.com"),
        ("*67", "*67"),
        ("anonymous", "anonymous"),
        ("\u0661\u0662\u0663", "\u0661\u0662\u0663"),  # digits of another script
        ("+", "+"),
        ("", ""),
        ("0" * 600, "0" * 600),
    ],
)
def test_what_stays(text, same_as) -> None:
    """No number, or one of which nobody said where it belongs."""
    assert canonical(text) == same_as


def test_an_international_prefix_needs_a_number_behind_it() -> None:
    """An extension that begins with two zeros is none."""
    assert canonical("00123", ABROAD) == "00123"
    assert canonical("000301234567", ABROAD) == "000301234567"


def test_with_and_without_the_plus() -> None:
    """One number, on both sides; names are compared as they stand."""
    assert same("+15550100", "15550100")
    assert same("15550100", "+15550100")
    assert not same("+15550100", "+15550101")
    assert not same("agent", "+agent")
    assert variants("15550100") == ("15550100", "+15550100")
    assert variants("client:alice") == ("client:alice",)
    table = {"+15550100": 1, "15550199": 2, "agent": 3}
    names = ("15550100", "+15550199", "agent", "+1 (555) 0100", "15550101")
    assert [find_in(table, name) for name in names] == [1, 2, 3, 1, None]


@pytest.mark.parametrize(
    ("pattern", "number", "wanted"),
    [
        ("+15550100", "15550100", True),
        ("+1 555 0100", "+15550100", True),
        ("+1555*", "15550100", True),
        ("1555*", "+15550100", True),
        ("+1 (555)*", "+15550100", True),
        ("+1556*", "+15550100", False),
        ("*", "agent", True),
        ("*", "", True),
        ("+*", "agent", False),
        ("sip:support@*", "sip:support@example.com", True),
        ("client:*", "client:alice", True),
        ("client:*", "+15550100", False),
        ("anonymous", "anonymous", True),
    ],
)
def test_patterns(pattern, number, wanted) -> None:
    """Exact or by a beginning; the plus does not count."""
    assert fits(pattern, number) is wanted


def test_the_host_of_an_address_without_what_surrounds_it() -> None:
    """Space in front of its parameters too."""
    assert canonical("sip:support@Example.com ;transport=tcp") == "sip:support@example.com"


@given(ODD)
def test_a_canonical_form_is_its_own(text) -> None:
    """Gateway and routes may both ask for it: the second time changes nothing."""
    once = canonical(text, ABROAD)
    assert canonical(once, ABROAD) == once
    assert once in variants(text, ABROAD)
    assert same(once, once)
