{{- define "driftd.name" -}}
{{- contains "driftd" .Release.Name | ternary .Release.Name (printf "%s-driftd" .Release.Name) | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "driftd.selector" -}}
app.kubernetes.io/name: driftd
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "driftd.labels" -}}
{{ include "driftd.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "driftd.metadata" -}}
name: {{ include "driftd.name" . }}
namespace: {{ .Release.Namespace }}
labels: {{- include "driftd.labels" . | nindent 2 }}
{{- end }}

{{- define "driftd.backend" -}}
{{- dig "state" "backend" "file" .Values.config }}
{{- end }}

{{- define "driftd.serviceAccount" -}}
{{- if .Values.serviceAccount.name }}{{ .Values.serviceAccount.name }}{{ else if .Values.serviceAccount.create }}{{ include "driftd.name" . }}{{ else }}default{{ end }}
{{- end }}

{{- define "driftd.image" -}}
{{- $image := .Values.image -}}
{{ $image.repository }}{{ if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* "yes" where state lives in a claim of the StatefulSet's own. */ -}}
{{- define "driftd.ownClaim" -}}
{{- if and (eq (include "driftd.backend" .) "file") .Values.persistence.enabled (not .Values.persistence.existingClaim) }}yes{{ end }}
{{- end }}

{{- define "driftd.scheme" -}}
{{- empty (dig "http" "public_tls" dict .Values.config) | ternary "HTTP" "HTTPS" }}
{{- end }}

{{- /* Port of a listener: (list . "public" "0.0.0.0:9464"). */ -}}
{{- define "driftd.port" -}}
{{- $key := index . 1 }}
{{- $address := dig "http" $key (index . 2) (index . 0).Values.config | toString }}
{{- $port := regexFind ":[0-9]+$" $address | trimPrefix ":" | int }}
{{- if not $port }}
{{- fail (printf "config.http.%s: %s has no port that the chart can read; write address:port, no variable and not 0" $key $address) }}
{{- end }}
{{- $port }}
{{- end }}

{{- define "driftd.publicPort" -}}
{{- include "driftd.port" (list . "public" "0.0.0.0:9464") }}
{{- end }}

{{- define "driftd.adminPort" -}}
{{- include "driftd.port" (list . "admin" "127.0.0.1:9465") }}
{{- end }}

{{- define "driftd.isLoopback" -}}
{{- if regexMatch "^(127\\.|\\[::1\\]|\\[::ffff:127\\.)" (toString .) }}yes{{ end }}
{{- end }}

{{- /* "yes" where page, API and commands are for others than the pod itself. */ -}}
{{- define "driftd.hasAdmin" -}}
{{- if not (include "driftd.isLoopback" (dig "http" "admin" "127.0.0.1:9465" .Values.config)) }}yes{{ end }}
{{- end }}

{{- define "driftd.check" -}}
{{- if not (or .Values.config .Values.existingConfigMap) }}
{{- fail "config: driftd's own configuration is missing (kafka, models ...); or name a ConfigMap that has it in existingConfigMap" }}
{{- end }}
{{- $public := dig "http" "public" "0.0.0.0:9464" .Values.config | toString }}
{{- if include "driftd.isLoopback" $public }}
{{- fail (printf "config.http.public: %s is reached by no probe and no Prometheus; write 0.0.0.0:%s" $public (include "driftd.publicPort" .)) }}
{{- end }}
{{- if and (include "driftd.hasAdmin" .) (eq (include "driftd.publicPort" .) (include "driftd.adminPort" .)) }}
{{- fail (printf "config.http.admin: port %s is that of config.http.public" (include "driftd.adminPort" .)) }}
{{- end }}
{{- $dir := dig "state" "dir" "/var/lib/driftd" .Values.config }}
{{- $places := list "/var/lib/driftd" }}
{{- range .Values.extraVolumeMounts }}{{ $places = append $places .mountPath }}{{ end }}
{{- $mounted := false }}
{{- range $places }}{{ if hasPrefix (printf "%s/" (trimSuffix "/" .)) (printf "%s/" $dir) }}{{ $mounted = true }}{{ end }}{{ end }}
{{- if not $mounted }}
{{- fail (printf "config.state.dir: %s cannot be written to; the volume for state is mounted at /var/lib/driftd, the default" $dir) }}
{{- end }}
{{- if and (eq (include "driftd.backend" .) "file") (gt (int .Values.replicas) 1) }}
{{- fail "replicas: one process owns a state folder; more than one replica needs config.state.backend: kafka" }}
{{- end }}
{{- if and .Values.keda.enabled (ne (include "driftd.backend" .) "kafka") }}
{{- fail "keda.enabled: scaling needs config.state.backend: kafka" }}
{{- end }}
{{- if and .Values.keda.enabled (not (and (dig "kafka" "brokers" "" .Values.config) (or .Values.config.models .Values.config.topic))) }}
{{- fail "keda.enabled: its triggers need config.kafka.brokers and the topics of config.models; beside existingConfigMap repeat them there" }}
{{- end }}
{{- end }}

{{- define "driftd.pod" -}}
metadata:
  labels: {{- include "driftd.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    kubectl.kubernetes.io/default-container: driftd
    {{- if not .Values.existingConfigMap }}
    checksum/config: {{ toYaml .Values.config | sha256sum }}
    {{- end }}
    {{- with .Values.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  serviceAccountName: {{ include "driftd.serviceAccount" . }}
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets: {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- range $key := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" }}
  {{- with index $.Values $key }}
  {{ $key }}: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  containers:
    - name: driftd
      image: {{ include "driftd.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [run, --config, /etc/driftd/driftd.yaml]
      env:
        - name: POD_NAME
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        {{- with .Values.env }}{{ toYaml . | nindent 8 }}{{ end }}
      {{- with .Values.secretEnv }}
      envFrom: {{- range . }}
        - secretRef: {name: {{ . }}}
        {{- end }}
      {{- end }}
      ports:
        - {name: metrics, containerPort: {{ include "driftd.publicPort" . }}}
        {{- if include "driftd.hasAdmin" . }}
        - {name: admin, containerPort: {{ include "driftd.adminPort" . }}}
        {{- end }}
      # /livez is the loop, never Kafka: a broker that is down must not restart driftd.
      startupProbe:
        httpGet: {path: /livez, port: metrics, scheme: {{ include "driftd.scheme" . }}}
        periodSeconds: 2
        failureThreshold: 300
      livenessProbe:
        httpGet: {path: /livez, port: metrics, scheme: {{ include "driftd.scheme" . }}}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: metrics, scheme: {{ include "driftd.scheme" . }}}
        periodSeconds: 10
        timeoutSeconds: 5
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      resources: {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        # A folder, not a subPath: changes of the ConfigMap arrive.
        - {name: config, mountPath: /etc/driftd, readOnly: true}
        - {name: state, mountPath: /var/lib/driftd}
        {{- range $i, $mount := .Values.secretMounts }}
        - {name: secret-{{ $i }}, mountPath: {{ $mount.path }}, readOnly: true}
        {{- end }}
        {{- if .Values.projectedToken.enabled }}
        - {name: token, mountPath: {{ .Values.projectedToken.path }}, readOnly: true}
        {{- end }}
        {{- if .Values.baselineVolume }}
        - {name: baselines, mountPath: /baselines, readOnly: true}
        {{- end }}
        {{- with .Values.extraVolumeMounts }}{{ toYaml . | nindent 8 }}{{ end }}
  volumes:
    - name: config
      configMap: {name: {{ .Values.existingConfigMap | default (include "driftd.name" .) }}}
    {{- if not (include "driftd.ownClaim" .) }}
    - name: state
      {{- if and .Values.persistence.enabled .Values.persistence.existingClaim }}
      persistentVolumeClaim: {claimName: {{ .Values.persistence.existingClaim }}}
      {{- else }}
      emptyDir: {}
      {{- end }}
    {{- end }}
    {{- range $i, $mount := .Values.secretMounts }}
    - name: secret-{{ $i }}
      secret: {secretName: {{ $mount.secret }}, defaultMode: 0440}
    {{- end }}
    {{- with .Values.projectedToken }}{{ if .enabled }}
    - name: token
      projected:
        sources:
          - serviceAccountToken:
              path: token
              expirationSeconds: {{ .expirationSeconds }}
              {{- with .audience }}
              audience: {{ . }}
              {{- end }}
    {{- end }}{{ end }}
    {{- with .Values.baselineVolume }}
    - name: baselines {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .Values.extraVolumes }}{{ toYaml . | nindent 4 }}{{ end }}
{{- end }}
