{{/*
Kamailio and rtpengine in the SIP gateway's pod: TLS and SRTP outside, plain SIP and RTP on the
loopback. As sidecars they start before the gateway and end after its last call. On the node's network,
where no network policy reaches, a firewall before them lets nobody but the trunk connect.
*/}}
{{- define "pcc.edgeContainers" -}}
{{- $s := .Values.sip }}
{{- $e := .Values.edge }}
{{- if and $s.hostNetwork $e.firewall.enabled }}
- name: firewall
  image: {{ include "pcc.image" (list . "edge") }}
  imagePullPolicy: {{ .Values.images.edge.pullPolicy }}
  restartPolicy: Always
  command: [sh, /etc/edge/firewall.sh]
  args:
    - {{ $s.tls.port | quote }}
    - {{ $e.trunkCidr | quote }}
    - {{ $e.firewall.connectionsPerHost | quote }}
  securityContext:  # rules of the network are root's, with this capability and no other
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    runAsNonRoot: false
    runAsUser: 0
    capabilities: {drop: [ALL], add: [NET_ADMIN]}
    seccompProfile: {type: RuntimeDefault}
  {{- range $probe, $times := dict
    "startupProbe" (dict "periodSeconds" 1 "failureThreshold" 30)
    "livenessProbe" (dict "periodSeconds" 10 "failureThreshold" 3) }}
  {{ $probe }}:
    exec: {command: [nft, list, table, inet, {{ printf "callcenter_edge_%d" (int $s.tls.port) }}]}
    {{- toYaml $times | nindent 4 }}
  {{- end }}
  resources:
    requests: {cpu: 10m, memory: 16Mi}
    limits: {memory: 64Mi}
{{- end }}
- name: rtpengine
  image: {{ include "pcc.image" (list . "edge") }}
  imagePullPolicy: {{ .Values.images.edge.pullPolicy }}
  restartPolicy: Always
  command: [rtpengine]
  args:
    - --interface=$(POD_IP)
    - --listen-ng=127.0.0.1:{{ $e.ports.rtpengine }}
    - --listen-http=127.0.0.1:{{ $e.ports.rtpengineHttp }}
    - --table=-1                 # in user space: no kernel module, no capability
    - --port-min={{ $e.rtp.portMin }}
    - --port-max={{ $e.rtp.portMax }}
    - --foreground
    - --log-stderr
    - --pidfile=/tmp/rtpengine.pid
  securityContext: {{ include "pcc.containerSecurity" . | nindent 4 }}
  env:
    - name: POD_IP  # with hostNetwork the node's
      valueFrom: {fieldRef: {fieldPath: status.podIP}}
  {{- include "pcc.edgeProbes" (printf "127.0.0.1/%d" (int $e.ports.rtpengineHttp)) | trim | nindent 2 }}
  resources: {{ toYaml $e.resources | nindent 4 }}
  volumeMounts:
    - {name: tmp, mountPath: /tmp}
- name: kamailio
  image: {{ include "pcc.image" (list . "edge") }}
  imagePullPolicy: {{ .Values.images.edge.pullPolicy }}
  restartPolicy: Always
  command: [kamailio]
  args:
    - -f
    - /etc/edge/kamailio.cfg
    - -DD
    - -E
    - -Y
    - /tmp
    - -P
    - /tmp/kamailio.pid
    {{- range list
      (printf "OUTSIDE=tls:%s:%d" (include "pcc.podHost" .) (int $s.tls.port))
      (printf "INSIDE=udp:127.0.0.1:%d" (int $e.ports.inside))
      (printf "GATEWAY=%q" (printf "sip:127.0.0.1:%d" (int $s.port)))
      "GATEWAY_HOST=\"127.0.0.1\""
      (printf "RTPENGINE=%q" (printf "udp:127.0.0.1:%d" (int $e.ports.rtpengine)))
      "TLS_CONFIG=\"/etc/edge-config/tls.cfg\""
      (printf "TRUNKS=%q" $e.trunkCidr) }}
    - -A
    - {{ . | quote }}
    {{- end }}
  securityContext: {{ include "pcc.containerSecurity" . | nindent 4 }}
  env:
    - name: POD_IP
      valueFrom: {fieldRef: {fieldPath: status.podIP}}
  ports:
    - {name: sips, containerPort: {{ $s.tls.port }}, protocol: TCP}
  {{- include "pcc.edgeProbes" (printf "$POD_IP/%d" (int $s.tls.port)) | trim | nindent 2 }}
  resources: {{ toYaml $e.resources | nindent 4 }}
  volumeMounts:
    - {name: edge, mountPath: /etc/edge-config, readOnly: true}
    - {name: edge-tls, mountPath: /etc/edge-tls, readOnly: true}
    - {name: tmp, mountPath: /tmp}
{{- end -}}

{{/* The program listens on TCP. */}}
{{- define "pcc.edgeProbes" -}}
{{- range $probe, $times := dict
  "startupProbe" (dict "periodSeconds" 1 "failureThreshold" 60)
  "readinessProbe" (dict "periodSeconds" 5 "failureThreshold" 2)
  "livenessProbe" (dict "periodSeconds" 10 "failureThreshold" 6) }}
{{ $probe }}:
  exec: {command: [bash, -c, {{ printf "exec 3<>/dev/tcp/%s" $ | quote }}]}
  {{- toYaml $times | nindent 2 }}
{{- end }}
{{- end -}}
