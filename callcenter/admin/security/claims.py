"""What an OpenID provider says of somebody, and what that makes of them here. Pure: no network.

roles claim   "roles", "realm_access.roles", "https://example.com/roles": a text or a list
role          the highest of those whose words are among the claim's values; none: not let in
e-mail        where domains are listed: verified by the provider, and of one of them
groups        where groups are listed: at least one of them
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from callcenter.admin.security.names import RESERVED, folded
from callcenter.admin.store.work import ROLES, Role

MAX_NAME_CHARS = 120


class NotAllowed(Exception):
    """The provider knows them, but they may not come in here.

    Attributes:
        code: "no_role", "wrong_domain" or "wrong_group".
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """Who may come in, and as what.

    Attributes:
        roles_claim: where a person's roles stand; dots lead into objects.
        words: of each role, the claim's values that give it.
        domains: of e-mail addresses; empty: all.
        groups_claim, groups: where groups stand, and those that may come in; empty: all.
    """

    roles_claim: str
    words: Mapping[Role, tuple[str, ...]]
    domains: tuple[str, ...] = ()
    groups_claim: str = "groups"
    groups: tuple[str, ...] = ()

    @property
    def wanted(self) -> tuple[str, ...]:
        """Claims without which nothing can be decided."""
        names = [self.roles_claim]
        if self.domains:
            names += ["email", "email_verified"]
        if self.groups:
            names.append(self.groups_claim)
        return tuple(names)


def role_of(claims: Mapping[str, Any], rules: ClaimRules) -> Role:
    """The role of whoever the claims are about.

    Raises:
        NotAllowed: they have none, or a domain or group that may not come in.
    """
    if rules.domains and _domain(claims) not in {domain.casefold() for domain in rules.domains}:
        raise NotAllowed("wrong_domain")
    if rules.groups and not values(claims, rules.groups_claim) & set(rules.groups):
        raise NotAllowed("wrong_group")
    said = values(claims, rules.roles_claim)
    for role in reversed(ROLES):
        if said & set(rules.words.get(role, ())):
            return role
    raise NotAllowed("no_role")


def values(claims: Mapping[str, Any], path: str) -> set[str]:
    """The texts that a claim holds; empty where there is no such claim."""
    found = found_at(claims, path)
    if isinstance(found, str):
        return set(found.split()) | {found}
    return {one for one in found if isinstance(one, str)} if isinstance(found, list) else set()


def found_at(claims: Mapping[str, Any], path: str) -> Any:
    """The value of a claim: by its whole name first, for names are often addresses; else a way."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for step in path.split("."):
        if not isinstance(found, Mapping) or step not in found:
            return None
        found = found[step]
    return found


def name_of(claims: Mapping[str, Any]) -> str:
    """How lists and the audit log call a person: their e-mail address, else what there is."""
    offered = [
        claims.get("email") if claims.get("email_verified") is True else None,
        claims.get("preferred_username"),
        claims.get("name"),
        claims.get("sub"),
    ]
    texts = (one for one in offered if isinstance(one, str) and one.strip())
    name = "".join(sign for sign in next(texts, "somebody") if sign.isprintable())
    name = name.strip()[:MAX_NAME_CHARS] or "somebody"
    return f"{name} (person)" if folded(name) in RESERVED else name


def _domain(claims: Mapping[str, Any]) -> str:
    email = claims.get("email")
    if not isinstance(email, str) or claims.get("email_verified") is not True:
        return ""
    return email.rpartition("@")[2].casefold()
