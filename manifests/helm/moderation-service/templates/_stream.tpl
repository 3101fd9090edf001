{{/* Token-level judging: what the service needs of Qwen3Guard-Stream, whoever runs it. */}}

{{/* Whether this chart runs the server. */}}
{{- define "moderation.runsStream" -}}
{{- if and .Values.stream.enabled (not .Values.stream.externalUrl) }}true{{ end -}}
{{- end -}}

{{- define "moderation.streamUpstream" -}}
{{- $own := printf "http://%s:%d" (include "moderation.serverName" (dict "root" . "component" "stream")) (int .Values.stream.service.port) -}}
{{- default $own .Values.stream.externalUrl -}}
{{- end -}}

{{/* Whether the service's pods fetch config.json and tokenizer.json themselves. */}}
{{- define "moderation.fetchesStreamFiles" -}}
{{- with .Values.stream -}}
{{- if and .enabled (not .files.existingClaim) (not .files.volume) }}true{{ end -}}
{{- end -}}
{{- end -}}

{{/* Where they are in the service's container. */}}
{{- define "moderation.streamModelDir" -}}
{{- if include "moderation.fetchesStreamFiles" . -}}
{{- $path := include "moderation.modelPath" (dict "root" . "component" "stream" "part" .Values.stream) -}}
{{- printf "/var/lib/moderation/stream%s.without-weights" (trimPrefix "/models" $path) -}}
{{- else -}}
{{- printf "/var/lib/moderation/stream/%s" .Values.stream.files.path | trimSuffix "/" -}}
{{- end -}}
{{- end -}}

{{- define "moderation.validateStream" -}}
{{- with .Values.stream -}}
{{- if .enabled -}}
{{- if and .files.existingClaim .files.volume -}}
{{- fail "stream.files: give existingClaim or volume, not both." -}}
{{- end -}}
{{- if and .files.path (not .files.existingClaim) (not .files.volume) -}}
{{- fail "stream.files.path is a folder of a volume: it needs stream.files.existingClaim or stream.files.volume." -}}
{{- end -}}
{{- if and (eq .model.source "none") (not .files.existingClaim) (not .files.volume) -}}
{{- fail "stream.model.source none needs stream.files.existingClaim or stream.files.volume: a volume with the model's config.json and tokenizer.json, for the service." -}}
{{- end -}}
{{- if and .apiKey.existingSecret (not .externalUrl) -}}
{{- fail "stream.apiKey is for stream.externalUrl: vLLM asks for no key on the route in use here, and the NetworkPolicy is what protects it." -}}
{{- end -}}
{{- range $.Values.gateway.extraEnv -}}
{{- if has .name (list "MODERATION_STREAM_UPSTREAM" "MODERATION_STREAM_MODEL_DIR") -}}
{{- fail (printf "gateway.extraEnv: %s is set by the chart." .name) -}}
{{- end -}}
{{- if and (eq .name "MODERATION_STREAM_API_KEY") $.Values.stream.apiKey.existingSecret -}}
{{- fail "gateway.extraEnv: MODERATION_STREAM_API_KEY is set by the chart; see stream.apiKey." -}}
{{- end -}}
{{- end -}}
{{- range $name, $instead := dict "stream_upstream" "stream.externalUrl" "stream_model_dir" "stream.files" -}}
{{- if hasKey $.Values.gateway.config $name -}}
{{- fail (printf "gateway.config.%s is set by the chart; use %s instead." $name $instead) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
