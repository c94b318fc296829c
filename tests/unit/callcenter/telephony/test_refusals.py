"""What media sockets drop."""

from structlog.testing import capture_logs

from callcenter import metrics
from callcenter.media.datagram import Refusal
from callcenter.telephony.refusals import SUMMARY_EVERY_S, Refusals


def test_a_flood_is_one_line_a_minute() -> None:
    """The numbers are whole all the same: in the metric at once, in the log with the next line."""
    now = [0.0]
    refusals = Refusals("test", lambda: now[0])
    with capture_logs() as lines:
        for _ in range(10_000):
            refusals.note(Refusal.SIZE)
        refusals.note(Refusal.STRANGER, 5)
        now[0] = SUMMARY_EVERY_S
        refusals.note(Refusal.SIZE)
    assert [line["event"] for line in lines] == ["media_datagrams_refused"] * 2
    assert lines[0]["size"] == 1
    assert (lines[1]["size"], lines[1]["stranger"]) == (10_000, 5)
    series = metrics.MEDIA_DATAGRAMS_REFUSED.labels("test", "size")
    assert series._value.get() == 10_001
