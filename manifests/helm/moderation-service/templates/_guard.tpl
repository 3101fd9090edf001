{{/*
The model servers that this chart runs, by their component: "guard" is Qwen3Guard-Gen, "small" a smaller one of it that is
asked first, "stream" Qwen3Guard-Stream.
The templates below take (dict "root" $ "component" COMPONENT "part" VALUES), as `moderation.server` of _names.tpl.
*/}}
{{- define "moderation.servers" -}}
{{- if eq .Values.engine "vllm" }}guard {{ end -}}
{{- if .Values.small.enabled }}small {{ end -}}
{{- if include "moderation.runsStream" . }}stream{{ end -}}
{{- end -}}

{{/* Where the values of a component are, and of its `networkPolicy`. */}}
{{- define "moderation.partName" -}}
{{- ternary "vllm" . (eq . "guard") -}}
{{- end -}}

{{/* The address of each pod of a component, by its headless Service: one that fails is then left out alone. */}}
{{- define "moderation.podsUrl" -}}
{{- printf "http://%s-pods:8000?resolve=all" (include "moderation.serverName" .) -}}
{{- end -}}

{{- define "moderation.modelRevision" -}}
{{- with .part.model -}}
{{- default (ternary "master" "main" (eq .source "modelscope")) .revision -}}
{{- end -}}
{{- end -}}

{{/* Where `moderation-service download --cache-dir /models` puts it. */}}
{{- define "moderation.modelPath" -}}
{{- with .part.model -}}
{{- if eq .source "none" -}}
{{- .path -}}
{{- else -}}
{{- printf "/models/%s/%s/%s" .source (replace "/" "--" .name) (include "moderation.modelRevision" $ | replace "/" "--") -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "moderation.modelClaim" -}}
{{- default (printf "%s-models" (include "moderation.serverName" .)) .part.persistence.existingClaim -}}
{{- end -}}

{{/* The resources of vLLM; those of an extended resource must be equal in limits and requests. */}}
{{- define "moderation.guardResources" -}}
{{- $resources := deepCopy .part.resources -}}
{{- with .part.gpu -}}
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
{{- $parts := urlParse (default "https://hub" .part.model.endpoint) -}}
{{- $port := regexFind ":[0-9]+$" $parts.host | trimPrefix ":" -}}
{{- default (ternary "80" "443" (eq $parts.scheme "http")) $port -}}
{{- end -}}

{{/* Whether the download goes through a proxy, whose port is not known here. */}}
{{- define "moderation.hasProxy" -}}
{{- range .part.model.extraEnv -}}
{{- if regexMatch "^(?i)(https?|all)_proxy$" .name }}true{{ end -}}
{{- end -}}
{{- end -}}

{{/*
The container that downloads a model; besides the above it takes "container" NAME and "flags", a list of further flags,
"securityContext", and "volume", the one that is mounted at /models.
*/}}
{{- define "moderation.download" -}}
# Resumes what was broken off, checks digests, and does nothing when the model is complete.
- name: {{ .container }}
  image: {{ include "moderation.image" (dict "image" .root.Values.gateway.image "tag" .root.Chart.AppVersion) | quote }}
  imagePullPolicy: {{ .root.Values.gateway.image.pullPolicy }}
  command: [moderation-service]
  args:
    - download
    - --model
    - {{ .part.model.name | quote }}
    - --source
    - {{ .part.model.source }}
    - --revision
    - {{ include "moderation.modelRevision" . | quote }}
    - --cache-dir
    - /models
    {{- range .flags }}
    - {{ . }}
    {{- end }}
    {{- with .part.model.endpoint }}
    - --hub-endpoint
    - {{ . | quote }}
    {{- end }}
  env:
    - {name: HOME, value: /tmp}
    {{- with .part.model.token.existingSecret }}
    - name: {{ ternary "MODELSCOPE_API_TOKEN" "HF_TOKEN" (eq $.part.model.source "modelscope") | quote }}
      valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: {{ $.part.model.token.existingSecretKey | quote }}}}
    {{- end }}
    {{- with .part.model.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  resources:
    {{- toYaml .part.model.resources | nindent 4 }}
  securityContext:
    {{- toYaml .securityContext | nindent 4 }}
  volumeMounts:
    - {name: {{ .volume }}, mountPath: /models}
    - {name: tmp, mountPath: /tmp}
{{- end -}}
