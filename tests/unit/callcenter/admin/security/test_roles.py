"""The least role of every operation, as a person decided it: a new one must be put down here."""

from callcenter.admin.program import description

LEAST_ROLE = {
    "public": {
        "post /v1/session",
    },
    "viewer": {
        "get /v1/calls",
        "get /v1/calls/{call_id}",
        "get /v1/calls/{call_id}/events",
        "get /v1/calls/{call_id}/stream",
        "get /v1/calls:export",
        "get /v1/limits",
        "get /v1/limits/{reference}",
        "get /v1/numbers",
        "get /v1/numbers/{reference}",
        "get /v1/overview",
        "get /v1/personas",
        "get /v1/personas/{reference}",
        "get /v1/personas/{reference}/diff",
        "get /v1/personas/{reference}/versions",
        "get /v1/personas/{reference}/versions/{number}",
        "post /v1/personas:preview",
        "post /v1/personas:validate",
        "get /v1/pools",
        "get /v1/routes",
        "get /v1/routes/{reference}",
        "post /v1/routes:simulate",
        "get /v1/schedules",
        "get /v1/schedules/{reference}",
        "get /v1/schemas/persona",
        "delete /v1/session",
        "get /v1/session",
        "post /v1/session:confirm",
        "delete /v1/sessions",
        "get /v1/sessions",
        "delete /v1/sessions/{reference}",
        "get /v1/templates",
        "get /v1/trunks",
        "get /v1/trunks/{reference}",
        "get /v1/voices",
        "get /v1/voices/{reference}",
        "get /v1/voices/{reference}/audio",
        "get /v1/voices/{reference}/codes",
        "get /v1/workers",
        "get /v1/workers/{reference}",
    },
    "operator": {
        "post /v1/calls/{call_id}/hangup",
        "post /v1/calls/{call_id}:press",
        "post /v1/calls/{call_id}:transfer",
        "post /v1/personas/{reference}/trials",
        "post /v1/schedules",
        "delete /v1/schedules/{reference}",
        "patch /v1/schedules/{reference}",
        "post /v1/workers/{reference}/drain",
    },
    "admin": {
        "get /v1/api_keys",
        "post /v1/api_keys",
        "delete /v1/api_keys/{reference}",
        "get /v1/api_keys/{reference}",
        "get /v1/audit",
        "delete /v1/calls/{call_id}",
        "post /v1/calls:erase",
        "get /v1/export",
        "put /v1/import",
        "post /v1/limits",
        "delete /v1/limits/{reference}",
        "patch /v1/limits/{reference}",
        "post /v1/numbers",
        "delete /v1/numbers/{reference}",
        "patch /v1/numbers/{reference}",
        "post /v1/personas",
        "delete /v1/personas/{reference}",
        "patch /v1/personas/{reference}",
        "post /v1/personas/{reference}/archive",
        "put /v1/personas/{reference}/draft",
        "post /v1/personas/{reference}/publish",
        "post /v1/personas/{reference}/restore",
        "post /v1/personas/{reference}/rollback",
        "delete /v1/personas/{reference}/versions/{number}",
        "post /v1/routes",
        "delete /v1/routes/{reference}",
        "patch /v1/routes/{reference}",
        "post /v1/trunks",
        "delete /v1/trunks/{reference}",
        "patch /v1/trunks/{reference}",
        "post /v1/voices",
        "delete /v1/voices/{reference}",
        "patch /v1/voices/{reference}",
        "put /v1/voices/{reference}/consent",
        "post /v1/voices/{reference}/consent/revoke",
        "get /v1/webhooks",
        "post /v1/webhooks",
        "delete /v1/webhooks/{reference}",
        "get /v1/webhooks/{reference}",
        "patch /v1/webhooks/{reference}",
        "post /v1/webhooks/{reference}/replace_secret",
        "get /v1/webhooks/{reference}/deliveries",
        "post /v1/webhooks/{reference}/deliveries/{delivery}/redeliver",
    },
}
FRESH = {  # a session must have proved lately who its person is
    "delete /v1/api_keys/{reference}",
    "delete /v1/trunks/{reference}",
    "patch /v1/trunks/{reference}",
    "post /v1/api_keys",
    "post /v1/trunks",
    "put /v1/import",
}


def test_every_operation_asks_for_the_role_that_was_decided() -> None:
    """None is missing, none is left over, none asks for less."""
    found: dict[str, set[str]] = {}
    for path, methods in description()["paths"].items():
        for method, operation in methods.items():
            role = operation.get("x-role", "viewer" if method == "get" else "admin")
            found.setdefault(role, set()).add(f"{method} {path}")
    assert found == LEAST_ROLE


def test_what_needs_a_fresh_log_in() -> None:
    """Keys, trunks, and the import that can change trunks."""
    found = {
        f"{method} {path}"
        for path, methods in description()["paths"].items()
        for method, operation in methods.items()
        if operation.get("x-fresh")
    }
    assert found == FRESH


def test_viewers_read_no_secrets_of_others() -> None:
    """What is the business of admins: who did what, keys, where webhooks go, everything at once."""
    admins = LEAST_ROLE["admin"]
    for path in ("/v1/audit", "/v1/api_keys", "/v1/webhooks", "/v1/export"):
        assert f"get {path}" in admins
