"""Signatures, TwiML and REST."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from xml.etree import ElementTree

import httpx
import pytest

from callcenter.errors import Unauthorized
from callcenter.telephony.leg import CallControlFailed
from callcenter.telephony.twilio.control import (
    CallResource,
    Fallback,
    SignatureCheck,
    connect_twiml,
    dial_twiml,
    say_twiml,
    socket_url,
)

parse = ElementTree.fromstring
BASE_URL = "https://voice.example.com"
FORM = {"CallSid": "CA1", "To": "+15550100", "From": "+15550101"}


def sign(auth_token: str, url: str, form: dict[str, str]) -> str:
    """Twilio's algorithm, written from its documentation and not with its library."""
    text = url + "".join(name + form[name] for name in sorted(form))
    digest = hmac.new(auth_token.encode(), text.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def headers(signature: str) -> dict[str, str]:
    """As they come with a request."""
    return {"X-Twilio-Signature": signature}


def test_a_signed_webhook() -> None:
    """Over the public URL and all form fields; the check returns the signature."""
    check = SignatureCheck(BASE_URL, ["secret"])
    signature = sign("secret", f"{BASE_URL}/twilio/voice", FORM)
    assert check.check_webhook("/twilio/voice", FORM, headers(signature)) == signature


def test_both_tokens_are_good_while_one_is_rotated() -> None:
    """Twilio signs with either during a rotation."""
    check = SignatureCheck(BASE_URL, ["new", "old"])
    for token in ("new", "old"):
        signature = sign(token, f"{BASE_URL}/v", FORM)
        check.check_webhook("/v", FORM, headers(signature))


@pytest.mark.parametrize(
    "signature",
    [
        sign("other", f"{BASE_URL}/v", FORM),
        sign("secret", "https://proxy.internal/v", FORM),
        sign("secret", f"{BASE_URL}/v", {**FORM, "To": "+15550102"}),
        "é",
    ],
    ids=["another secret", "another host", "another form", "not ASCII"],
)
def test_a_signature_that_does_not_fit(signature: str) -> None:
    """The error says where to look."""
    with pytest.raises(Unauthorized, match="PUBLIC_BASE_URL"):
        SignatureCheck(BASE_URL, ["secret"]).check_webhook("/v", FORM, headers(signature))


def test_no_signature() -> None:
    """The header's name is in the error."""
    with pytest.raises(Unauthorized, match="X-Twilio-Signature"):
        SignatureCheck(BASE_URL, ["secret"]).check_webhook("/v", FORM, {})


def test_a_socket_is_signed_over_its_wss_url_alone() -> None:
    """Not over https, and without any form."""
    check = SignatureCheck(BASE_URL, ["secret"])
    check.check_socket("/m/1", headers(sign("secret", "wss://voice.example.com/m/1", {})))
    with pytest.raises(Unauthorized):
        check.check_socket("/m/1", headers(sign("secret", f"{BASE_URL}/m/1", {})))


def test_socket_urls() -> None:
    """The scheme follows the public address."""
    assert socket_url(BASE_URL, "/m") == "wss://voice.example.com/m"
    assert socket_url("http://127.0.0.1:8080", "/m") == "ws://127.0.0.1:8080/m"


@pytest.mark.parametrize(
    ("verb", "tag", "value"),
    [("say", "Say", "Sorry."), ("redirect", "Redirect", "https://x/y"), ("dial", "Dial", "+1555")],
)
def test_the_fallback_stands_behind_the_stream(verb: str, tag: str, value: str) -> None:
    """<Connect> with its <Stream> and <Parameter>, then the verb."""
    text = connect_twiml("wss://x/m/1", {"persona": "bank & co"}, Fallback(verb, value))
    response = parse(text)
    assert [child.tag for child in response] == ["Connect", tag]
    stream = response[0][0]
    assert (stream.tag, stream.get("url")) == ("Stream", "wss://x/m/1")
    assert stream[0].attrib == {"name": "persona", "value": "bank & co"}
    assert response[1].text == value


def test_other_twiml() -> None:
    """Both end with a hang-up, so that nothing can fall through."""
    said, dialled = (
        parse(say_twiml("Busy.")),
        parse(dial_twiml("+15550199")),
    )
    assert [(child.tag, child.text) for child in said] == [("Say", "Busy."), ("Hangup", None)]
    assert [(child.tag, child.text) for child in dialled] == [
        ("Dial", "+15550199"),
        ("Hangup", None),
    ]


def resource(answer: Callable[[httpx.Request], httpx.Response]) -> CallResource:
    """Twilio's call resource with a server of our own behind it."""
    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    return CallResource(http, "https://api.twilio.com/", "AC1", ("secret", "next"))


async def test_rest_hang_up_and_transfer() -> None:
    """Path, account and fields as documented."""
    requests = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json={})

    calls = resource(answer)
    await calls.hang_up("CA1")
    await calls.transfer("CA1", "+15550199")
    assert str(requests[0].url) == ("https://api.twilio.com/2010-04-01/Accounts/AC1/Calls/CA1.json")
    assert requests[0].content == b"Status=completed"
    assert b"Dial" in requests[1].content
    expected = base64.b64encode(b"AC1:secret").decode()
    assert requests[0].headers["Authorization"] == f"Basic {expected}"


async def test_rest_asks_twice_when_twilio_is_down_and_once_when_it_says_no() -> None:
    """Both requests set a state; a second one does no harm."""
    statuses = [500, 200, 404, 503, 503]
    calls = resource(lambda _: httpx.Response(statuses.pop(0)))
    await calls.hang_up("CA1")
    with pytest.raises(CallControlFailed, match="HTTP 404"):
        await calls.hang_up("CA1")
    with pytest.raises(CallControlFailed, match="HTTP 503"):
        await calls.hang_up("CA1")
    assert statuses == []


async def test_rest_takes_the_other_token_while_it_is_being_rotated() -> None:
    """Twilio forgets the first one at once; what is neither's fault is not asked again."""
    shown = []

    def answer(request: httpx.Request) -> httpx.Response:
        login = request.headers["Authorization"].removeprefix("Basic ")
        shown.append(base64.b64decode(login).decode())
        return httpx.Response(200 if shown[-1] == "AC1:next" else 401)

    await resource(answer).hang_up("CA1")
    assert shown == ["AC1:secret", "AC1:next"]
    refusing = resource(lambda _: httpx.Response(401))
    with pytest.raises(CallControlFailed, match="HTTP 401"):
        await refusing.hang_up("CA1")


async def test_rest_without_a_network() -> None:
    """The failure is one of ours."""

    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route", request=request)

    with pytest.raises(CallControlFailed, match="ConnectError"):
        await resource(answer).hang_up("CA1")
