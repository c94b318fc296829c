"""Schemathesis makes requests up from the OpenAPI description: none may break the server."""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Iterator

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from callcenter.admin import program
from callcenter.admin.security.rates import RateLimits
from callcenter.settings import AdminSettings
from tests.integration.admin.conftest import ADMIN_SECRET, LINK_SECRET, Filled

EXAMPLES_OF_EACH = 6
OF_LIBRARIES = ("Input should", "Value error", "Field required", "String should", " object at 0x")
# Logging out and revoking would end the test; the rest of the session API stays in.
LEFT_OUT = {("DELETE", "/v1/session"), ("DELETE", "/v1/api_keys/{reference}")}


@pytest.fixture
def served(any_database: Filled, redis_url: str) -> Iterator[tuple[str, str]]:
    """An admin app on a real socket, in a thread; gives its address and a secret."""
    settings_of_app = AdminSettings.load(
        redis_url=redis_url,
        link_secret=LINK_SECRET,
        admin_secret=ADMIN_SECRET,
        database_url=any_database.url,
        admin_port=0,
        admin_secure_cookies=False,
    )
    # Made-up requests come faster than any person's.
    parts = program.build(settings_of_app, RateLimits(1_000_000, 1_000_000))
    app = program.create_app(parts, lambda secret: None)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the admin app did not start"
            thread.join(0.05)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}", any_database.secret
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.mark.timeout(170)
@pytest.mark.filterwarnings("default")  # of the generator's own
def test_no_made_up_request_is_a_server_error(served: tuple[str, str]) -> None:
    """Every operation of the description, well-formed and malformed."""
    logging.getLogger("httpx").setLevel(logging.WARNING)
    base_url, secret = served
    headers = {"Authorization": f"Bearer {secret}"}
    schema = schemathesis.openapi.from_url(f"{base_url}/v1/openapi.json", headers=headers)
    answers: Counter[int] = Counter()
    for found in schema.get_all_operations():
        operation = found.ok()
        if (operation.method.upper(), operation.path) in LEFT_OUT:
            continue

        either = st.one_of([operation.as_strategy(generation_mode=mode) for mode in GenerationMode])

        @settings(
            max_examples=EXAMPLES_OF_EACH,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=either)
        def ask(case: schemathesis.Case) -> None:
            response = case.call(base_url=base_url, headers=headers, timeout=20)
            answers[response.status_code // 100] += 1
            assert response.status_code < 500, (case.as_curl_command(), response.text)
            found = [words for words in OF_LIBRARIES if words in response.text]
            assert response.status_code < 400 or not found, (found, response.text)

        ask()
    assert answers[2] > 50, answers
    assert answers[4] > 50, answers
