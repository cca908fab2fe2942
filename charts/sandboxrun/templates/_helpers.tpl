{{- define "sandboxrun.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "sandboxrun.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "sandboxrun.labels" -}}
{{ include "sandboxrun.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: sandboxrun
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "sandboxrun.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "sandboxrun.name" .) }}
{{- end }}

{{- /* The operator as the API server names it. */}}
{{- define "sandboxrun.user" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "sandboxrun.serviceAccount" . }}
{{- end }}

{{- /* An image by digest: (list "operator" .Values.images.operator). */}}
{{- define "sandboxrun.image" -}}
{{- $name := index . 0 }}{{ $image := index . 1 }}
{{- $repository := required (printf "images.%s.repository is missing: give the repository of the %s image, without a tag" $name $name) $image.repository }}
{{- $digest := required (printf "images.%s.digest is missing: give the digest of the %s image, sha256:<64 hex>" $name $name) $image.digest }}
{{- printf "%s@%s" $repository $digest }}
{{- end }}

{{- /* Where the admission policies about runs hold: where runs are served. */}}
{{- define "sandboxrun.watchedNamespaces" -}}
{{- with .Values.watchNamespaces }}
  matchResources:
    namespaceSelector:
      matchExpressions:
      - key: kubernetes.io/metadata.name
        operator: In
        values: {{ toJson . }}
{{- end }}
{{- end }}
