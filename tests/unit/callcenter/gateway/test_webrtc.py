"""What the gateway tells pages, and what pages tell their visitors."""

import re

import pytest

from callcenter.errors import Refused
from callcenter.gateway.webrtc import _STATUS
from callcenter.telephony.webrtc.files import WIDGET

REFUSALS = {kind.code for kind in _STATUS if issubclass(kind, Refused)}
# Ends that are nobody's fault, or that another try may mend.
ENDS = {
    *("agent_hangup", "operator_hangup", "hangup", "max_duration", "handoff_to_fallback"),
    *("start_timeout", "lost", "no_capacity", "shutdown", "cancelled"),
}


@pytest.mark.parametrize("code", sorted(REFUSALS | ENDS | {"service_unavailable"}))
def test_a_visitor_is_told_why(code: str) -> None:
    """Each has words of its own in the widget, not only "something went wrong"."""
    texts = (WIDGET / "texts.js").read_text()
    assert re.search(rf"^  reason_{code}:\s+\S", texts, re.MULTILINE)
