{{- define "pcc.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Selector labels: (list $ component) or (list $ component pool). */}}
{{- define "pcc.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ default $root.Chart.Name $root.Values.nameOverride | trunc 63 }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- if gt (len .) 2 }}
personaplex.io/pool: {{ index . 2 }}
{{- end }}
{{- end -}}

{{- define "pcc.labels" -}}
{{- $root := index . 0 -}}
{{ include "pcc.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "pcc.podLabels" -}}
{{ include "pcc.labels" . }}
{{- with (index . 0).Values.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "pcc.image" -}}
{{- $root := index . 0 -}}
{{- $image := index $root.Values.images (index . 1) -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ default $root.Chart.AppVersion $image.tag }}
{{- end -}}
{{- end -}}

{{- define "pcc.serviceAccount" -}}
{{- if (index . 0).Values.serviceAccount.create -}}
{{ include "pcc.fullname" (index . 0) }}-{{ index . 1 }}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{- define "pcc.secretName" -}}
{{- default (printf "%s-secrets" (include "pcc.fullname" .)) .Values.secrets.existingSecret -}}
{{- end -}}

{{/* Pod security: the "restricted" profile. */}}
{{- define "pcc.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "pcc.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* One variable out of the Secret: (list $ NAME key optional). */}}
{{- define "pcc.secretEnv" -}}
- name: {{ index . 1 }}
  valueFrom:
    secretKeyRef:
      name: {{ include "pcc.secretName" (index . 0) }}
      key: {{ index . 2 }}
      {{- if gt (len .) 3 }}
      optional: true
      {{- end }}
{{- end -}}

{{/* "file" or "published". */}}
{{- define "pcc.routesSource" -}}
{{- default (ternary "published" "file" .Values.admin.enabled) .Values.routes.source -}}
{{- end -}}

{{/* The Redis of an account: (list $ "admin"), "gateway" or "worker". */}}
{{- define "pcc.redisEnv" -}}
{{- $root := index . 0 -}}
{{- if eq $root.Values.redis.mode "embedded" }}
{{ include "pcc.secretEnv" (list $root "REDIS_PASSWORD" "redis-password") }}
- name: REDIS_URL
  value: redis://:$(REDIS_PASSWORD)@{{ include "pcc.fullname" $root }}-redis:6379/0
{{- else if $root.Values.redis.accounts }}
{{ include "pcc.secretEnv" (list $root "REDIS_URL" (printf "redis-url-%s" (index . 1))) }}
{{- else }}
{{ include "pcc.secretEnv" (list $root "REDIS_URL" "redis-url") }}
{{- end }}
{{- end -}}

{{/* Whose published configuration counts: the admin app's, or nobody's where there is none. */}}
{{- define "pcc.configKeyEnv" -}}
{{- if or .Values.admin.enabled (eq (include "pcc.routesSource" .) "published") -}}
{{ include "pcc.secretEnv" (list . "CONFIG_PUBLIC_KEY" "config-public-key") }}
{{- else -}}
- {name: CONFIG_PUBLIC_KEY, value: none}
{{- end }}
{{- end -}}

{{/* What every program reads: (list $ ACCOUNT), as for pcc.redisEnv. */}}
{{- define "pcc.commonEnv" -}}
{{ include "pcc.redisEnv" . | trim }}
{{- with index . 0 }}
{{ include "pcc.configKeyEnv" . }}
{{ include "pcc.secretEnv" (list . "LINK_SECRET" "link-secret") }}
- {name: LOG_LEVEL, value: {{ .Values.logLevel | quote }}}
{{- with .Values.tracing.endpoint }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- end }}
{{- end -}}

{{/* Numbers come as floats: without int64 a million would be written 1e+06, which no program reads. */}}
{{- define "pcc.extraEnv" -}}
{{- range $name, $value := . }}
{{- if and (kindIs "float64" $value) (eq $value (floor $value)) }}{{ $value = int64 $value }}{{ end }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end -}}

{{/* Whose X-Forwarded-For a program believes. */}}
{{- define "pcc.proxiesEnv" -}}
{{- with .Values.trustedProxies }}
- {name: FORWARDED_ALLOW_IPS, value: {{ join "," . | quote }}}
{{- end }}
{{- end -}}

{{/* A pool's values over the defaults, as YAML: (list $ name). */}}
{{- define "pcc.pool" -}}
{{- $root := index . 0 -}}
{{- mergeOverwrite (deepCopy $root.Values.workers.defaults) (deepCopy (default dict (index $root.Values.workers.pools (index . 1)))) | toYaml -}}
{{- end -}}

{{/* Pages that may place calls; the console among them where it is reached by a name. */}}
{{- define "pcc.webrtcOrigins" -}}
{{- $origins := .Values.gateway.webrtc.origins -}}
{{- with .Values.admin }}
{{- if and .enabled .ingress.enabled }}{{ $origins = append $origins (printf "https://%s" .ingress.host) }}{{ end -}}
{{- end -}}
{{ $origins | uniq | join "," }}
{{- end -}}

{{- define "pcc.turnUrls" -}}
{{- if .Values.gateway.webrtc.turnUrls -}}
{{ join "," .Values.gateway.webrtc.turnUrls }}
{{- else if .Values.turn.enabled -}}
turn:{{ .Values.turn.host }}:{{ .Values.turn.port }}?transport=udp,turn:{{ .Values.turn.host }}:{{ .Values.turn.port }}?transport=tcp
{{- end -}}
{{- end -}}

{{/* A pod's scheduling: (dict "nodeSelector" .. "tolerations" .. "affinity" ..). */}}
{{- define "pcc.scheduling" -}}
{{- with .nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Replicas of one component stand on different nodes where there are enough. */}}
{{- define "pcc.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{ include "pcc.selector" . | nindent 8 }}
{{- end -}}
