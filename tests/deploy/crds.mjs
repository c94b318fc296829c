// Validates custom resources, one JSON document a line on standard input, by their published schemas.
// Prints one line of JSON for each: {"name", "error"}; error is null for a good one.
// Usage: node crds.mjs FOLDER_WITH_node_modules
import { existsSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const KINDS = {
  "keda.sh/v1alpha1/ScaledObject": "keda/keda.sh/v1alpha1/ScaledObject",
  "keda.sh/v1alpha1/TriggerAuthentication": "keda/keda.sh/v1alpha1/TriggerAuthentication",
  "monitoring.coreos.com/v1/ServiceMonitor": "prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor",
  "monitoring.coreos.com/v1/PrometheusRule": "prometheus-operator/monitoring.coreos.com/v1/PrometheusRule",
  "gateway.networking.k8s.io/v1/HTTPRoute": "gateway-api/gateway.networking.k8s.io/v1/HTTPRoute",
  // The package has this kind's v1beta1, which v1 took over unchanged in the fields that we use.
  "external-secrets.io/v1/ExternalSecret": "external-secrets/external-secrets.io/v1beta1/ExternalSecret",
};

// The file itself: the packages differ in what they export by name.
async function model(kind) {
  const stem = path.resolve(process.argv[2], "node_modules/@kubernetes-models", KINDS[kind]);
  const file = existsSync(`${stem}.mjs`) ? `${stem}.mjs` : `${stem}.js`;
  return (await import(pathToFileURL(file)))[kind.split("/").pop()];
}

for await (const line of createInterface({ input: process.stdin })) {
  const document = JSON.parse(line);
  const kind = `${document.apiVersion}/${document.kind}`;
  if (kind.startsWith("external-secrets.io/")) document.apiVersion = "external-secrets.io/v1beta1";
  let error = null;
  if (!(kind in KINDS)) {
    error = `no schema is known for ${kind}`;
  } else {
    const Model = await model(kind);
    try {
      new Model(document).validate();
    } catch (problem) {
      error = problem.message;
    }
  }
  console.log(JSON.stringify({ name: `${document.kind}/${document.metadata.name}`, error }));
}
