"""Trunks as an admin writes them: what is refused, and why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from callcenter.published.trunk import Registrar, RegistrarUri, Trunk
from callcenter.telephony.sip.uri import parse_uri

REGISTRAR = {"uri": "sip:pbx.example.com", "username": "agent", "secret_ref": "ACCOUNT"}


def trunk(sip: object, kind: str = "sip", **more: object) -> Trunk:
    """A trunk with SIP options."""
    return Trunk.model_validate({"name": "t", "title": "T", "kind": kind, "sip": sip, **more})


@pytest.mark.parametrize(
    ("sip", "words"),
    [
        ({"srtp": "must"}, "needs transports"),
        ({"srtp": "must", "transports": ["tls", "udp"]}, "needs transports"),
        ({"transports": []}, "at least 1"),
        ({"transports": ["sctp"]}, "'udp', 'tcp' or 'tls'"),
        ({"codecs": ["g729"]}, "'opus', 'g722', 'pcmu' or 'pcma'"),
        ({"codecs": ["pcmu", "pcmu"]}, "twice"),
        ({"username": "bob"}, "secret_ref"),
        ({"registrar": {**REGISTRAR, "username": "a b"}}, "username"),
        ({"registrar": {**REGISTRAR, "secret_ref": "secret word"}}, "secret_ref"),
        ({"registrar": {**REGISTRAR, "expires_s": 5}}, "60"),
        ({"registrar": {**REGISTRAR, "uri": "http://pbx"}}, "uri"),
        ({"registrar": {**REGISTRAR, "uri": "sip:pbx:70000"}}, "70000 is no port"),
        ({"registrar": {**REGISTRAR, "uri": "sip:pbx>;transport=udp"}}, "uri"),
    ],
)
def test_mistakes_are_named(sip, words) -> None:
    """Each by its field or its reason."""
    with pytest.raises(ValidationError) as error:
        trunk(sip)
    assert words in str(error.value)


def test_only_sip_trunks_have_sip_options() -> None:
    """Elsewhere they would be ignored in silence."""
    with pytest.raises(ValidationError, match="kind 'twilio' has no 'sip'"):
        trunk({}, kind="twilio")
    assert trunk({"username": "bob"}, secret_ref="SECRET").sip is not None


@given(st.from_regex(TypeAdapter(RegistrarUri).json_schema()["pattern"], fullmatch=True))
def test_every_registrar_is_a_uri(text: str) -> None:
    """What is stored can be read by the gateway, which must not stumble over it."""
    try:
        stored = Registrar.model_validate({**REGISTRAR, "uri": text})
    except ValidationError:  # too long, or a port above 65535
        return
    assert parse_uri(stored.uri).peer().host
