"""Writes the Grafana dashboard: `python tools/dashboard/make_dashboard.py`.

The panels are the table below; everything else about them follows from a few rules. `$namespace` and `$job` choose
the installation, `$guard` the model on vLLM, whose metrics may be those of other models too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parents[2] / "manifests/helm/moderation-service/files/dashboard.json"
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
# Of a Prometheus without namespaces, all of them is none.
_JOB = 'namespace=~"$namespace", job=~"$job"'
_ASKED = f'{_JOB}, route!~"/healthz|/readyz|/metrics"'
_JUDGED = f'{_JOB}, route=~"/moderate.*|/v1/moderations|/v2/guard|/beta/.*|/dify/moderation|/owui/.*"'
_GUARD = 'namespace=~"$namespace", model_name=~"$guard"'
_RATE = "[$__rate_interval]"


@dataclass(frozen=True)
class Query:
    """One PromQL expression and how its series are called."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"
    stacked: bool = False
    maximum: float | None = None
    red_from: float | None = None


def rate(metric: str, selector: str, by: str = "") -> str:
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} (rate({metric}{{{selector}}}{_RATE}))"


def quantile(share: float, metric: str, selector: str, by: str = "") -> str:
    grouping = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({grouping}) (rate({metric}_bucket{{{selector}}}{_RATE})))"


def ratio(part: str, whole: str) -> str:
    return f"{part} / {whole}"


def sampled(selector: str = "") -> str:
    """How many texts of a cascade's sample were judged like this in the last day."""
    return f"(sum(increase({_COMPARED}{{{_SAMPLED}{selector}}}{_LONG})) or vector(0))"


def agreement() -> str:
    same = " + ".join(sampled(f', small="{one}", large="{one}"') for one in ("safe", "controversial", "unsafe"))
    return ratio(f"({same})", sampled())


_DECISIONS = rate("moderation_decisions_total", _JOB)
_HITS = rate("moderation_cache_hits_total", _JOB)
_OURS = "and on (instance) moderation_workers"
_COMPARED = "moderation_cascade_compared_total"
_SAMPLED = f'{_JOB}, texts="sample"'
# The sample is small: over less than a day its shares say little.
_LONG = "[1d]"
_UP = rate("moderation_cascade_up_total", _JOB)
_BY_SMALL = rate("moderation_cascade_decisions_total", f'{_JOB}, decided_by="small"')
_READS = "moderation_cluster_memory_reads_total"

