"""Values: what is wrong is refused before anything is installed, with words that help."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
import yaml

from callcenter import settings
from tests.deploy.conftest import CHART, HELMS

pytestmark = pytest.mark.timeout(120)

EDGE = (
    *("sip.enabled=true", "sip.trunks.existingSecret=t", "sip.tls.enabled=true"),
    *("sip.tls.secretName=t", "edge.enabled=true", "edge.trunkCidr=192.0.2.0/24"),
)
REFUSED = [  # values that are wrong, and the words that must stand in the refusal
    (("gateway.replica=3",), "replica"),
    (("gateway.replicas=many",), "replicas"),
    (("workers.pools.main.slots=0",), "slots"),
    (("workers.pools.main.engine=gpt",), "engine"),
    (("workers.pools.UPPER.slots=4",), "UPPER"),
    (("gateway.publicBaseUrl=http://voice.example.com",), "publicBaseUrl"),
    (("redis.mode=sentinel",), "mode"),
    (("sip.port=70000",), "port"),
    (("images.worker.digest=sha256:12",), "digest"),
    (("gateway.twilio.fallbackVerb=shout",), "fallbackVerb"),
    (("workers.defaults.keda.minReplicas=0",), "minReplicas"),
    (("logLevel=chatty",), "logLevel"),
    (("transfers.prefixes[0]=0900",), "prefixes"),
    (("routes.config.default.personna=bank",), "personna"),
    (("gateway.publicBaseUrl=",), "gateway.publicBaseUrl is required"),
    (("secrets.generate=false",), "secrets.existingSecret"),
    (("redis.mode=external",), "external Redis"),
    (("gateway.drainSeconds=60",), "an upgrade would cut calls"),
    (("gateway.terminationGracePeriodSeconds=610",), "must be at least"),
    (("workers.pools.main.drainSeconds=60",), "a scale-down would cut calls"),
    (("workers.pools.main.terminationGracePeriodSeconds=600",), "must be at least"),
    (("gateway.pools={gold}",), '"gold"'),
    (("workers.pools.main.engine=personaplex",), "needs a model"),
    (
        ("workers.pools.main.keda.enabled=true", "workers.pools.main.hpa.enabled=true"),
        "keda and hpa are both on",
    ),
    (("workers.pools.main.keda.enabled=true",), "keda.prometheusUrl is required"),
    (("sip.enabled=true",), "sip.trunks.existingSecret is required"),
    (
        ("sip.enabled=true", "sip.trunks.existingSecret=t", "sip.rtp.portMax=40000"),
        "overlaps 32768-60999",
    ),
    (
        ("sip.enabled=true", "sip.trunks.existingSecret=t", "sip.hostNetwork=false"),
        "sip.replicas above 1 needs sip.hostNetwork",
    ),
    (("edge.enabled=true",), "edge.enabled needs sip.enabled and sip.tls.enabled"),
    ((*EDGE, "edge.trunkCidr="), "edge.trunkCidr is required"),
    ((*EDGE, "edge.trunkCidr=anybody"), "trunkCidr"),
    ((*EDGE, "sip.advertisedIp=203.0.113.7"), "the address that trunks see"),
    ((*EDGE, "edge.rtp.portMax=25000"), "at least twice as many"),
    ((*EDGE, "sip.rtp.portMin=25000", "sip.rtp.portMax=25999"), "edge.rtp and sip.rtp overlap"),
    ((*EDGE, "edge.rtp.portMin=31000", "edge.rtp.portMax=35000"), "overlaps 32768-60999"),
    (("redis.mode=external", "networkPolicy.redisPorts={}"), "redisPorts"),
    (("turn.enabled=true",), "turn.host and turn.realm are required"),
    (("gateway.ingress.enabled=true",), "gateway.ingress.host is required"),
    (("gateway.httpRoute.enabled=true",), "parentRefs is required"),
]


@pytest.mark.parametrize("name", HELMS)
@pytest.mark.parametrize(("options", "words"), REFUSED, ids=[" ".join(case[0]) for case in REFUSED])
def test_wrong_values_are_refused_readably(
    name: str, options: tuple[str, ...], words: str, refusal
) -> None:
    """By the schema or by the checks; the message says what is wrong."""
    arguments = [part for option in options for part in ("--set", option)]
    assert words in refusal(name, *arguments)


def test_every_value_is_in_the_schema() -> None:
    """And every object is closed, but for those whose keys are the user's."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))

    def walk(node: dict[str, Any], part: dict[str, Any], path: str) -> None:
        if "$ref" in node:
            node = schema["definitions"][node["$ref"].rsplit("/", 1)[1]]
        if "properties" not in node:
            return
        assert node["additionalProperties"] is False, path
        for key, value in part.items():
            assert key in node["properties"], f"{path}.{key}"
            if isinstance(value, dict):
                walk(node["properties"][key], value, f"{path}.{key}")

    walk(schema, values, "")


def test_enumerations_are_those_of_the_settings() -> None:
    """Engines, log levels and verbs of the schema are what the programs take."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    pool = schema["definitions"]["pool"]["properties"]
    gateway = schema["properties"]["gateway"]["properties"]
    assert set(pool["engine"]["enum"]) == set(get_args(settings.EngineKind))
    assert set(schema["properties"]["logLevel"]["enum"]) == set(get_args(settings.LogLevel))
    verbs = gateway["twilio"]["properties"]["fallbackVerb"]["enum"]
    assert set(verbs) == set(get_args(settings.FallbackVerb))
