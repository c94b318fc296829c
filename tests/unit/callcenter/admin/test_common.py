"""Cursors, merge patches, identifiers and problems."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callcenter.admin.api.common import merge_patch
from callcenter.admin.api.pages import Window, decode_cursor, encode_cursor
from callcenter.admin.ids import content_hash, new_id
from callcenter.admin.problems import Problem, invalid, pointer


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_cursor_survives(position: str) -> None:
    """And is safe in a URL."""
    cursor = encode_cursor(position)
    assert decode_cursor(cursor) == position
    assert cursor.replace("-", "").replace("_", "").isalnum() or not cursor


@pytest.mark.parametrize("cursor", ["!", "a", "_w", "äö"])
def test_a_strange_cursor(cursor: str) -> None:
    """Is refused, not guessed at."""
    with pytest.raises(Problem, match="bad_cursor"):
        decode_cursor(cursor)


class Thing:
    """Something in a list."""

    def __init__(self, number: int) -> None:
        self.id = f"t{number}"


@pytest.mark.parametrize(("there", "shown", "more"), [(0, 0, ""), (3, 3, ""), (4, 3, "t2")])
def test_a_page_names_the_next_one(there: int, shown: int, more: str) -> None:
    """By the last item that it shows, and only if there is one more behind it."""
    window = Window("", 3)
    page = window.cut([Thing(number) for number in range(there)], lambda thing: thing.id)
    assert window.rows == 4
    assert page["items"] == [f"t{number}" for number in range(shown)]
    assert page["next_cursor"] == (encode_cursor(more) if more else None)


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # the examples of RFC 7396, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches(target, patch, result) -> None:
    """As the RFC has them."""
    assert merge_patch(target, patch) == result


def test_identifiers_sort_by_time() -> None:
    """And say what they are of."""
    first, second = new_id("rte"), new_id("rte")
    assert first.startswith("rte_")
    assert first[:14] <= second[:14]
    assert first != second


def test_a_content_hash_knows_no_order() -> None:
    """But every value."""
    assert content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})
    assert content_hash({"a": 1}) != content_hash({"a": 2})


def test_problems_are_of_rfc_9457() -> None:
    """With a stable code and the place."""
    response = invalid("is wrong", "/a").response()
    assert response.status_code == 422
    assert response.media_type == "application/problem+json"
    assert b'"code":"invalid"' in response.body
    assert b'"pointer":"/a"' in response.body
    assert pointer(("a/b", 0, "c~d")) == "/a~1b/0/c~0d"
