{{/* Egress rules that several policies share, as list items. */}}
{{- define "pcc.dnsEgress" }}
    - ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
{{- end }}
{{- define "pcc.redisEgress" }}
    {{- if eq .Values.redis.mode "embedded" }}
    - to: [{podSelector: {matchLabels: {{ include "pcc.selector" (list . "redis") | fromYaml | toJson }}}}]
      ports: [{port: 6379, protocol: TCP}]
    {{- else }}
    - ports:
        {{- range .Values.networkPolicy.redisPorts }}
        - {port: {{ . }}, protocol: TCP}
        {{- end }}
    {{- end }}
{{- end }}
{{- define "pcc.otlpEgress" }}
    {{- with .Values.tracing.endpoint }}
    {{- $hostport := (urlParse .).host }}
    {{- if contains ":" $hostport }}
    - ports: [{port: {{ last (splitList ":" $hostport) }}, protocol: TCP}]
    {{- end }}
    {{- end }}
{{- end }}
