"""The pod's annotation, against an API server that is a function."""

import json
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from callcenter.worker.deletion_cost import ANNOTATION, DeletionCost, Pod, client

POD = Pod("https://api.example", "voice", "worker-1")


class ApiServer:
    """Keeps what it was told, or refuses."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.status = 200

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(self.status, json={})

    @property
    def costs(self) -> list[str]:
        """The annotation's values so far."""
        bodies = [json.loads(request.content) for request in self.requests]
        return [body["metadata"]["annotations"][ANNOTATION] for body in bodies]


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """An account's token."""
    path = tmp_path / "token"
    path.write_text("first\n")
    return path


async def test_each_change_is_told_once(token_file: Path) -> None:
    """To the pod's own address, as a merge patch, with the token of the moment."""
    server, calls = ApiServer(), [0]
    http = httpx.AsyncClient(transport=httpx.MockTransport(server))
    cost = DeletionCost(http, POD, lambda: calls[0], token_file)
    await cost.tell()
    await cost.tell()
    calls[0] = 3
    token_file.write_text("second\n")  # noqa: ASYNC240 - a test may wait for its disk
    await cost.tell()
    assert server.costs == ["0", "3"]
    first, second = server.requests
    assert str(first.url) == "https://api.example/api/v1/namespaces/voice/pods/worker-1"
    assert (first.method, first.headers["content-type"]) == (
        "PATCH",
        "application/merge-patch+json",
    )
    assert first.headers["authorization"] == "Bearer first"
    assert second.headers["authorization"] == "Bearer second"
    await http.aclose()


async def test_a_refusal_is_logged_once_and_tried_again(token_file: Path) -> None:
    """A missing right or an API server that is away harms no call."""
    server = ApiServer()
    http = httpx.AsyncClient(transport=httpx.MockTransport(server))
    cost = DeletionCost(http, POD, lambda: 2, token_file)
    server.status = 403
    with capture_logs() as lines:
        await cost.tell()
        await cost.tell()
        server.status = 200
        await cost.tell()
    assert server.costs == ["2", "2", "2"]
    assert [line["working"] for line in lines] == [False, True]
    assert "403" in lines[0]["why"]
    assert "first" not in str(lines)
    await http.aclose()


async def test_a_missing_token_is_told(tmp_path: Path) -> None:
    """Without one the API server isn't asked."""
    server = ApiServer()
    http = httpx.AsyncClient(transport=httpx.MockTransport(server))
    with capture_logs() as lines:
        await DeletionCost(http, POD, lambda: 2, tmp_path / "no-token").tell()
    assert server.requests == []
    assert "no-token" in lines[0]["why"]
    await http.aclose()


def test_a_pod_without_an_account_is_an_error(tmp_path: Path) -> None:
    """The program says so and goes on without."""
    with pytest.raises(OSError, match="No such file"):
        client(tmp_path)
