"""A certified OpenID provider on the loopback, and people who log in at it."""

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest

from tests.deploy import tools
from tests.servers import free_port

SCRIPT = Path(__file__).with_name("oidc_provider.mjs")
CLIENT_SECRET = "secret-of-the-tests"
PEOPLE = {
    "ann": {"realm": {"roles": ["callcenter-admin", "x"]}, "email": "ann@example.com"},
    "oskar": {"realm": {"roles": ["callcenter-operator"]}, "email": "oskar@example.com"},
    "vera": {"realm": {"roles": ["callcenter-viewer"]}, "email": "vera@elsewhere.example"},
    "nick": {"realm": {"roles": ["kitchen"]}, "email": "nick@example.com"},
    "system": {"realm": {"roles": ["callcenter-admin"]}},
}
MAX_STEPS = 12


@dataclass
class Provider:
    """A provider that can be stopped, and started again as another one of the same name.

    Attributes:
        home: where the admin app is, as its people see it.
    """

    port: int
    home: str
    people: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {
            name: {**said, "email_verified": True} for name, said in PEOPLE.items()
        }
    )
    _process: subprocess.Popen[str] | None = None

    @property
    def issuer(self) -> str:
        """Its name and its address."""
        return f"http://127.0.0.1:{self.port}"

    def settings(self, **more: Any) -> dict[str, Any]:
        """What the admin app is told of it."""
        return {
            "oidc_issuer": self.issuer,
            "oidc_client_id": "console",
            "oidc_client_secret": CLIENT_SECRET,
            "oidc_scopes": "openid profile email roles",
            "oidc_roles_claim": "realm.roles",
            "oidc_admins": "callcenter-admin",
            "oidc_operators": "callcenter-operator",
            "oidc_viewers": "callcenter-viewer",
            "admin_public_url": self.home,
            **more,
        }

    def start(self, **more: Any) -> None:
        """Starts it; fresh keys each time."""
        try:
            library = tools.OIDC_PROVIDER.path
        except tools.ToolUnavailable as error:
            pytest.skip(str(error))
        told = {
            "library": str(library),
            "port": self.port,
            "redirect": f"{self.home}/admin/oidc/callback",
            "home": f"{self.home}/admin",
            "kid": "first",
            "people": self.people,
            **more,
        }
        self._process = subprocess.Popen(
            [shutil.which("node") or "node", str(SCRIPT), json.dumps(told)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "listening" in line:
                return
        raise AssertionError("the provider did not start")

    def stop(self) -> None:
        """Stops it."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    async def visit(self, address: str, person: str) -> str:
        """Goes where the app sends a browser, logs in and agrees; the address that it ends at."""
        async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
            for _ in range(MAX_STEPS):
                answer = await http.get(address)
                if answer.status_code == 200:
                    answer = await http.post(address, data=_form(answer.text, person))
                assert answer.is_redirect, answer.text
                address = urljoin(address, answer.headers["Location"])
                if address.startswith(self.home):
                    return address
        raise AssertionError(f"the provider leads nowhere: {address}")


def _form(page: str, person: str) -> Mapping[str, str]:
    prompt = re.search(r'name="prompt" value="(\w+)"', page)
    assert prompt is not None, page
    return {"prompt": prompt[1], "login": person, "password": "x"}


@contextlib.contextmanager
def provider(home: str, **more: Any) -> Iterator[Provider]:
    """A running provider."""
    made = Provider(free_port(), home)
    made.start(**more)
    try:
        yield made
    finally:
        made.stop()
