{{- define "moderation.metricsAreOpen" -}}
{{- range $monitor := list .Values.metrics.serviceMonitor .Values.metrics.podMonitor -}}
{{- if and $monitor.enabled (not $monitor.existingSecret) }}true{{ end -}}
{{- end -}}
{{- end -}}

{{- define "moderation.hasPolicies" -}}
{{- if or .Values.gateway.policies.content .Values.gateway.policies.existingConfigMap }}true{{ end -}}
{{- end -}}

{{- define "moderation.gracefulSeconds" -}}
{{- int (default 30 .Values.gateway.config.graceful_timeout_s) -}}
{{- end -}}

{{/* The addresses of the model servers, separated by blanks. */}}
{{- define "moderation.upstreams" -}}
{{- if eq .Values.engine "vllm" -}}
{{- /* Each pod a server of its own, by the headless Service: one that fails is then left out alone. */ -}}
{{- printf "http://%s-pods:8000?resolve=all" (include "moderation.guardName" .) -}}
{{- else if eq .Values.engine "external" -}}
{{- join " " .Values.external.urls -}}
{{- end -}}
{{- end -}}

{{/* The service's settings file: what was given in `gateway.config`, and what follows from the rest of the values. */}}
{{- define "moderation.settings" -}}
{{- $settings := deepCopy .Values.gateway.config -}}
{{- $_ := set $settings "engine" (ternary "lite" "vllm" (eq .Values.engine "lite")) -}}
{{- with include "moderation.upstreams" . -}}
{{- $_ = set $settings "upstreams" (splitList " " .) -}}
{{- end -}}
{{- $_ = set $settings "graceful_timeout_s" (include "moderation.gracefulSeconds" . | int) -}}
{{- if .Values.gateway.apiKeys.enabled -}}
{{- $_ = set $settings "api_keys_file" "/etc/moderation/api-keys" -}}
{{- else -}}
{{- $_ = set $settings "allow_open" true -}}
{{- end -}}
{{- if include "moderation.hasPolicies" . -}}
{{- $_ = set $settings "policies_file" "/etc/moderation/policies.yaml" -}}
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
{{- $found := or (eq .Values.engine "external") (and .Values.stream.enabled (ne .Values.stream.externalUrl "")) -}}
{{- range $value := .Values.gateway.config -}}
{{- range $one := (kindIs "slice" $value | ternary $value (list $value)) -}}
{{- if and (kindIs "string" $one) (regexMatch "^https?://" $one) }}{{ $found = true }}{{ end -}}
{{- end -}}
{{- end -}}
{{- range .Values.gateway.extraEnv -}}
{{- if regexMatch "^https?://" (default "" .value) }}{{ $found = true }}{{ end -}}
{{- /* A key leads nowhere; an address from a Secret does, and is not known here. */ -}}
{{- if and .valueFrom (not (regexMatch "_(KEY|KEYS|TOKEN|SECRET|PASSWORD)$" .name)) }}{{ $found = true }}{{ end -}}
{{- end -}}
{{- if .Values.gateway.extraEnvFrom }}{{ $found = true }}{{ end -}}
{{- if $found }}true{{ end -}}
{{- end -}}

{{/* What no schema can say; each message names the value and what to do. */}}
{{- define "moderation.validate" -}}
{{- range $name, $instead := dict
      "host" "listenAddress" "port" "gateway.containerPort" "engine" "engine" "upstreams" "external.urls"
      "allow_open" "gateway.apiKeys.enabled" "api_keys" "gateway.apiKeys" "api_keys_file" "gateway.apiKeys"
      "policies_file" "gateway.policies" "upstream_api_key" "external.apiKey" -}}
{{- if hasKey $.Values.gateway.config $name -}}
{{- fail (printf "gateway.config.%s is set by the chart; use %s instead." $name $instead) -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := .Values.gateway.config -}}
{{- if regexMatch "_(key|keys|token|secret|password)$|^cluster_memory$|^limits_store$" $name -}}
{{- fail (printf "gateway.config.%s is a secret and would be readable in a ConfigMap; put it into a Secret and name that in gateway.extraEnv." $name) -}}
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
{{- end -}}
{{- if and (eq .Values.engine "external") (not .Values.external.urls) -}}
{{- fail "engine external needs external.urls: the addresses of the servers that run Qwen3Guard." -}}
{{- end -}}
{{- with .Values.gateway.apiKeys -}}
{{- if and .existingSecret .keys -}}
{{- fail "gateway.apiKeys: give keys or existingSecret, not both." -}}
{{- end -}}
{{- end -}}
{{- with .Values.gateway.policies -}}
{{- if and .existingConfigMap .content -}}
{{- fail "gateway.policies: give content or existingConfigMap, not both." -}}
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
{{- range $name := list "vllm" "stream" -}}
{{- include "moderation.validateServer" (dict "values" $.Values "name" $name "part" (get $.Values $name)) -}}
{{- end -}}
{{- if eq .Values.engine "vllm" -}}
{{- with .Values.vllm -}}
{{- if and .apiKey.existingSecret .apiKey.value -}}
{{- fail "vllm.apiKey: give value or existingSecret, not both." -}}
{{- end -}}
{{- if and .autoscaling.enabled (not .autoscaling.serverAddress) -}}
{{- fail "vllm.autoscaling needs serverAddress: the address of Prometheus." -}}
{{- end -}}
{{- if and .autoscaling.enabled (gt (int .autoscaling.minReplicas) (int .autoscaling.maxReplicas)) -}}
{{- fail "vllm.autoscaling: minReplicas is more than maxReplicas." -}}
{{- end -}}
{{- end -}}
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
{{- if ternary (eq .values.engine "vllm") (and .values.stream.enabled (not .values.stream.externalUrl)) (eq .name "vllm") -}}
{{- include "moderation.checkServer" . -}}
{{- with .part -}}
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
