{{- define "moderation.modelRevision" -}}
{{- with .Values.vllm.model -}}
{{- default (ternary "master" "main" (eq .source "modelscope")) .revision -}}
{{- end -}}
{{- end -}}

{{/* Where `moderation-service download --cache-dir /models` puts it. */}}
{{- define "moderation.modelPath" -}}
{{- with .Values.vllm.model -}}
{{- if eq .source "none" -}}
{{- .path -}}
{{- else -}}
{{- printf "/models/%s/%s/%s" .source (replace "/" "--" .name) (include "moderation.modelRevision" $ | replace "/" "--") -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "moderation.modelClaim" -}}
{{- default (printf "%s-models" (include "moderation.guardName" .)) .Values.vllm.persistence.existingClaim -}}
{{- end -}}

{{/* The resources of vLLM; those of an extended resource must be equal in limits and requests. */}}
{{- define "moderation.guardResources" -}}
{{- $resources := deepCopy .Values.vllm.resources -}}
{{- with .Values.vllm.gpu -}}
{{- if .count -}}
{{- $gpu := dict .resourceName (int .count) -}}
{{- $_ := set $resources "limits" (merge $gpu (default dict $resources.limits)) -}}
{{- $_ = set $resources "requests" (merge (dict .resourceName (int .count)) (default dict $resources.requests)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{/* Where downloads go to: the port of the mirror, or 443. */}}
{{- define "moderation.hubPort" -}}
{{- $parts := urlParse (default "https://hub" .Values.vllm.model.endpoint) -}}
{{- $port := regexFind ":[0-9]+$" $parts.host | trimPrefix ":" -}}
{{- default (ternary "80" "443" (eq $parts.scheme "http")) $port -}}
{{- end -}}
