"""How good a call sounds, from delay and loss alone: the E-model's R and the MOS that it predicts.

ITU-T G.107 with default values for everything that a packet network cannot see, the impairments of
G.113 Appendix I. Knows nothing of RTCP.
"""

from __future__ import annotations

DEFAULT_R = 93.2  # G.107 with all defaults, no delay and no loss
# codec -> equipment impairment Ie, robustness against random loss Bpl (with concealment)
IMPAIRMENT = {"pcmu": (0.0, 25.1), "pcma": (0.0, 25.1), "g722": (0.0, 25.1), "opus": (0.0, 20.0)}


def r_factor(codec: str, one_way_s: float, lost: float) -> float:
    """R, 0 to 93.2.

    Args:
        codec: SDP name; an unknown one counts as G.711 without concealment.
        one_way_s: mouth to ear.
        lost: share of packets that were lost or came too late, 0 to 1.
    """
    base, robustness = IMPAIRMENT.get(codec, (0.0, 4.3))
    delay_ms, percent = one_way_s * 1_000, min(max(lost, 0.0), 1.0) * 100
    delay_loss = 0.024 * delay_ms + 0.11 * max(0.0, delay_ms - 177.3)
    equipment = base + (95.0 - base) * percent / (percent + robustness)
    return min(max(DEFAULT_R - delay_loss - equipment, 0.0), DEFAULT_R)


def mos(r: float) -> float:
    """Mean opinion score, 1.0 to 4.5 (G.107 Annex B)."""
    if r <= 0.0:
        return 1.0
    return min(max(1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6, 1.0), 4.5)
