{{/* What the pods of both components have in common. Takes (dict "root" . "part" .Values.gateway "component" "gateway"). */}}
{{- define "moderation.pod" -}}
serviceAccountName: {{ include "moderation.serviceAccountName" .root | quote }}
automountServiceAccountToken: false
# Kubernetes would add variables for every Service of the namespace, and vLLM as well as this service read variables.
enableServiceLinks: false
securityContext:
  {{- toYaml .part.podSecurityContext | nindent 2 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .part.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- with .part.schedulerName }}
schedulerName: {{ . | quote }}
{{- end }}
{{- with .part.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Labels of a pod, with `podLabels`; these never replace one that a selector needs. */}}
{{- define "moderation.podLabels" -}}
{{- $labels := include "moderation.selectorLabels" . | fromYaml -}}
{{- toYaml (mergeOverwrite (deepCopy .root.Values.commonLabels) .part.podLabels $labels) -}}
{{- end -}}

{{/* How many pods may be missing. Takes a `podDisruptionBudget`. */}}
{{- define "moderation.disruptionBudget" -}}
{{- if ne (toString .minAvailable) "" -}}
minAvailable: {{ kindIs "string" .minAvailable | ternary (quote .minAvailable) (int .minAvailable) }}
{{- else -}}
maxUnavailable: {{ kindIs "string" .maxUnavailable | ternary (quote .maxUnavailable) (int .maxUnavailable) }}
{{- end -}}
{{- end -}}

{{/* Takes (dict "probe" .Values.gateway.livenessProbe "path" "/healthz"). */}}
{{- define "moderation.probe" -}}
httpGet: {path: {{ .path }}, port: http}
periodSeconds: {{ int .probe.periodSeconds }}
timeoutSeconds: {{ int .probe.timeoutSeconds }}
failureThreshold: {{ int .probe.failureThreshold }}
{{- end -}}

{{- define "moderation.preStop" -}}
{{- if . -}}
lifecycle:
  preStop:
    exec:
      # Not the `sleep` action: that needs Kubernetes 1.30.
      command: [sleep, {{ int . | quote }}]
{{- end -}}
{{- end -}}

{{/* A change of what is read at the start only has to start the pods again. */}}
{{- define "moderation.gatewayChecksums" -}}
checksum/config: {{ include "moderation.settings" . | sha256sum | quote }}
checksum/policies: {{ .Values.gateway.policies.content | sha256sum | quote }}
{{- range $name := list "apps" "lists" "answers" }}
{{- with (get $.Values.gateway $name).content }}
checksum/{{ $name }}: {{ . | sha256sum | quote }}
{{- end }}
{{- end }}
{{- with .Values.gateway.apiKeys }}
{{- if and .enabled (not .existingSecret) }}
checksum/api-keys: {{ include "moderation.apiKeys" $ | sha256sum | quote }}
{{- end }}
{{- end }}
{{- range $component := include "moderation.servers" . | splitList " " | compact }}
{{- with include "moderation.serverChecksums" (dict "root" $ "component" $component "part" (get $.Values (include "moderation.partName" $component))) }}
{{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "moderation.serverChecksums" -}}
{{- if include "moderation.makesKey" . -}}
checksum/{{ .component }}-key: {{ include "moderation.serverKey" . | sha256sum | quote }}
{{- end -}}
{{- end -}}
