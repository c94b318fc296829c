{{/* Which families a Service has: the cluster's default unless told. */}}
{{- define "pcc.families" -}}
{{- with .Values.network.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.network.ipFamilies }}
ipFamilies: {{ toJson . }}
{{- end }}
{{- end -}}

{{/* The pod's own address within an address with a port. */}}
{{- define "pcc.podHost" -}}
{{- ternary "[$(POD_IP)]" "$(POD_IP)" (eq (first (default (list "IPv4") .Values.network.ipFamilies)) "IPv6") -}}
{{- end -}}

{{/* Networks as peers of a rule: a list. */}}
{{- define "pcc.cidrPeers" }}
        {{- range . }}
        - ipBlock: {cidr: {{ . | quote }}}
        {{- end }}
{{- end }}

{{/* Namespaces as peers of a rule: a list of selectors. */}}
{{- define "pcc.namespacePeers" }}
        {{- range . }}
        - namespaceSelector: {{ toJson . }}
        {{- end }}
{{- end }}

{{/* The internet: everything but what IANA keeps for networks within, and the cloud's own services. */}}
{{- define "pcc.internetPeers" }}
        - ipBlock:
            cidr: 0.0.0.0/0
            except: [0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 168.63.129.16/32, 169.254.0.0/16, 172.16.0.0/12, 192.0.0.0/24, 192.168.0.0/16, 198.18.0.0/15, 224.0.0.0/3]
        - ipBlock: {cidr: "2000::/3", except: ["2001::/23", "2002::/16", "3fff::/20"]}
{{- end }}

{{/* Egress rules that several policies share, as list items. */}}
{{- define "pcc.dnsEgress" }}
    - ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
{{- end }}
{{- define "pcc.redisEgress" }}
    {{- if eq .Values.redis.mode "embedded" }}
    - to: [{podSelector: {matchLabels: {{ include "pcc.selector" (list . "redis") | fromYaml | toJson }}}}]
      ports: [{port: 6379, protocol: TCP}]
    {{- else }}
    - {{ with .Values.networkPolicy.redisCidrs }}to:
        {{- include "pcc.cidrPeers" . }}
      {{ end }}ports:
        {{- range .Values.networkPolicy.redisPorts }}
        - {port: {{ . }}, protocol: TCP}
        {{- end }}
    {{- end }}
{{- end }}
{{- define "pcc.workerEgress" }}
    - to: [{podSelector: {matchLabels: {app.kubernetes.io/instance: {{ .Release.Name }}, app.kubernetes.io/component: worker}}}]
      ports: [{port: link, protocol: TCP}]
{{- end }}
{{- define "pcc.httpsEgress" }}
    {{- if .Values.networkPolicy.httpsEgress }}
    - to:
        {{- include "pcc.internetPeers" . }}
        {{- include "pcc.cidrPeers" .Values.networkPolicy.httpsCidrs }}
      ports: [{port: 443, protocol: TCP}]
    {{- else if .Values.networkPolicy.httpsCidrs }}
    - to:
        {{- include "pcc.cidrPeers" .Values.networkPolicy.httpsCidrs }}
      ports: [{port: 443, protocol: TCP}]
    {{- end }}
{{- end }}
{{/* To the port that a URL names; none for a URL without one. */}}
{{- define "pcc.portEgress" }}
    {{- $port := regexFind ":[0-9]+$" (urlParse .).host }}
    {{- with trimPrefix ":" $port }}
    - ports: [{port: {{ . }}, protocol: TCP}]
    {{- end }}
{{- end }}
{{- define "pcc.otlpEgress" }}
    {{- with .Values.tracing.endpoint }}
    {{- include "pcc.portEgress" . }}
    {{- end }}
{{- end }}

{{/* Who may scrape: ingress of one port. */}}
{{- define "pcc.scrapeIngress" }}
    {{- with .root.Values.networkPolicy.monitoringNamespaces }}
    - from:
        {{- include "pcc.namespacePeers" . }}
      ports: [{port: {{ $.port }}, protocol: TCP}]
    {{- end }}
{{- end }}
