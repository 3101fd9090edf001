{{/*
A key that is made once: the one that the cluster has, or else a random one. Takes (dict "root" . "secret" NAME "key" KEY).
Remembered within one rendering, because the Secret and the checksum in the pods' annotations must agree on it.
*/}}
{{- define "moderation.madeOnce" -}}
{{- if not (hasKey .root.Values "madeOnce") -}}
{{- $_ := set .root.Values "madeOnce" dict -}}
{{- end -}}
{{- if not (hasKey .root.Values.madeOnce .secret) -}}
{{- $there := dig "data" .key "" (lookup "v1" "Secret" .root.Release.Namespace .secret | default dict) -}}
{{- $_ := set .root.Values.madeOnce .secret (ternary ($there | b64dec) (printf "%s%s" .prefix (randAlphaNum 40)) (ne $there "")) -}}
{{- end -}}
{{- get .root.Values.madeOnce .secret -}}
{{- end -}}

{{- define "moderation.apiKeysSecret" -}}
{{- default (printf "%s-api-keys" (include "moderation.fullname" .)) .Values.gateway.apiKeys.existingSecret -}}
{{- end -}}

{{- define "moderation.apiKeysSecretKey" -}}
{{- ternary .Values.gateway.apiKeys.existingSecretKey "api-keys" (ne .Values.gateway.apiKeys.existingSecret "") -}}
{{- end -}}

{{/* The lines of the file with the callers' keys. */}}
{{- define "moderation.apiKeys" -}}
{{- with .Values.gateway.apiKeys.keys -}}
{{- join "\n" . -}}
{{- else -}}
{{- include "moderation.madeOnce" (dict "root" $ "secret" (include "moderation.apiKeysSecret" $) "key" "api-keys" "prefix" "default:") | trim -}}
{{- end -}}
{{- end -}}

{{/* The key of a vLLM of this chart. These take (dict "root" . "component" "guard" "part" .Values.vllm). */}}
{{- define "moderation.serverSecret" -}}
{{- default (printf "%s-key" (include "moderation.serverName" .)) .part.apiKey.existingSecret -}}
{{- end -}}

{{- define "moderation.serverKey" -}}
{{- default (include "moderation.madeOnce" (dict "root" .root "secret" (include "moderation.serverSecret" .) "key" "api-key" "prefix" "")) .part.apiKey.value -}}
{{- end -}}

{{/* Empty where it asks for none, as Qwen3Guard-Stream. */}}
{{- define "moderation.serverKeyRef" -}}
{{- if and (ne .component "stream") .part.apiKey.enabled -}}
name: {{ include "moderation.serverSecret" . | quote }}
key: {{ ternary .part.apiKey.existingSecretKey "api-key" (ne .part.apiKey.existingSecret "") | quote }}
{{- end -}}
{{- end -}}

{{/* Whether its Secret is this chart's. */}}
{{- define "moderation.makesKey" -}}
{{- if and (include "moderation.serverKeyRef" .) (not .part.apiKey.existingSecret) }}true{{ end -}}
{{- end -}}

{{/* The references to the keys that the service sends to its model servers; empty where they ask for none. */}}
{{- define "moderation.upstreamKeyRef" -}}
{{- if eq .Values.engine "vllm" -}}
{{- include "moderation.serverKeyRef" (dict "root" . "component" "guard" "part" .Values.vllm) -}}
{{- else if and (eq .Values.engine "external") .Values.external.apiKey.existingSecret -}}
name: {{ .Values.external.apiKey.existingSecret | quote }}
key: {{ .Values.external.apiKey.existingSecretKey | quote }}
{{- end -}}
{{- end -}}

{{- define "moderation.smallKeyRef" -}}
{{- if .Values.small.enabled -}}
{{- include "moderation.serverKeyRef" (dict "root" . "component" "small" "part" .Values.small) -}}
{{- else if and .Values.small.urls .Values.small.apiKey.existingSecret -}}
name: {{ .Values.small.apiKey.existingSecret | quote }}
key: {{ .Values.small.apiKey.existingSecretKey | quote }}
{{- end -}}
{{- end -}}
