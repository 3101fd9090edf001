{{- define "moderation.metricsAreOpen" -}}
{{- range $monitor := list .Values.metrics.serviceMonitor .Values.metrics.podMonitor -}}
{{- if and $monitor.enabled (not $monitor.existingSecret) }}true{{ end -}}
{{- end -}}
{{- end -}}

{{/* The files that values may bring, as name: setting; a file is named by it below /etc/moderation. */}}
{{- define "moderation.files" -}}
{{- range $name, $setting := dict "policies" "policies_file" "apps" "apps_file" "lists" "lists_file" "answers" "answers_file" -}}
{{- with get $.Values.gateway $name -}}
{{- if or .content .existingConfigMap }}
{{ $name }}:
  setting: {{ $setting }}
  configMap: {{ default (printf "%s-%s" (include "moderation.fullname" $) $name) .existingConfigMap | quote }}
  key: {{ ternary .existingConfigMapKey (printf "%s.yaml" $name) (ne .existingConfigMap "") | quote }}
  {{- /* Policies and apps are YAML whatever the key is called; of the others its end tells the kind, and a list may be called by it. */}}
  path: {{ ternary (printf "%s/%s" $name .existingConfigMapKey) (printf "%s.yaml" $name) (and (ne .existingConfigMap "") (has $name (list "lists" "answers"))) | quote }}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "moderation.gracefulSeconds" -}}
{{- int (default 30 .Values.gateway.config.graceful_timeout_s) -}}
{{- end -}}

{{/* The addresses of the model servers, separated by blanks. */}}
{{- define "moderation.upstreams" -}}
{{- if eq .Values.engine "vllm" -}}
{{- include "moderation.podsUrl" (dict "root" . "component" "guard") -}}
{{- else if eq .Values.engine "external" -}}
{{- join " " .Values.external.urls -}}
{{- end -}}
{{- end -}}

{{/* What judges, as the service calls it. */}}
{{- define "moderation.engine" -}}
{{- if eq .Values.engine "lite" }}lite{{ else if or .Values.small.enabled .Values.small.urls }}cascade{{ else }}vllm{{ end -}}
{{- end -}}

{{/* The service's settings file: what was given in `gateway.config`, and what follows from the rest of the values. */}}
{{- define "moderation.settings" -}}
{{- $settings := deepCopy .Values.gateway.config -}}
{{- $_ := set $settings "engine" (include "moderation.engine" .) -}}
{{- if .Values.small.enabled -}}
{{- $_ = set $settings "small_upstreams" (list (include "moderation.podsUrl" (dict "root" . "component" "small"))) -}}
{{- else if .Values.small.urls -}}
{{- $_ = set $settings "small_upstreams" .Values.small.urls -}}
{{- end -}}
{{- with include "moderation.upstreams" . -}}
{{- $_ = set $settings "upstreams" (splitList " " .) -}}
{{- end -}}
{{- $_ = set $settings "graceful_timeout_s" (include "moderation.gracefulSeconds" . | int) -}}
{{- if .Values.gateway.apiKeys.enabled -}}
{{- $_ = set $settings "api_keys_file" "/etc/moderation/api-keys" -}}
{{- else -}}
{{- $_ = set $settings "allow_open" true -}}
{{- end -}}
{{- range $file := include "moderation.files" . | fromYaml -}}
{{- $_ = set $settings $file.setting (printf "/etc/moderation/%s" $file.path) -}}
{{- end -}}
{{- with .Values.gateway.audit -}}
{{- if .enabled -}}
{{- $_ = set $settings "audit_required" .required -}}
{{- if eq .to "stdout" -}}
{{- $_ = set $settings "audit_file" "/dev/stdout" -}}
{{- else -}}
{{- $_ = set $settings "audit_max_bytes" (mul 1000000 .maxMegabytes) -}}
{{- $_ = set $settings "audit_keep" (int .keep) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if .Values.stream.enabled -}}
{{- $_ = set $settings "stream_upstream" (include "moderation.streamUpstream" .) -}}
{{- $_ = set $settings "stream_model_dir" (include "moderation.streamModelDir" .) -}}
{{- end -}}
{{- if and (include "moderation.metricsAreOpen" .) (not (hasKey $settings "open_metrics")) -}}
{{- $_ = set $settings "open_metrics" true -}}
{{- end -}}
{{- toYaml $settings -}}
{{- end -}}

