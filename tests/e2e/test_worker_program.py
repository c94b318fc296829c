"""How the worker's process ends."""

from pathlib import Path

import pytest

from tests.e2e.programs import HOST, LINK_SECRET, Program, end, running
from tests.servers import free_port, valkey


@pytest.mark.timeout(60)
def test_a_worker_whose_id_is_taken_over_exits_with_1_and_a_drained_one_with_0(
    tmp_path: Path,
) -> None:
    """Whoever started them (systemd, Kubernetes) sees the difference."""
    with valkey() as redis:

        def worker(name: str, http_port: int) -> Program:
            environment = {
                "REDIS_URL": redis.connection_url,
                "LINK_SECRET": LINK_SECRET,
                "WORKER_ID": "w1",
                "WORKER_PORT": 0,
                "WORKER_HTTP_PORT": http_port,
                "HEARTBEAT_S": 0.1,
            }
            return running(tmp_path / name, "worker", **environment)

        ports = free_port(), free_port()
        with worker("first", ports[0]) as first:
            first.until_ready(f"http://{HOST}:{ports[0]}/readyz")
            with worker("second", ports[1]) as second:
                second.until_ready(f"http://{HOST}:{ports[1]}/readyz")
                assert first.process.wait(10) == 1, first.said()
                assert "a newer process has this worker's id" in first.said()
                end(second.process)
                assert second.process.returncode == 0, second.said()
