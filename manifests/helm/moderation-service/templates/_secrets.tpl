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

{{- define "moderation.guardSecret" -}}
{{- default (printf "%s-key" (include "moderation.guardName" .)) .Values.vllm.apiKey.existingSecret -}}
{{- end -}}

{{- define "moderation.guardKey" -}}
{{- default (include "moderation.madeOnce" (dict "root" . "secret" (include "moderation.guardSecret" .) "key" "api-key" "prefix" "")) .Values.vllm.apiKey.value -}}
{{- end -}}

{{/* The reference to the key that model servers ask for; empty where they ask for none. */}}
{{- define "moderation.upstreamKeyRef" -}}
{{- if and (eq .Values.engine "vllm") .Values.vllm.apiKey.enabled -}}
name: {{ include "moderation.guardSecret" . | quote }}
key: {{ ternary .Values.vllm.apiKey.existingSecretKey "api-key" (ne .Values.vllm.apiKey.existingSecret "") | quote }}
{{- else if and (eq .Values.engine "external") .Values.external.apiKey.existingSecret -}}
name: {{ .Values.external.apiKey.existingSecret | quote }}
key: {{ .Values.external.apiKey.existingSecretKey | quote }}
{{- end -}}
{{- end -}}
