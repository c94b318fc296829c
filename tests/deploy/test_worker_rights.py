"""What a worker's token may do in the cluster: the chart's role and the policy that bounds it.

The policy's expressions are judged by an implementation of CEL, on requests as an API server shows
them. No API server is here: that it matches requests as the policy says is Kubernetes' part.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import cel
import pytest

from callcenter.worker.deletion_cost import ANNOTATION
from tests.deploy.conftest import VALUES, Manifest, rendered

EVERYTHING = next(path for path in VALUES if path.stem == "everything")
WORKER = "system:serviceaccount:voice:cc-worker"
NAME = "cc-worker-main-1"
POD_NAME = "authentication.kubernetes.io/pod-name"
POD: dict[str, Any] = {
    "metadata": {
        "name": NAME,
        "labels": {"app.kubernetes.io/component": "worker"},
        "annotations": {"karpenter.sh/do-not-disrupt": "true"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "cc-worker-main"}],
    },
    "spec": {"containers": [{"name": "worker", "image": "worker:1"}], "nodeName": "a"},
}


def one(manifests: tuple[Manifest, ...], kind: str) -> Manifest:
    """The only manifest of a kind."""
    (found,) = [manifest for manifest in manifests if manifest["kind"] == kind]
    return found


def allows(
    after: dict[str, Any],
    *,
    before: dict[str, Any] = POD,
    user: str = WORKER,
    token_of: str | None = NAME,
    operation: str = "UPDATE",
    subresource: str | None = None,
) -> bool:
    """What the policy says to a request.

    Args:
        after: the pod as it shall be.
        before: the pod as it is.
        user: who asks.
        token_of: the pod that the token was made for, if it was made for one.
        operation: of admission.
        subresource: such as status.
    """
    spec = one(rendered("helm4", EVERYTHING), "ValidatingAdmissionPolicy")["spec"]
    extra = {} if token_of is None else {"extra": {POD_NAME: [token_of]}}
    request = {
        "operation": operation,
        "name": before["metadata"]["name"],
        "userInfo": {"username": user, **extra},
    } | ({} if subresource is None else {"subResource": subresource})
    known = {"request": request, "object": after, "oldObject": before}
    if not all(cel.evaluate(each["expression"], known) for each in spec["matchConditions"]):
        return True  # not its business
    known["variables"] = {
        each["name"]: cel.evaluate(each["expression"], known) for each in spec["variables"]
    }
    return all(cel.evaluate(each["expression"], known) for each in spec["validations"])


def changed(**metadata: object) -> dict[str, Any]:
    """The pod with other metadata."""
    return {**POD, "metadata": {**POD["metadata"], **metadata}}


def annotated(**annotations: str) -> dict[str, Any]:
    """The pod with more annotations."""
    return changed(annotations={**POD["metadata"]["annotations"], **annotations})


def test_a_worker_may_tell_its_number_of_calls() -> None:
    """As the program does, the first time and later, and where there was no annotation at all."""
    once = annotated(**{ANNOTATION: "3"})
    assert allows(once)
    assert allows(annotated(**{ANNOTATION: "0"}), before=once)
    bare = copy.deepcopy(POD)
    del bare["metadata"]["annotations"]
    assert allows(changed(annotations={ANNOTATION: "1"}), before=bare)


IMAGE = {**POD, "spec": {**POD["spec"], "containers": [{"name": "worker", "image": "evil:1"}]}}
COST = annotated(**{ANNOTATION: "3"})


@pytest.mark.parametrize(
    ("after", "how"),
    [
        (IMAGE, {}),
        ({**IMAGE, "metadata": COST["metadata"]}, {}),
        (annotated(**{"example.com/other": "x"}), {}),
        (changed(annotations={}), {}),
        (changed(annotations={"karpenter.sh/do-not-disrupt": "false"}), {}),
        (changed(labels={}), {}),
        (changed(labels={"app.kubernetes.io/component": "gateway"}), {}),
        (changed(finalizers=["example.com/stay"]), {}),
        (changed(ownerReferences=[]), {}),
        (COST, {"token_of": "cc-worker-main-2"}),
        (COST, {"token_of": "cc-gateway-1"}),
        (COST, {"token_of": None}),
        (COST, {"operation": "CREATE"}),
        (COST, {"subresource": "status"}),
        (COST, {"subresource": "ephemeralcontainers"}),
    ],
)
def test_and_nothing_else(after: dict[str, Any], how: dict[str, Any]) -> None:
    """Image, other annotations, labels, owners; another pod, a token of no pod; other requests."""
    assert not allows(after, **how)


def test_others_are_not_bounded_by_it() -> None:
    """The autoscaler, the kubelet and people."""
    assert allows(IMAGE, user="system:serviceaccount:kube-system:autoscaler", token_of=None)
    assert allows(IMAGE, user="system:serviceaccount:voice:cc-worker2", token_of=None)


def test_role_and_policy_come_together(values: Path) -> None:
    """No right without its bound: for the account with the role, in this namespace, enforced."""
    manifests = rendered("helm4", values)
    roles = [m for m in manifests if m["kind"] in ("Role", "ClusterRole")]
    policies = [m for m in manifests if m["kind"] == "ValidatingAdmissionPolicy"]
    assert len(roles) == len(policies) <= 1
    for role in roles:
        assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]}]
        (account,) = one(manifests, "RoleBinding")["subjects"]
        (condition,) = policies[0]["spec"]["matchConditions"]
        name = f"system:serviceaccount:{account['namespace']}:{account['name']}"
        assert condition["expression"] == f"request.userInfo.username == '{name}'"
        assert policies[0]["spec"]["failurePolicy"] == "Fail"
        bound = one(manifests, "ValidatingAdmissionPolicyBinding")["spec"]
        assert bound["policyName"] == policies[0]["metadata"]["name"]
        assert "Deny" in bound["validationActions"]
        where = bound["matchResources"]["namespaceSelector"]["matchLabels"]
        assert where == {"kubernetes.io/metadata.name": "voice"}


def test_without_the_count_there_is_no_token_and_no_right() -> None:
    """serviceAccount.podDeletionCost=false."""
    manifests = rendered("helm4", EVERYTHING, "--set", "serviceAccount.podDeletionCost=false")
    kinds = {manifest["kind"] for manifest in manifests}
    assert not kinds & {"Role", "RoleBinding", "ValidatingAdmissionPolicy"}
    mounts = [
        m["spec"]["template"]["spec"]["automountServiceAccountToken"]
        for m in manifests
        if m["kind"] in ("Deployment", "StatefulSet")
    ]
    assert not any(mounts)
