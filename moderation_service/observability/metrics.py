"""What Prometheus sees. Right under several workers, and without any user text in a label.

With several workers, prometheus-client keeps its numbers in files of the folder that PROMETHEUS_MULTIPROC_DIR names
when the module is first imported; `moderation_service.server.gunicorn_app` sets it before that.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from ..core.cascade import Up
from ..core.listing import ENGINE as LISTS
from ..core.moderator import Check
from ..core.verdict import Action, Coverage, Decision, Severity
from ..errors import ModerationError
from .process_metrics import ProcessCollector, ReadyCollector
from .request_context import request_context

__all__ = ["METRIC_NAMES", "Metrics"]

_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_PREFIX = "moderation"
# People may make apps as long as the service runs; beyond so many, what they do is counted together.
_MAX_APP_CHILDREN = 5000
_OTHER_APPS = "other"
_M = TypeVar("_M", Counter, Histogram)
_CHAT_ENDS = ("answered", "blocked_prompt", "blocked_answer", "refused", "client_gone")

METRIC_NAMES = (
    "moderation_build_info",
    "moderation_ready",
    "moderation_requests_total",
    "moderation_request_seconds",
    "moderation_decisions_total",
    "moderation_shadow_decisions_total",
    "moderation_categories_total",
    "moderation_failures_total",
    "moderation_audit_failures_total",
    "moderation_webhooks_total",
    "moderation_records_written_total",
    "moderation_records_dropped_total",
    "moderation_records_waiting",
    "moderation_degraded_total",
    "moderation_read_in_part_total",
    "moderation_uncovered_total",
    "moderation_list_hits_total",
    "moderation_cache_hits_total",
    "moderation_cache_misses_total",
    "moderation_engine_seconds",
    "moderation_engine_failures_total",
    "moderation_upstream_seconds",
    "moderation_upstream_failures_total",
    "moderation_upstream_ejected",
    "moderation_cascade_decisions_total",
    "moderation_cascade_up_total",
    "moderation_cascade_compared_total",
    "moderation_cluster_memory_failures_total",
    "moderation_cluster_memory_away",
    "moderation_cluster_memory_reads_total",
    "moderation_rewards_total",
    "moderation_app_requests_total",
    "moderation_app_decisions_total",
    "moderation_limits_store_failures_total",
    "moderation_escalations_total",
    "moderation_escalated_decisions_total",
    "moderation_chats_total",
    "moderation_chats_open",
    "moderation_requests_in_flight",
    "moderation_request_slots",
    "moderation_config_last_reload_successful",
    "moderation_config_last_reload_success_timestamp_seconds",
    "moderation_workers",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "process_start_time_seconds",
)
"""Every metric of the service, as documented in docs/monitoring.md."""


class Metrics:
    """The service's metrics; an `Observer` of the moderator.

    Label values come from closed sets: routes, statuses, our enums, the names of configured policies.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, *, version: str) -> None:
        self._registry = CollectorRegistry()
        make: Any = {"namespace": _PREFIX, "registry": self._registry}
        info = Gauge("build_info", "Always 1; the version is in the label.", ["version"],
                     multiprocess_mode="mostrecent", **make)  # fmt: skip
        info.labels(version).set(1)
        self._make_for_decisions(make)
        self._make_for_models(make)
        self._make_for_callers(make)
        self._make_for_processes(make)
        # Made before the workers are forked: this process is the one whose children they are.
        self._processes = ProcessCollector(pid=os.getpid(), with_children=_is_multiprocess())
        if not _is_multiprocess():
            self._registry.register(self._processes)
        # Looking a labelled child up costs more than counting; the hot ones are remembered.
        self._route_children: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._decision_children: dict[tuple[object, ...], Counter] = {}
        # Finding the child of some labels costs more than counting.
        self._children: dict[tuple[object, tuple[str | Action, ...]], Any] = {}
        self._app_children: dict[tuple[Counter, str, str | Action], Counter] = {}

    def _make_for_decisions(self, make: Any) -> None:
        """Requests, what was decided on them, and where that is written down."""
        self._requests = Counter("requests", "HTTP requests answered.", ["route", "status"], **make)
        self._seconds = Histogram("request_seconds", "Time to answer, in seconds.", ["route"],
                                  buckets=_REQUEST_BUCKETS, **make)  # fmt: skip
        self._decisions = Counter("decisions", "Decisions made; safety is `none` where no verdict could be had.",
                                  ["target", "action", "safety", "policy", "engine"], **make)  # fmt: skip
        self._shadow = Counter("shadow_decisions", "What a shadow policy would have done, beside what was done.",
                               ["policy", "shadow", "action", "would"], **make)  # fmt: skip
        self._categories = Counter("categories", "Categories found in judged texts.", ["target", "category"], **make)
        self._failures = Counter("failures", "Checks answered with an error.", ["type"], **make)
        self._audit_failures = Counter("audit_failures", "Audit records that could not be written.", **make)
        self._webhooks = Counter("webhooks", "Webhook messages: delivered, failed for good, or dropped.",
                                 ["event", "outcome"], **make)  # fmt: skip
        self._records_written = Counter("records_written", "Records of decisions written to the database.", **make)
        self._records_dropped = Counter("records_dropped", "Records of decisions that were lost.", **make)
        self._records_waiting = Gauge("records_waiting", "Records of decisions that wait for the database.",
                                      multiprocess_mode="livesum", **make)  # fmt: skip
        self._degraded = Counter("degraded", "Decisions of the fallback or of a fail mode.", ["policy"], **make)
        self._read_in_part = Counter("read_in_part", "Verdicts whose severity was read, but not all of the rest.",
                                     ["engine", "part"], **make)  # fmt: skip
        self._uncovered = Counter("uncovered", "Decisions on a text whose language the engine knows in part or not.",
                                  ["engine", "coverage"], **make)  # fmt: skip
        self._listed = Counter("list_hits", "Decisions whose action an entry of a list made.", ["list", "side"], **make)
        self._hits = Counter("cache_hits", "Checks answered from memory.", **make)
        self._misses = Counter("cache_misses", "Checks that needed an engine.", **make)

    def _make_for_models(self, make: Any) -> None:
        """Engines, model servers, and what gateways share."""
        self._engine = Histogram("engine_seconds", "Time of one call to an engine, in seconds.", ["engine"],
                                 buckets=_REQUEST_BUCKETS, **make)  # fmt: skip
        self._engine_failures = Counter("engine_failures", "Conversations an engine gave no verdict for.", ["engine"],
                                        **make)  # fmt: skip
        self._upstream = Histogram("upstream_seconds", "Time of one call to a model server, in seconds.", ["upstream"],
                                   buckets=_REQUEST_BUCKETS, **make)  # fmt: skip
        self._upstream_failures = Counter("upstream_failures", "Calls to a model server without a verdict.",
                                          ["upstream", "reason"], **make)  # fmt: skip
        self._upstream_ejected = Gauge("upstream_ejected", "Workers that have taken this model server out of use.",
                                       ["upstream"], multiprocess_mode="livesum", **make)  # fmt: skip
        self._cascade = Counter("cascade_decisions", "Verdicts of the engine cascade, by the model that decided.",
                                ["decided_by"], **make)  # fmt: skip
        self._cascade_up = Counter("cascade_up", "Texts that the small model did not decide, by why.", ["reason"],
                                   **make)  # fmt: skip
        self._compared = Counter("cascade_compared", "Texts that both models of a cascade judged.",
                                 ["texts", "small", "large"], **make)  # fmt: skip
        self._cluster_failures = Counter("cluster_memory_failures", "Calls to the cluster memory without a result.",
                                         ["reason"], **make)  # fmt: skip
        self._cluster_reads = Counter("cluster_memory_reads", "Values asked of the cluster memory.", ["result"], **make)
        self._cluster_away = Gauge("cluster_memory_away", "Workers that do without the cluster memory.",
                                   multiprocess_mode="livesum", **make)  # fmt: skip

    def _make_for_callers(self, make: Any) -> None:
        """Trainers, apps with their end users, and guarded chats."""
        self._rewards = Counter("rewards", "Rewards given to trainers, by what the guard found.", ["found"], **make)
        self._app_requests = Counter("app_requests", "Requests of apps, let in or not.", ["app", "result"], **make)
        self._app_decisions = Counter("app_decisions", "Decisions made for apps.", ["app", "action"], **make)
        self._limits_failures = Counter("limits_store_failures", "Requests counted on this machine only, because the "
                                        "server of `limits_store` was away.", **make)  # fmt: skip
        self._escalations = Counter("escalations", "Times that an end user was blocked so often that the policy's "
                                    "`escalation` began.", ["policy"], **make)  # fmt: skip
        self._stricter = Counter("escalated_decisions", "Decisions that are stricter because of an escalation.",
                                 ["policy", "action"], **make)  # fmt: skip
        self._chats = Counter("chats", "Guarded chats that have ended, by how.", ["ended"], **make)
        self._chats_open = Gauge("chats_open", "Guarded chats under way.", multiprocess_mode="livesum", **make)

    def _make_for_processes(self, make: Any) -> None:
        """Room, and settings read anew."""
        self._in_flight = Gauge("requests_in_flight", "Requests that are being answered.",
                                multiprocess_mode="livesum", **make)  # fmt: skip
        self._slots = Gauge("request_slots", "Requests that can be answered at the same time: workers x threads.",
                            multiprocess_mode="mostrecent", **make)  # fmt: skip
        self._reload_ok = Gauge("config_last_reload_successful", "1, or 0 when the last SIGHUP met a mistake.",
                                multiprocess_mode="mostrecent", **make)  # fmt: skip
        self._reload_time = Gauge("config_last_reload_success_timestamp_seconds", "When the settings in use were read.",
                                  multiprocess_mode="mostrecent", **make)  # fmt: skip

    def configured(self, *, slots: int, policies: Iterable[str]) -> None:
        """Settings were read and are in use."""
        # A counter that is there from the beginning shows its first step; Prometheus sees none in one that appears.
        for policy in policies:
            self._degraded.labels(policy)
        for ended in _CHAT_ENDS:
            self._chats.labels(ended)
        self._slots.set(slots)
        self._reload_ok.set(1)
        self._reload_time.set_to_current_time()

    def reload_refused(self) -> None:
        """Settings were read anew and had a mistake; the earlier ones stay in use."""
        self._reload_ok.set(0)

    def begun(self) -> None:
        """An HTTP request has come in; `answered` follows in any case."""
        self._in_flight.inc()

    def answered(self, route: str, status: int, seconds: float) -> None:
        """An HTTP request was answered. `route` is the rule, never the path that was asked for."""
        self._in_flight.dec()
        children = self._route_children.get((route, status))
        if children is None:
            children = (self._requests.labels(route, str(status)), self._seconds.labels(route))
            self._route_children[route, status] = children
        children[0].inc()
        children[1].observe(seconds)

    def decided(self, check: Check, decision: Decision, fingerprint: bytes) -> None:
        """Count a decision."""
        verdict = decision.verdict
        key = (decision.target, decision.action, verdict and verdict.severity, decision.policy, decision.engine)
        child = self._decision_children.get(key)
        if child is None:
            safety = "none" if verdict is None else verdict.severity.value
            child = self._decisions.labels(
                decision.target.value, decision.action.value, safety, decision.policy, decision.engine
            )
            self._decision_children[key] = child
        child.inc()
        app = request_context.get().app
        if app is not None:
            self._of_app(self._app_decisions, app, decision.action).inc()
        if decision.listed_by is not None:
            self._listed.labels(decision.listed_by.list_name, decision.listed_by.side).inc()
        if verdict is None or verdict.engine != LISTS:
            (self._hits if decision.cached else self._misses).inc()
        if decision.degraded:
            self._degraded.labels(decision.policy).inc()
        for shadow, would in zip(check.policy.shadow, decision.shadow, strict=False):
            self._labelled(self._shadow, decision.policy, shadow.name, decision.action, would or "unknown").inc()
        if verdict is not None:
            if verdict.coverage not in (None, Coverage.FULL):
                self._uncovered.labels(verdict.engine, verdict.coverage.value).inc()
            for category in verdict.categories:
                self._categories.labels(decision.target.value, category.value).inc()
            if not decision.cached:
                for part in verdict.read_in_part:
                    self._read_in_part.labels(verdict.engine, part.value).inc()

    def failed(self, check: Check, error: ModerationError) -> None:
        """Count a check that ended in an error."""
        self._misses.inc()
        self._failures.labels(error.type).inc()

    def engine_called(self, engine: str, seconds: float, failures: int, verdicts: int) -> None:
        """Record one call to an engine."""
        self._labelled(self._engine, engine).observe(seconds)
        if failures:
            self._engine_failures.labels(engine).inc(failures)

    def upstream_called(self, replica: str, outcome: str, seconds: float) -> None:
        """Record one call to a model server; `replica` is its configured host and port."""
        self._labelled(self._upstream, replica).observe(seconds)
        if outcome not in ("ok", "too_long"):
            self._upstream_failures.labels(replica, outcome).inc()

    def upstream_ejected(self, replica: str, *, is_ejected: bool) -> None:
        """A model server was taken out of use by this worker, or came back."""
        self._upstream_ejected.labels(replica).set(int(is_ejected))

    def cascade_decided(self, *, by_small: bool) -> None:
        """A text got its verdict from one of the two models of the engine `cascade`."""
        self._cascade.labels("small" if by_small else "large").inc()

    def cascade_went_up(self, reason: Up) -> None:
        """A text goes to the larger model."""
        self._cascade_up.labels(reason.value).inc()

    def cascade_compared(self, how: enum.Enum, small: Severity, large: Severity) -> None:
        """Both models judged a text."""
        self._compared.labels(how.value, small.value, large.value).inc()

    def cluster_failed(self, reason: str) -> None:
        """A call to the cluster memory failed, or gave a value that is none of ours."""
        self._cluster_failures.labels(reason).inc()

    def cluster_read(self, *, is_found: bool) -> None:
        """The cluster memory was asked for a value, and has answered."""
        self._cluster_reads.labels("found" if is_found else "missing").inc()

    def cluster_away(self, *, is_away: bool) -> None:
        """This worker does without the cluster memory, or uses it again."""
        self._cluster_away.set(int(is_away))

    def _labelled(self, metric: _M, *words: str | Action) -> _M:
        key = metric, words
        child: _M | None = self._children.get(key)
        if child is None:
            child = self._children.setdefault(key, metric.labels(*map(_word, words)))
        return child

    def rewarded(self, found: Mapping[str, int]) -> None:
        """Rewards were given: how many for each of `answer`, `refusal`, `unsafe`, `blank` and `error`."""
        for word, count in found.items():
            self._rewards.labels(word).inc(count)

    def app_asked(self, app: str, result: str) -> None:
        """An app's request was let in, or not."""
        self._of_app(self._app_requests, app, result).inc()

    def limits_store_failed(self) -> None:
        """A request was counted on this machine only."""
        self._limits_failures.inc()

    def escalated(self, policy: str) -> None:
        """The escalation of a policy has begun for an end user."""
        self._escalations.labels(policy).inc()

    def made_stricter(self, policy: str, action: str) -> None:
        """A decision is stricter because of an escalation."""
        self._stricter.labels(policy, action).inc()

    def _of_app(self, counter: Counter, app: str, word: str | Action) -> Counter:
        child = self._app_children.get((counter, app, word))
        if child is None:
            if len(self._app_children) >= _MAX_APP_CHILDREN:
                app = _OTHER_APPS
            child = counter.labels(app, _word(word))
            if app != _OTHER_APPS:
                self._app_children[counter, app, word] = child
        return child

    def audit_failed(self) -> None:
        """An audit record could not be written."""
        self._audit_failures.inc()

    def webhook_sent(self, event: str, outcome: str) -> None:
        """A webhook message was `delivered`, has `failed` for good, or was `dropped`."""
        self._webhooks.labels(event, outcome).inc()

    def records_written(self, count: int) -> None:
        """So many records are in the database."""
        self._records_written.inc(count)

    def records_dropped(self, count: int) -> None:
        """So many records are lost."""
        self._records_dropped.inc(count)

    def records_waiting(self, count: int) -> None:
        """So many records wait in this process."""
        self._records_waiting.set(count)

    def chat_began(self) -> None:
        """A guarded chat began."""
        self._chats_open.inc()

    def chat_ended(self, ended: str) -> None:
        """A guarded chat ended; `ended` is one of a few words, or the type of an error."""
        self._chats_open.dec()
        self._chats.labels(ended).inc()

    def app_requests(self) -> Mapping[tuple[str, str], float]:
        """How many requests of apps were let in or not, by app and result, over all workers."""
        found = {}
        for metric in self._collected().collect():
            for sample in metric.samples if metric.name == f"{_PREFIX}_app_requests" else ():
                if sample.name.endswith("_total"):
                    found[sample.labels["app"], sample.labels["result"]] = sample.value
        return found

    def render(self, *, is_ready: bool | None = None) -> bytes:
        """All metrics in Prometheus' text format, summed over the workers; `is_ready` is None where it is not known."""
        ready = CollectorRegistry()
        if is_ready is not None:
            # Made for this answer only: kept with the others, it would be summed up over the workers too.
            ready.register(ReadyCollector(is_ready))
        return generate_latest(ready) + generate_latest(self._collected())

    def _collected(self) -> CollectorRegistry:
        """What all workers have counted."""
        if not _is_multiprocess():
            return self._registry
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        registry.register(self._processes)
        return registry


def _word(word: str | Action) -> str:
    return word if isinstance(word, str) else word.value


def _is_multiprocess() -> bool:
    return "PROMETHEUS_MULTIPROC_DIR" in os.environ