{{/* Addresses in `gateway.config` and `gateway.extraEnv` that the service will call: a chat model, a trace collector. */}}
{{- define "moderation.callsOthers" -}}
{{- $found := or (eq .Values.engine "external") (ne 0 (len .Values.small.urls)) (and .Values.stream.enabled (ne .Values.stream.externalUrl "")) -}}
{{- range $value := .Values.gateway.config -}}
{{- range $one := (kindIs "slice" $value | ternary $value (list $value)) -}}
{{- if and (kindIs "string" $one) (regexMatch "^[A-Za-z][A-Za-z0-9+.-]*://" $one) }}{{ $found = true }}{{ end -}}
{{- end -}}
{{- end -}}
{{- range .Values.gateway.extraEnv -}}
{{- if regexMatch "^[A-Za-z][A-Za-z0-9+.-]*://" (default "" .value) }}{{ $found = true }}{{ end -}}
{{- /* A key leads nowhere; an address from a Secret does, and is not known here. */ -}}
{{- if and .valueFrom (not (regexMatch "_(KEY|KEYS|TOKEN|SECRET|PASSWORD)$" .name)) }}{{ $found = true }}{{ end -}}
{{- end -}}
{{- range $name, $_ := .Values.gateway.secretConfig -}}
{{- if not (regexMatch "_(key|keys|token|secret|password)$" $name) }}{{ $found = true }}{{ end -}}
{{- end -}}
{{- if .Values.gateway.extraEnvFrom }}{{ $found = true }}{{ end -}}
{{- if $found }}true{{ end -}}
{{- end -}}

