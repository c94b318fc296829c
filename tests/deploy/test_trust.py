"""Which pod gets which secret of those that the parts of an installation trust one another by."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from callcenter.published.signing import SNAPSHOT, key_ring, signer
from tests.deploy.conftest import HELMS, VALUES, pods, rendered

EVERYTHING = Path(__file__).parent / "values" / "everything.yaml"
ONE_NODE = next(path for path in VALUES if path.stem == "one-node")
READERS = {"gateway", "sip", "worker"}

pytestmark = pytest.mark.timeout(120)


def variables(values: Path, *options: str) -> dict[str, dict[str, Any]]:
    """Component -> variable -> its value, or the key of the Secret that it comes from."""
    found: dict[str, dict[str, Any]] = {}
    for pod in pods(rendered("helm4", values, *options)).values():
        component = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        for entry in pod["spec"]["containers"][0].get("env", []):
            source = entry.get("valueFrom", {}).get("secretKeyRef")
            value = entry.get("value") if source is None else source
            found.setdefault(component, {})[entry["name"]] = value
    return found


def test_only_the_admin_app_can_sign(values: Path) -> None:
    """Everybody else has its public key, which must be there; or trusts nobody."""
    found = variables(values)
    for component, known in found.items():
        assert ("CONFIG_SIGNING_KEY" in known) == (component == "admin"), component
    for component in READERS & found.keys():
        key = found[component]["CONFIG_PUBLIC_KEY"]
        if "admin" in found:
            assert key["key"] == "config-public-key"
            assert not key.get("optional")
        else:
            assert key == "none"


def test_published_routes_without_an_admin_app_here() -> None:
    """It runs somewhere else, and so its key is wanted."""
    found = variables(ONE_NODE, "--set", "admin.enabled=false", "--set", "routes.source=published")
    for component in READERS & found.keys():
        assert found[component]["CONFIG_PUBLIC_KEY"]["key"] == "config-public-key"


@pytest.mark.parametrize("name", HELMS)
def test_a_trials_keys_are_a_pair(name: str) -> None:
    """What the generated private key signs, the generated public key reads."""
    options = ("--set", "secrets.existingSecret=", "--set", "secrets.generate=true")
    manifests = rendered(name, EVERYTHING, *options)
    (secret,) = (each for each in manifests if each["kind"] == "Secret")
    private, public = (
        base64.b64decode(secret["data"][f"config-{half}-key"]).decode()
        for half in ("signing", "public")
    )
    token = signer(private, "").sign(SNAPSHOT, {"a": 1})
    assert key_ring(public).verify(SNAPSHOT, token) == {"a": 1}


def test_an_account_a_component() -> None:
    """Each logs in to Redis by a URL of its own; the SIP gateways as gateways."""
    found = variables(EVERYTHING, "--set", "redis.mode=external", "--set", "redis.accounts=true")
    urls = {component: found[component]["REDIS_URL"]["key"] for component in (*READERS, "admin")}
    assert urls == {
        "admin": "redis-url-admin",
        "gateway": "redis-url-gateway",
        "sip": "redis-url-gateway",
        "worker": "redis-url-worker",
    }


def test_without_twilio_there_is_no_token(values: Path) -> None:
    """A Secret without it starts gateways that have no door for Twilio."""
    assert variables(values)["gateway"]["TWILIO_AUTH_TOKEN"]["optional"]
