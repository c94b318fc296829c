"""SRTP keys in SDP (RFC 4568): reads them, chooses a suite, makes ours. It encrypts nothing."""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace

from callcenter.telephony.sip.media_plan import SUITES, CryptoKey, LocalMedia, NotAcceptable
from callcenter.telephony.sip.sdp import MediaLine
from callcenter.telephony.sip.uri import whole_number


def agree_on_keys(line: MediaLine, local: LocalMedia) -> tuple[CryptoKey | None, CryptoKey | None]:
    """Our key and theirs for an offered line; none for plain RTP.

    Raises:
        NotAcceptable: no common suite, or against the policy.
    """
    if not line.secure:
        if local.srtp == "must":
            raise NotAcceptable("this trunk needs SRTP (RTP/SAVP with a=crypto)")
        return None, None
    if local.srtp == "never":
        raise NotAcceptable("this trunk has no SRTP")
    offered = {key.suite: key for key in reversed(keys_of(line))}
    for suite in SUITES:
        if suite in offered:
            return our_key(local, suite, offered[suite].tag), offered[suite]
    raise NotAcceptable("no common SRTP suite: we have " + ", ".join(SUITES))


def keys_of(line: MediaLine) -> list[CryptoKey]:
    """The a=crypto values that we understand (RFC 4568 9.1)."""
    keys = []
    for value in line.values("crypto"):
        parts = value.split()
        if len(parts) != 3 or parts[1] not in SUITES:
            continue  # session parameters change the keying: none of them is supported
        tag = whole_number(parts[0], 999_999_999)  # RFC 4568 9.1: 1 to 9 digits
        method, _, material = parts[2].partition(":")
        key = _decode_key(material.partition("|")[0])
        if tag is not None and method.lower() == "inline" and len(key) == SUITES[parts[1]]:
            keys.append(CryptoKey(parts[1], key, tag))
    return keys


def _decode_key(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):  # the far end's mistake: this key is no key
        return b""


def our_key(local: LocalMedia, suite: str, tag: int) -> CryptoKey:
    """The key in force if it is the suite's, else a fresh one."""
    if local.key is not None and local.key.suite == suite:
        return replace(local.key, tag=tag)
    return CryptoKey(suite, local.new_key(SUITES[suite]), tag)


def offered_keys(local: LocalMedia) -> list[CryptoKey]:
    """A key for every suite."""
    return [our_key(local, suite, tag) for tag, suite in enumerate(SUITES, start=1)]
