"""Tells Kubernetes what it would cost to delete this worker's pod: its calls.

A scale-down deletes the pods of least cost first (`controller.kubernetes.io/pod-deletion-cost`), so
idle workers go and busy ones stay. It is a wish, not a promise: what protects calls is the drain.
The chart's role lets the account patch pods, and its admission policy bounds that to this
annotation of the pod that the token was made for. It knows nothing of sessions but a number.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import structlog

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
EVERY_S = 5.0
TIMEOUT_S = 5.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod and the API server that knows it.

    Attributes:
        api_url: such as https://10.96.0.1:443.
        namespace, name: of the pod.
    """

    api_url: str
    namespace: str
    name: str

    @property
    def url(self) -> str:
        """The pod in the API."""
        return f"{self.api_url}/api/v1/namespaces/{self.namespace}/pods/{self.name}"


def client(account: Path = ACCOUNT) -> httpx.AsyncClient:
    """An HTTP client that trusts the cluster's own authority.

    Raises:
        OSError: the pod has no account mounted.
    """
    trust = ssl.create_default_context(cafile=str(account / "ca.crt"))
    return httpx.AsyncClient(verify=trust, timeout=TIMEOUT_S)


class DeletionCost:
    """Keeps the annotation of one pod.

    Args:
        http: how to reach the API server.
        pod: whose annotation.
        calls: how many it has now.
        token_file: the account's token; read each time, since it is renewed while we run.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        pod: Pod,
        calls: Callable[[], int],
        token_file: Path = ACCOUNT / "token",
    ) -> None:
        self._http = http
        self._pod = pod
        self._calls = calls
        self._token_file = token_file
        self._told: int | None = None
        self._working = True

    async def run(self) -> None:
        """Tells every change, for ever; cancel it at the end of the process."""
        while True:
            await self.tell()
            await asyncio.sleep(EVERY_S)

    async def tell(self) -> None:
        """Writes the number of calls, if it has changed since it was last written."""
        calls = self._calls()
        if calls == self._told:
            return
        try:
            await self._patch(calls)
        except (httpx.HTTPError, OSError) as error:  # the API server is away, or refuses
            self._note(working=False, why=str(error))
        else:
            self._told = calls
            self._note(working=True)

    async def _patch(self, calls: int) -> None:
        token = self._token_file.read_text(encoding="utf-8").strip()
        response = await self._http.patch(
            self._pod.url,
            json={"metadata": {"annotations": {ANNOTATION: str(calls)}}},
            headers={
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/merge-patch+json",
            },
        )
        response.raise_for_status()

    def _note(self, *, working: bool, why: str = "") -> None:
        """Logs when it stops working and when it works again, not in between."""
        if working != self._working:
            self._working = working
            log.log(20 if working else 30, "deletion_cost", working=working, why=why)
