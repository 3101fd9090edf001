{{/* Values that Kubernetes or the service would refuse later, or that would not do what they say. */}}

{{/* An amount as a number: 500m is 0.5, 1Gi is 1073741824. */}}
{{- define "moderation.amount" -}}
{{- $text := toString . -}}
{{- if regexMatch "^[0-9.]+([eE][+-]?[0-9]+)?$" $text -}}
{{- float64 $text -}}
{{- else -}}
{{- $units := dict "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 -}}
{{- mulf (float64 (regexFind "^[0-9.]+" $text)) (get $units (regexFind "[A-Za-z]+$" $text) | default 1.0) -}}
{{- end -}}
{{- end -}}

{{/* Takes (dict "name" "gateway.resources" "resources" .Values.gateway.resources "volumes" (dict "tmpSizeLimit" "128Mi")). */}}
{{- define "moderation.checkResources" -}}
{{- $limits := default dict .resources.limits -}}
{{- range $resource, $request := default dict .resources.requests -}}
{{- if hasKey $limits $resource -}}
{{- if gt (include "moderation.amount" $request | float64) (include "moderation.amount" (get $limits $resource) | float64) -}}
{{- fail (printf "%s: the request of %s (%v) is more than its limit (%v)." $.name $resource $request (get $limits $resource)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $volume, $size := .volumes -}}
{{- if and $limits.memory (gt (include "moderation.amount" $size | float64) (include "moderation.amount" $limits.memory | float64)) -}}
{{- fail (printf "%s (%v) is in memory and counts towards the limit of %s, which is less (%v)." $volume $size $.name $limits.memory) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "moderation.checkGateway" -}}
{{- $known := .Files.Get "files/settings.txt" | splitList "\n" -}}
{{- range $name, $_ := .Values.gateway.config -}}
{{- if not (has $name $known) -}}
{{- fail (printf "gateway.config.%s is no setting of the service; docs/configuration.md has them all." $name) -}}
{{- end -}}
{{- end -}}
{{- with .Values.gateway.policies.content -}}
{{- $policies := fromYaml . -}}
{{- if hasKey $policies "Error" -}}
{{- fail (printf "gateway.policies.content can't be read as YAML: %s" (get $policies "Error")) -}}
{{- end -}}
{{- if not (hasKey $policies "policies") -}}
{{- fail "gateway.policies.content has no `policies`; docs/policies.md shows the format." -}}
{{- end -}}
{{- end -}}
{{- with .Values.gateway.apps.content -}}
{{- if not (hasKey (fromYaml .) "apps") -}}
{{- fail "gateway.apps.content has no `apps`; docs/apps.md shows the format." -}}
{{- end -}}
{{- end -}}
{{- range $name, $_ := .Values.gateway.secretConfig -}}
{{- if not (has $name $known) -}}
{{- fail (printf "gateway.secretConfig.%s is no setting of the service; docs/configuration.md has them all." $name) -}}
{{- end -}}
{{- if or (hasKey $.Values.gateway.config $name) (has $name (list "host" "port" "engine" "upstreams" "small_upstreams" "allow_open" "api_keys_file" "policies_file" "audit_file" "upstream_api_key" "small_upstream_api_key" "stream_api_key")) -}}
{{- fail (printf "gateway.secretConfig.%s is set by the chart from other values, or in gateway.config too." $name) -}}
{{- end -}}
{{- range $.Values.gateway.extraEnv -}}
{{- if eq .name (printf "MODERATION_%s" (upper $name)) -}}
{{- fail (printf "gateway.secretConfig.%s is in gateway.extraEnv too; give it once." $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $setting, $value := dict "apps_file" "apps" "lists_file" "lists" "answers_file" "answers" -}}
{{- if and (hasKey $.Values.gateway.config $setting) (or (get $.Values.gateway $value).content (get $.Values.gateway $value).existingConfigMap) -}}
{{- fail (printf "gateway.config.%s is set by the chart from gateway.%s; give one of them." $setting $value) -}}
{{- end -}}
{{- end -}}
{{- with .Values.gateway.audit -}}
{{- if .enabled -}}
{{- range $setting := list "audit_file" "audit_required" "audit_max_bytes" "audit_keep" -}}
{{- if hasKey $.Values.gateway.config $setting -}}
{{- fail (printf "gateway.config.%s is set by the chart from gateway.audit; give one of them." $setting) -}}
{{- end -}}
{{- end -}}
{{- if and .existingClaim .volume -}}
{{- fail "gateway.audit: give existingClaim or volume, not both." -}}
{{- end -}}
{{- if and (eq .to "volume") (not .existingClaim) (not .volume) -}}
{{- fail "gateway.audit.to volume needs gateway.audit.existingClaim or gateway.audit.volume." -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.gateway -}}
{{- include "moderation.checkResources" (dict "name" "gateway.resources" "resources" .resources "volumes" (dict "gateway.tmpSizeLimit" .tmpSizeLimit)) -}}
{{- include "moderation.checkBudget" (dict "name" "gateway" "budget" .podDisruptionBudget) -}}
{{- if and .autoscaling.enabled (eq .autoscaling.by "requests") -}}
{{- if not .autoscaling.serverAddress -}}
{{- fail "gateway.autoscaling.by requests needs gateway.autoscaling.serverAddress: the address of Prometheus." -}}
{{- end -}}
{{- if .autoscaling.metrics -}}
{{- fail "gateway.autoscaling.metrics are for `by: cpu`, a HorizontalPodAutoscaler; KEDA makes its own." -}}
{{- end -}}
{{- end -}}
{{- if and (eq .service.type "ClusterIP") .service.loadBalancerSourceRanges -}}
{{- fail "gateway.service.loadBalancerSourceRanges is for type LoadBalancer; networkPolicy.gateway.from says who may call." -}}
{{- end -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled .Values.metrics.podMonitor.enabled -}}
{{- fail "metrics: give serviceMonitor or podMonitor, not both; every figure would be counted twice." -}}
{{- end -}}
{{- end -}}

{{/* The small model of a cascade, wherever it runs. */}}
{{- define "moderation.validateSmall" -}}
{{- with .Values.small -}}
{{- if and (or .enabled .urls) (eq $.Values.engine "lite") -}}
{{- fail (printf "%s needs engine vllm or external: what the small model is not sure of goes to the larger one." (ternary "small.enabled" "small.urls" .enabled)) -}}
{{- end -}}
{{- if and .enabled .urls -}}
{{- fail "small: give enabled or urls, not both; with urls it runs already." -}}
{{- end -}}
{{- if and .urls (or .apiKey.value .apiKey.alsoAccept.existingSecret) -}}
{{- fail "small.apiKey.value and small.apiKey.alsoAccept are for small.enabled; the key of small.urls is named in small.apiKey.existingSecret." -}}
{{- end -}}
{{- if and .enabled (eq $.Values.engine "vllm") (eq .model.name $.Values.vllm.model.name) -}}
{{- fail (printf "small.model.name is that of vllm (%s): a cascade needs a larger model there, as values-cascade.yaml has it." .model.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "moderation.checkBudget" -}}
{{- with .budget -}}
{{- if and .enabled (ne (toString .minAvailable) "") (ne (toString .maxUnavailable) "") (ne (toString .maxUnavailable) "1") -}}
{{- fail (printf "%s.podDisruptionBudget: give minAvailable or maxUnavailable, not both." $.name) -}}
{{- end -}}
{{- if and .enabled (eq (toString .minAvailable) "") (has (toString .maxUnavailable) (list "" "0" "0%")) -}}
{{- fail (printf "%s.podDisruptionBudget lets no pod go, and a node could never be drained: maxUnavailable must be 1 or more." $.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Of a vLLM that this chart runs. Takes (dict "values" .Values "name" "vllm" "part" .Values.vllm). */}}
{{- define "moderation.checkServer" -}}
{{- $name := .name -}}
{{- $peers := get .values.networkPolicy .name -}}
{{- $isMonitored := or .values.metrics.serviceMonitor.enabled .values.metrics.podMonitor.enabled -}}
{{- $isShut := and .values.networkPolicy.enabled (not $peers.from) -}}
{{- with .part -}}
{{- include "moderation.checkResources" (dict "name" (printf "%s.resources" $name) "resources" .resources "volumes" (dict (printf "%s.shmSizeLimit" $name) .shmSizeLimit)) -}}
{{- include "moderation.checkResources" (dict "name" (printf "%s.model.resources" $name) "resources" .model.resources "volumes" dict) -}}
{{- include "moderation.checkBudget" (dict "name" $name "budget" .podDisruptionBudget) -}}
{{- $scales := dig "autoscaling" "enabled" false . -}}
{{- $most := ternary (dig "autoscaling" "maxReplicas" 1 .) .replicas $scales | int -}}
{{- with .persistence -}}
{{- if and .enabled (not .existingClaim) (not .volume) (gt $most 1) (not (has "ReadWriteMany" .accessModes)) -}}
{{- fail (printf "%s.persistence: %d replicas may be on several nodes, and a ReadWriteOnce claim is on one. Set accessModes: [ReadWriteMany] with a class that has it, an existingClaim, a volume such as {hostPath: {path: /srv/models}}, or enabled: false, so that each pod downloads." $name $most) -}}
{{- end -}}
{{- end -}}
{{- if and $isShut $scales -}}
{{- fail (printf "%s.autoscaling asks Prometheus, which may not reach vLLM: name its pods in networkPolicy.%s.from." $name $name) -}}
{{- end -}}
{{- if and $isShut $isMonitored -}}
{{- fail (printf "metrics: Prometheus may not reach vLLM; name its pods in networkPolicy.%s.from, such as [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]." $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
