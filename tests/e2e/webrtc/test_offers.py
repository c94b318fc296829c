"""Offers of a real browser that are more than one audio line and a channel."""

from typing import Any

import pytest

from tests.e2e.webrtc import echo

CALL = """async (kinds) => {
  const peer = new RTCPeerConnection();
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  for (const kind of kinds) {
    if (kind === "voice") peer.addTransceiver(stream.getAudioTracks()[0], { streams: [stream] });
    else if (kind === "channel") peer.createDataChannel("events");
    else peer.addTransceiver(kind, { direction: "recvonly" });
  }
  await peer.setLocalDescription();
  await new Promise((resolve) => setTimeout(resolve, 500));
  const { sdp, type } = peer.localDescription;
  const body = JSON.stringify({ sdp, type });
  const answer = await (await fetch("/api/offer", { method: "POST", body })).json();
  await peer.setRemoteDescription({ sdp: answer.sdp, type: answer.type });
  for (let turn = 0; turn < 100 && peer.connectionState !== "connected"; turn += 1)
    await new Promise((resolve) => setTimeout(resolve, 100));
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const report = [...(await peer.getStats()).values()];
  const heard = report.find(({ type, kind }) => type === "inbound-rtp" && kind === "audio");
  const lines = answer.sdp.match(/^m=.*$/gm).map((line) => line.split(" ")[1] !== "0");
  return { state: peer.connectionState, heard: heard?.packetsReceived ?? 0, lines };
}"""


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("kinds", "taken"),
    [
        (["voice", "channel"], [True, True]),
        (["video", "voice", "channel"], [False, True, True]),
        (["audio", "voice", "channel"], [False, True, True]),
        (["voice", "audio", "video"], [True, False, False]),
        (["channel", "voice"], [True, True]),
    ],
)
async def test_a_call_by_an_offer_of_several_lines(
    open_page: Any, kinds: list[str], taken: list[bool]
) -> None:
    """The line with the voice is taken, wherever it stands; the others are refused in place."""
    async with echo.serving(echo.create_app(echo.echo_packets, frozenset())) as url:
        page = await open_page(f"{url}/widget/texts.js")
        got = await page.evaluate(CALL, kinds)
    assert got["state"] == "connected"
    assert got["lines"] == taken
    assert got["heard"] > 30
