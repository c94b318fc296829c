"""What an OpenID provider says, and what that makes of somebody."""

from typing import Any

import pytest

from callcenter.admin.security import claims
from callcenter.admin.security.claims import ClaimRules, NotAllowed

WORDS = {"admin": ("boss", "root"), "operator": ("floor",), "viewer": ("wall",)}


def rules(claim: str = "roles", **more: Any) -> ClaimRules:
    """Rules with this claim."""
    return ClaimRules(claim, WORDS, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "claim"),
    [
        ({"roles": ["x", "floor"]}, "roles"),
        ({"roles": "floor"}, "roles"),
        ({"roles": "x floor"}, "roles"),
        ({"realm_access": {"roles": ["floor"]}}, "realm_access.roles"),
        ({"https://a.example/roles": ["floor"]}, "https://a.example/roles"),
    ],
)
def test_where_roles_stand(said: dict[str, Any], claim: str) -> None:
    """A list, a text, words in a text, inside an object, under an address."""
    assert claims.role_of(said, rules(claim)) == "operator"


def test_the_highest_role_counts() -> None:
    """Of several."""
    assert claims.role_of({"roles": ["wall", "root", "floor"]}, rules()) == "admin"


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"roles": []},
        {"roles": ["Boss", "admin"]},
        {"roles": {"boss": True}},
        {"roles": [["boss"]]},
        {"roles": None},
        {"roles": 1},
        {"realm": "boss"},
    ],
)
def test_nobody_without_a_role(said: dict[str, Any]) -> None:
    """Only texts count, letter by letter."""
    with pytest.raises(NotAllowed, match="no_role"):
        claims.role_of(said, rules())
    with pytest.raises(NotAllowed, match="no_role"):
        claims.role_of(said, rules("realm.roles"))


@pytest.mark.parametrize(
    "said",
    [
        {"email": "a@evil.example", "email_verified": True},
        {"email": "a@example.com"},
        {"email": "a@example.com", "email_verified": False},
        {"email": "a@example.com", "email_verified": "true"},
        {"email": "a@example.com.evil.example", "email_verified": True},
        {"email": "example.com@evil.example", "email_verified": True},
        {"email": ["a@example.com"], "email_verified": True},
        {},
    ],
)
def test_domains(said: dict[str, Any]) -> None:
    """Only addresses that the provider has verified, of a domain in the list."""
    only = rules(domains=("Example.com",))
    with pytest.raises(NotAllowed, match="wrong_domain"):
        claims.role_of({"roles": "boss", **said}, only)
    good = {"roles": "boss", "email": "a@EXAMPLE.com", "email_verified": True}
    assert claims.role_of(good, only) == "admin"


def test_groups() -> None:
    """One of them is enough."""
    only = rules(groups=("staff", "night"), groups_claim="groups")
    assert claims.role_of({"roles": "boss", "groups": ["night"]}, only) == "admin"
    with pytest.raises(NotAllowed, match="wrong_group"):
        claims.role_of({"roles": "boss", "groups": ["guests"]}, only)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({"email": "a@x", "email_verified": True, "name": "Ann"}, "a@x"),
        ({"email": "a@x", "preferred_username": "ann"}, "ann"),
        ({"name": " Ann\n\u202e "}, "Ann"),
        ({"sub": "1"}, "1"),
        ({}, "somebody"),
        ({"name": "\u200b"}, "somebody"),
        ({"name": "System"}, "System (person)"),
        ({"name": "x" * 500}, "x" * 120),
    ],
)
def test_names(said: dict[str, Any], name: str) -> None:
    """A verified address, else what there is; never one of the program's own."""
    assert claims.name_of(said) == name


def test_what_userinfo_is_asked_for() -> None:
    """Only what decides."""
    assert rules().wanted == ("roles",)
    assert rules(domains=("x",), groups=("y",)).wanted == (
        "roles",
        "email",
        "email_verified",
        "groups",
    )