ROWS: dict[str, tuple[Panel, ...]] = {
    "At a glance": (
        Panel("Decisions", "Checks that were decided, per second.", "reqps", (Query(_DECISIONS, "decisions"),), "stat"),
        Panel("Blocked", "Share of the decisions that block.", "percentunit",
              (Query(ratio(rate("moderation_decisions_total", f'{_JOB}, action="block"'), _DECISIONS), "blocked"),),
              "stat"),
        Panel("Degraded", "Share of the decisions that come from the fallback engine or a fail mode.", "percentunit",
              (Query(ratio(rate("moderation_degraded_total", _JOB), _DECISIONS), "degraded"),), "stat", red_from=0.001),
        Panel("Errors", "Share of the requests answered with a 5xx.", "percentunit",
              (Query(ratio("(" + rate("moderation_requests_total", f'{_ASKED}, status=~"5.."') + " or vector(0))",
                           rate("moderation_requests_total", _ASKED)), "errors"),), "stat", red_from=0.01),
        Panel("p99", "Time within which 99 of 100 requests for verdicts are answered.", "s",
              (Query(quantile(0.99, "moderation_request_seconds", _JUDGED), "p99"),), "stat", red_from=2),
        Panel("Model servers out of use", "Those that at least one worker leaves out because they fail.", "short",
              (Query(f"count(max by (upstream) (moderation_upstream_ejected{{{_JOB}}}) > 0) or vector(0)", "ejected"),),
              "stat", red_from=1),
    ),
    "What is decided": (
        Panel("Decisions by action", "allow, flag and block, per second.", "reqps",
              (Query(rate("moderation_decisions_total", _JOB, "action"), "{{action}}"),), stacked=True),
        Panel("Decisions by severity", "The engine's word; none is a decision without a verdict.", "reqps",
              (Query(rate("moderation_decisions_total", _JOB, "safety"), "{{safety}}"),), stacked=True),
        Panel("Categories", "Categories found in judged texts; one text may have several.", "reqps",
              (Query(rate("moderation_categories_total", _JOB, "category"), "{{category}}"),), stacked=True),
        Panel("Decisions by policy and target", "Which policies are in use, for prompts and for responses.", "reqps",
              (Query(rate("moderation_decisions_total", _JOB, "policy, target"), "{{policy}} {{target}}"),),
              stacked=True),
    ),
    "Apps": (
        Panel("Requests by app", "Of keys that belong to an app; the rest is not in it.", "reqps",
              (Query(rate("moderation_app_requests_total", _JOB, "app"), "{{app}}"),), stacked=True),
        Panel("Requests refused, by app", "Over a limit, or another reason in `result`.", "reqps",
              (Query(rate("moderation_app_requests_total", f'{_JOB}, result!="admitted"', "app, result"),
                     "{{app}} {{result}}"),)),
        Panel("Blocked, by app", "Decisions that block.", "reqps",
              (Query(rate("moderation_app_decisions_total", f'{_JOB}, action="block"', "app"), "{{app}}"),)),
        Panel("Repeat offenders", "Times that an end user's escalation began, and decisions that are stricter for it.",
              "reqps", (Query(rate("moderation_escalations_total", _JOB, "policy"), "{{policy}} begins"),
                        Query(rate("moderation_escalated_decisions_total", _JOB, "policy, action"),
                              "{{policy}} {{action}}"))),
    ),
    "How long it takes": (
        Panel("Requests for verdicts", "Time to answer, over all workers.", "s",
              tuple(Query(quantile(share, "moderation_request_seconds", _JUDGED), name)
                    for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99")))),
        Panel("p99 by route", "Probes and scrapes are left out.", "s",
              (Query(quantile(0.99, "moderation_request_seconds", _ASKED, "route"), "{{route}}"),)),
        Panel("Engine", "One call to an engine: a verdict, a batch, or a long text in windows.", "s",
              tuple(Query(quantile(share, "moderation_engine_seconds", _JOB, "engine"), f"{{{{engine}}}} {name}")
                    for share, name in ((0.5, "p50"), (0.99, "p99")))),
        Panel("Model servers", "One call to a model server, as the gateway sees it.", "s",
              tuple(Query(quantile(share, "moderation_upstream_seconds", _JOB, "upstream"), f"{{{{upstream}}}} {name}")
                    for share, name in ((0.5, "p50"), (0.99, "p99")))),
    ),
    "What goes wrong": (
        Panel("Requests by status", "All but probes and scrapes.", "reqps",
              (Query(rate("moderation_requests_total", _ASKED, "status"), "{{status}}"),), stacked=True),
        Panel("Checks answered with an error", "By the error's type; nobody got a verdict or a fail mode's action.",
              "reqps", (Query(rate("moderation_failures_total", _JOB, "type"), "{{type}}"),), stacked=True),
        Panel("Degraded decisions", "By policy: each has its own on_failure.", "reqps",
              (Query(rate("moderation_degraded_total", _JOB, "policy"), "{{policy}}"),), stacked=True),
        Panel("Calls to model servers without a verdict", "By server and reason; see the page Engines.", "reqps",
              (Query(rate("moderation_upstream_failures_total", _JOB, "upstream, reason"), "{{upstream}} {{reason}}"),),
              stacked=True),
        Panel("Texts without a verdict", "By the engine that gave none.", "reqps",
              (Query(rate("moderation_engine_failures_total", _JOB, "engine"), "{{engine}}"),), stacked=True),
        Panel("Workers that left out a model server", "By server; all of its workers: the server is down.", "short",
              (Query(f"sum by (upstream) (moderation_upstream_ejected{{{_JOB}}})", "{{upstream}}"),)),
    ),
    "How full it is": (
        Panel("Requests under way", "Beyond the limit, requests wait for a thread.", "short",
              (Query(f"sum(moderation_requests_in_flight{{{_JOB}}})", "under way"),
               Query(f"sum(moderation_request_slots{{{_JOB}}})", "threads"))),
        Panel("Refused with 429", "More than upstream_concurrency at once.", "reqps",
              (Query(rate("moderation_requests_total", f'{_JOB}, status="429"') + " or vector(0)", "refused"),)),
        Panel("Answered from memory", "Share of the checks whose verdict was remembered.", "percentunit",
              (Query(ratio(_HITS, f"({_HITS} + {rate('moderation_cache_misses_total', _JOB)})"), "hits"),), maximum=1),
        Panel("Workers", "Worker processes alive, by instance.", "short",
              (Query(f"moderation_workers{{{_JOB}}}", "{{instance}}"),)),
        Panel("CPU", "Cores in use by all processes of an instance.", "short",
              (Query(f"rate(process_cpu_seconds_total{{{_JOB}}}{_RATE}) {_OURS}",
                     "{{instance}}"),)),
        Panel("Memory", "All processes of an instance; what they share is counted once.", "bytes",
              (Query(f"process_resident_memory_bytes{{{_JOB}}} {_OURS}", "{{instance}}"),)),
        Panel("Open files", "Of the process that has most, as a share of its limit.", "percentunit",
              (Query(f"process_open_fds{{{_JOB}}} / process_max_fds{{{_JOB}}} {_OURS}",
                     "{{instance}}"),), maximum=1),
        Panel("Last reload", "1: the settings in use are those in the files; 0: there is a mistake in them.", "short",
              (Query(f"moderation_config_last_reload_successful{{{_JOB}}}", "{{instance}}"),), maximum=1),
    ),
    "Cascade": (
        Panel("Sent up", "Share of the texts that the small model does not decide: what the cascade costs.",
              "percentunit", (Query(ratio(_UP, f"({_BY_SMALL} + {_UP})"), "sent up"),), maximum=1),
        Panel("Why texts are sent up", "By reason; no_verdict is a small model that is away or too slow.", "reqps",
              (Query(rate("moderation_cascade_up_total", _JOB, "reason"), "{{reason}}"),), stacked=True),
        Panel("Verdicts by model", "Which of the two decided.", "reqps",
              (Query(rate("moderation_cascade_decisions_total", _JOB, "decided_by"), "{{decided_by}}"),), stacked=True),
        Panel("Agreement of the sample", "What the small model decides and the larger one too; last day.",
              "percentunit", (Query(agreement(), "agree"),), maximum=1),
        Panel("Let pass, though the larger model would not", "Share of the sampled texts that the small model calls "
              "safe; last day.", "percentunit",
              (Query(ratio(sampled(', small="safe", large!="safe"'), sampled(', small="safe"')), "missed"),)),
        Panel("Without a verdict, by model", "What the small one fails at is judged by the larger; what that fails at "
              "has only the small one's word, or on_failure.", "reqps",
              (Query(rate("moderation_cascade_up_total", f'{_JOB}, reason="no_verdict"') + " or vector(0)", "small"),
               Query(rate("moderation_engine_failures_total", f'{_JOB}, engine="cascade"') + " or vector(0)",
                     "large"))),
    ),
    "What gateways share": (
        Panel("Workers without the cluster memory", "Each then has its own.", "short",
              (Query(f"sum by (job) (moderation_cluster_memory_away{{{_JOB}}})", "{{job}}"),)),
        Panel("Calls to the cluster memory without a result", "invalid: none of the gateways wrote it.", "reqps",
              (Query(rate("moderation_cluster_memory_failures_total", _JOB, "reason"), "{{reason}}"),), stacked=True),
        Panel("Found in the cluster memory", "Share of what was asked of it: verdicts, questions, growing answers.",
              "percentunit",
              (Query(ratio(rate(_READS, f'{_JOB}, result="found"'), rate(_READS, _JOB)), "found"),), maximum=1),
        Panel("Limits counted by one gateway alone", "The server of limits_store was away.", "reqps",
              (Query(rate("moderation_limits_store_failures_total", _JOB), "requests"),)),
    ),
    "Records and webhooks": (
        Panel("Records written", "To the database, per second.", "reqps",
              (Query(rate("moderation_records_written_total", _JOB), "written"),)),
        Panel("Records that wait", "For the database; they are in the memory of the workers.", "short",
              (Query(f"sum by (instance) (moderation_records_waiting{{{_JOB}}})", "{{instance}}"),)),
        Panel("Records lost", "Of the database, and of the audit file.", "reqps",
              (Query(rate("moderation_records_dropped_total", _JOB), "database"),
               Query(rate("moderation_audit_failures_total", _JOB), "audit file"))),
        Panel("Webhook messages", "failed: for good; dropped: too many waited.", "reqps",
              (Query(rate("moderation_webhooks_total", _JOB, "event, outcome"), "{{event}} {{outcome}}"),),
              stacked=True),
    ),
    "Guarded chat": (
        Panel("Chats under way", "Each holds a thread of its worker, up to chat_max_streams of them.", "short",
              (Query(f"sum(moderation_chats_open{{{_JOB}}})", "chats"),)),
        Panel("How chats end", "blocked_answer: cut by the policy; an error by its type.", "reqps",
              (Query(rate("moderation_chats_total", _JOB, "ended"), "{{ended}}"),), stacked=True),
        Panel("Chats refused with 429", "More than chat_max_streams of a worker at once.", "reqps",
              (Query(rate("moderation_requests_total", f'{_JOB}, route="/v1/chat/completions", status="429"')
                     + " or vector(0)", "refused"),)),
    ),
    "vLLM": (
        Panel("Requests in vLLM", "Those waiting have no place in the batch yet.", "short",
              (Query(f"sum(vllm:num_requests_running{{{_GUARD}}})", "running"),
               Query(f"sum(vllm:num_requests_waiting{{{_GUARD}}})", "waiting"))),
        Panel("KV cache", "Share of the KV cache that is in use.", "percentunit",
              (Query(f"max by (instance) (vllm:kv_cache_usage_perc{{{_GUARD}}})", "{{instance}}"),), maximum=1),
        Panel("Tokens", "Read and written, per second.", "short",
              (Query(rate("vllm:prompt_tokens_total", _GUARD), "read"),
               Query(rate("vllm:generation_tokens_total", _GUARD), "written"))),
        Panel("Prefix cache", "Share of the prompt tokens that did not have to be read again.", "percentunit",
              (Query(ratio(rate("vllm:prefix_cache_hits_total", _GUARD),
                           rate("vllm:prefix_cache_queries_total", _GUARD)), "hits"),), maximum=1),
        Panel("Time in vLLM", "From the request's arrival in vLLM to its last token.", "s",
              tuple(Query(quantile(share, "vllm:e2e_request_latency_seconds", _GUARD), name)
                    for share, name in ((0.5, "p50"), (0.99, "p99")))),
        Panel("Time in vLLM's queue", "Before vLLM begins to read the prompt.", "s",
              tuple(Query(quantile(share, "vllm:request_queue_time_seconds", _GUARD), name)
                    for share, name in ((0.5, "p50"), (0.99, "p99")))),
    ),
}  # fmt: skip


def panel(number: int, one: Panel, x: int, y: int, width: int, height: int) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if one.red_from is not None:
        steps.append({"color": "red", "value": one.red_from})
    defaults: dict[str, Any] = {"unit": one.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}}
    if one.maximum is not None:
        defaults["max"] = one.maximum
    made: dict[str, Any] = {
        "id": number,
        "type": one.kind,
        "title": one.title,
        "description": one.description,
        "datasource": _DATASOURCE,
        "gridPos": {"h": height, "w": width, "x": x, "y": y},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + at),
                "datasource": _DATASOURCE,
                "editorMode": "code",
                "expr": query.expr,
                "legendFormat": query.legend,
                "range": True,
            }
            for at, query in enumerate(one.queries)
        ],
    }
    if one.kind == "stat":
        made["options"] = {"colorMode": "value", "reduceOptions": {"calcs": ["lastNotNull"]}}
    else:
        made["options"] = {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
        stacking = {"group": "A", "mode": "normal" if one.stacked else "none"}
        defaults["custom"] = {"fillOpacity": 20 if one.stacked else 0, "stacking": stacking}
    return made


def panels() -> Iterator[dict[str, Any]]:
    number, y = 1, 0
    for title, row in ROWS.items():
        grid = {"h": 1, "w": 24, "x": 0, "y": y}
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": grid, "panels": []}
        number, y = number + 1, y + 1
        width, height = (4, 4) if row[0].kind == "stat" else (8 if len(row) % 3 == 0 else 6, 8)
        for at, one in enumerate(row):
            x = at * width % 24
            yield panel(number, one, x, y, width, height)
            number += 1
            if x + width == 24:
                y += height


def variable(name: str, label: str, query: str, *, regex: str = "") -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": _DATASOURCE,
        "query": {"query": query, "refId": name},
        "regex": regex,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        # With a pattern "all" are those that match it, not everything.
        **({} if regex else {"allValue": ".*"}),
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def dashboard() -> dict[str, Any]:
    source = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1}
    installation = (
        variable("namespace", "Namespace", "label_values(moderation_build_info, namespace)"),
        variable("job", "Job", 'label_values(moderation_build_info{namespace=~"$namespace"}, job)'),
    )
    guard = variable("guard", "Model", "label_values(vllm:num_requests_running, model_name)", regex="/.*guard.*/i")
    return {
        "uid": "moderation-service",
        "title": "Moderation service",
        "description": "Decisions, latency, failures and load of the moderation service and of vLLM behind it.",
        "tags": ["moderation"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [source, *installation, guard]},
        "annotations": {"list": []},
        "panels": list(panels()),
    }


def render() -> str:
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