{{/* What no schema can say; each message names the value and what to do. */}}
{{- define "moderation.validate" -}}
{{- range $name, $instead := dict
      "host" "listenAddress" "port" "gateway.containerPort" "engine" "engine" "upstreams" "external.urls"
      "allow_open" "gateway.apiKeys.enabled" "api_keys" "gateway.apiKeys" "api_keys_file" "gateway.apiKeys"
      "policies_file" "gateway.policies" "upstream_api_key" "external.apiKey" "small_upstreams" "small.urls or small.enabled" -}}
{{- if hasKey $.Values.gateway.config $name -}}
{{- fail (printf "gateway.config.%s is set by the chart; use %s instead." $name $instead) -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := .Values.gateway.config -}}
{{- if regexMatch "_(key|keys|token|secret|password)$|^cluster_memory$|^limits_store$|^webhook_url$" $name -}}
{{- fail (printf "gateway.config.%s is a secret and would be readable in a ConfigMap; put it into a Secret and name that in gateway.secretConfig." $name) -}}
{{- end -}}
{{- if regexMatch "^[A-Za-z][A-Za-z0-9+.-]*://([^/@]*:[^/@]+@|.*[?&]password=)" (toString $value) -}}
{{- fail (printf "gateway.config.%s has a password, which would be readable in a ConfigMap; put it into a Secret and name that in gateway.secretConfig." $name) -}}
{{- end -}}
{{- end -}}
{{- if eq (include "moderation.fullname" .) "vllm" -}}
{{- fail "A Service named vllm makes Kubernetes set VLLM_PORT in the namespace's pods, which stops vLLM; choose another fullnameOverride." -}}
{{- end -}}
{{- range .Values.gateway.extraEnv -}}
{{- if has .name (list "MODERATION_CONFIG" "MODERATION_HOST" "MODERATION_PORT" "PROMETHEUS_MULTIPROC_DIR" "HOME" "TMPDIR") -}}
{{- fail (printf "gateway.extraEnv: %s is set by the chart." .name) -}}
{{- end -}}
{{- if and (eq .name "MODERATION_UPSTREAM_API_KEY") (include "moderation.upstreamKeyRef" $) -}}
{{- fail "gateway.extraEnv: MODERATION_UPSTREAM_API_KEY is set by the chart; see vllm.apiKey and external.apiKey." -}}
{{- end -}}
{{- if and (eq .name "MODERATION_SMALL_UPSTREAM_API_KEY") (include "moderation.smallKeyRef" $) -}}
{{- fail "gateway.extraEnv: MODERATION_SMALL_UPSTREAM_API_KEY is set by the chart; see small.apiKey." -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.engine "external") (not .Values.external.urls) -}}
{{- fail "engine external needs external.urls: the addresses of the servers that run Qwen3Guard." -}}
{{- end -}}
{{- with .Values.gateway.apiKeys -}}
{{- if and .existingSecret .keys -}}
{{- fail "gateway.apiKeys: give keys or existingSecret, not both." -}}
{{- end -}}
{{- end -}}
{{- range $name := list "policies" "apps" "lists" "answers" -}}
{{- with get $.Values.gateway $name -}}
{{- if and .existingConfigMap .content -}}
{{- fail (printf "gateway.%s: give content or existingConfigMap, not both." $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.gateway.autoscaling.enabled (gt (int .Values.gateway.autoscaling.minReplicas) (int .Values.gateway.autoscaling.maxReplicas)) -}}
{{- fail "gateway.autoscaling: minReplicas is more than maxReplicas." -}}
{{- end -}}
{{- if and .Values.gateway.httpRoute.enabled (not .Values.gateway.httpRoute.parentRefs) -}}
{{- fail "gateway.httpRoute needs parentRefs: the Gateways that it belongs to." -}}
{{- end -}}
{{- if and .Values.gateway.ingress.enabled (not .Values.gateway.ingress.hosts) -}}
{{- fail "gateway.ingress needs hosts." -}}
{{- end -}}
{{- include "moderation.checkGateway" . -}}
{{- include "moderation.validateSmall" . -}}
{{- range $name := list "vllm" "small" "stream" -}}
{{- include "moderation.validateServer" (dict "values" $.Values "name" $name "part" (get $.Values $name)) -}}
{{- end -}}
{{- end -}}

{{/* What is wrong with a vLLM that this chart runs. Takes (dict "values" .Values "name" "vllm" "part" .Values.vllm). */}}
{{- define "moderation.validateServer" -}}
{{- range .part.extraEnv -}}
{{- if has .name (list "HF_HUB_OFFLINE" "VLLM_NO_USAGE_STATS" "DO_NOT_TRACK" "HOME" "USER" "TORCHINDUCTOR_CACHE_DIR" "VLLM_API_KEY") -}}
{{- fail (printf "%s.extraEnv: %s is set by the chart." $.name .name) -}}
{{- end -}}
{{- end -}}
{{- range .part.model.extraEnv -}}
{{- if has .name (list "HOME" "HF_TOKEN" "MODELSCOPE_API_TOKEN") -}}
{{- fail (printf "%s.model.extraEnv: %s is set by the chart; a token is named in %s.model.token." $.name .name $.name) -}}
{{- end -}}
{{- end -}}
{{- if has (ternary "guard" .name (eq .name "vllm")) (include "moderation.servers" (dict "Values" .values) | splitList " ") -}}
{{- include "moderation.checkServer" . -}}
{{- with .part -}}
{{- if ne $.name "stream" -}}
{{- if and .apiKey.existingSecret .apiKey.value -}}
{{- fail (printf "%s.apiKey: give value or existingSecret, not both." $.name) -}}
{{- end -}}
{{- if and .apiKey.alsoAccept.existingSecret (not .apiKey.enabled) -}}
{{- fail (printf "%s.apiKey.alsoAccept needs %s.apiKey.enabled: without a key vLLM accepts any." $.name $.name) -}}
{{- end -}}
{{- if and .autoscaling.enabled (not .autoscaling.serverAddress) -}}
{{- fail (printf "%s.autoscaling needs serverAddress: the address of Prometheus." $.name) -}}
{{- end -}}
{{- if and .autoscaling.enabled (gt (int .autoscaling.minReplicas) (int .autoscaling.maxReplicas)) -}}
{{- fail (printf "%s.autoscaling: minReplicas is more than maxReplicas." $.name) -}}
{{- end -}}
{{- end -}}
{{- if and (eq .model.source "none") (not .model.path) -}}
{{- fail (printf "%s.model.source none needs %s.model.path: the model's folder, below /models where the volume is mounted." $.name $.name) -}}
{{- end -}}
{{- if and (eq .model.source "none") .persistence.enabled (not .persistence.existingClaim) (not .persistence.volume) -}}
{{- fail (printf "%s.model.source none needs a volume with the model: %s.persistence.existingClaim or %s.persistence.volume." $.name $.name $.name) -}}
{{- end -}}
{{- if and (eq .model.source "none") (not .persistence.enabled) -}}
{{- fail (printf "%s.model.source none needs %s.persistence.enabled: an emptyDir has no model." $.name $.name) -}}
{{- end -}}
{{- if and .persistence.existingClaim .persistence.volume -}}
{{- fail (printf "%s.persistence: give existingClaim or volume, not both." $.name) -}}
{{- end -}}
{{- range .extraArgs -}}
{{- if regexMatch (ternary "^--(hf-overrides|runner)(=|$)" "^$" (eq $.name "stream")) . -}}
{{- fail (printf "%s.extraArgs: %s is set by the chart." $.name (regexFind "^[a-z-]+" .)) -}}
{{- end -}}
{{- if regexMatch "^--(host|port|api-key|served-model-name|uds|root-path|ssl-[a-z-]+)(=|$)" . -}}
{{- fail (printf "%s.extraArgs: %s is set by the chart." $.name (regexFind "^[a-z-]+" .)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
