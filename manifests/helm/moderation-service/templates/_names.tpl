{{/* The beginning of every name. 40 characters, so that the longest suffix still makes a DNS label. */}}
{{- define "moderation.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- /* A release may be called "1.x"; a Service may not. */ -}}
{{- regexReplaceAll "[^a-z0-9-]+" $full "-" | printf "%s%s" (ternary "" "r-" (regexMatch "^[a-z]" $full)) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Not "vllm": vLLM reads VLLM_* variables, and Kubernetes can make some up for a Service of that name. */}}
{{- define "moderation.guardName" -}}
{{- include "moderation.serverName" (dict "root" . "component" "guard") -}}
{{- end -}}

{{- define "moderation.serverName" -}}
{{- printf "%s-%s" (include "moderation.fullname" .root) .component -}}
{{- end -}}

{{- define "moderation.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "moderation.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Takes (dict "root" . "component" "gateway"). Never a version here: selectors can't be changed afterwards. */}}
{{- define "moderation.selectorLabels" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* The labels of an object; `more` are those of its own values. None of them replaces one that is made here. */}}
{{- define "moderation.labels" -}}
{{- $own := include "moderation.selectorLabels" . | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/version" .root.Chart.AppVersion -}}
{{- $_ = set $own "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ = set $own "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") -}}
{{- toYaml (mergeOverwrite (deepCopy .root.Values.commonLabels) (default dict .more) $own) -}}
{{- end -}}

{{/* Takes (dict "annotations" DICT "own" DICT): none of a user's replaces one that is made here. */}}
{{- define "moderation.annotations" -}}
{{- with mergeOverwrite (deepCopy .annotations) .own -}}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* Takes (dict "image" .Values.gateway.image "tag" .Chart.AppVersion). */}}
{{- define "moderation.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (default .tag .image.tag) -}}
{{- end -}}
{{- end -}}
