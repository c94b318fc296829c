"""HTTP servers, and the tasks beside them: all within bounds."""

import re
from pathlib import Path

import callcenter
from callcenter.serving.guard import Guard, HttpLimits


def test_a_customer_of_ipv6_is_one_host() -> None:
    """All addresses of a /64 together; IPv4 and mapped IPv4 address by address."""
    guard = Guard(HttpLimits(connections_per_host=1))
    assert guard.enter("2001:db8::1")
    assert not guard.enter("2001:db8::ffff")
    assert guard.enter("2001:db8:0:1::1")
    assert guard.enter("::ffff:192.0.2.1")
    assert guard.enter("::ffff:192.0.2.2")
    assert guard.enter("192.0.2.3")
    assert guard.enter("192.0.2.4")
    guard.leave("2001:db8::1")
    assert guard.enter("2001:db8::2")


def test_every_http_server_is_a_guarded_one() -> None:
    """No program starts one without bounds."""
    package = Path(callcenter.__file__).parent
    bare = re.compile(r"uvicorn\.Config\(|uvicorn\.run\(|start_http_server|make_server\(")
    found = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if bare.search(path.read_text())
    ]
    assert sorted(found) == ["serving/guard.py", "serving/pages.py"]


def test_every_task_that_serves_many_is_supervised() -> None:
    """A program's own tasks are kept by a supervisor; the others belong to one call or message."""
    programs = ("admin/program.py", "gateway/program.py", "gateway/sip_program.py",
                "worker/program.py")  # fmt: skip
    package = Path(callcenter.__file__).parent
    for name in programs:
        text = (package / name).read_text()
        own = re.findall(r"create_task\(([\w.]+)", text)
        # What ends the program: its drain, its HTTP server, the second signal.
        drains = {"gateway.drain", "http.serve", "at_once.wait", "self._drain_and_exit"}
        assert set(own) <= drains, name
        assert "Supervisor()" in text
