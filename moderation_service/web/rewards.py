"""`POST /rewards/openrlhf` and `POST /rewards/slime`: rewards for trainers that ask over HTTP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..wires import openrlhf, slime
from ..wires.rewards import Given, RewardOptions, Sample, read_options, reward_of
from .api_keys import OPENRLHF_PATH, SLIME_PATH
from .body import read_json
from .lifecycle import DirectRoute, RequestState
from .moderate import log_fields
from .reply import Reply, json_reply
from .service import Service

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = ["direct_routes"]


def direct_routes(service: Service) -> dict[str, DirectRoute]:
    """The two routes."""
    max_body_bytes = service.settings.max_body_bytes
    limits, max_samples = service.limits.conversation, service.limits.batch_items

    def for_openrlhf(environ: WSGIEnvironment, state: RequestState) -> Reply:
        options = read_options(environ.get("QUERY_STRING", ""), policies=service.policies)
        body = read_json(environ, max_body_bytes=max_body_bytes)
        samples = openrlhf.parse(body, options, limits=limits, max_samples=max_samples)
        return json_reply(openrlhf.render(_given(service, samples, options, state)))

    def for_slime(environ: WSGIEnvironment, state: RequestState) -> Reply:
        options = read_options(environ.get("QUERY_STRING", ""), policies=service.policies)
        sample = slime.parse(read_json(environ, max_body_bytes=max_body_bytes), options, limits=limits)
        return json_reply(slime.render(_given(service, [sample], options, state)[0]))

    return {OPENRLHF_PATH: for_openrlhf, SLIME_PATH: for_slime}


def _given(service: Service, samples: Sequence[Sample], options: RewardOptions, state: RequestState) -> list[Given]:
    """The rewards of the samples, counted and logged by what was found."""
    checks = [check for sample in samples for check in sample.checks]
    outcomes = service.decide(checks) if checks else []
    state.fields = log_fields(outcomes) if outcomes else {}
    rest = iter(outcomes)
    given = [reward_of([next(rest) for _ in sample.checks], options) for sample in samples]
    found = Counter(one.found for one in given)
    service.metrics.rewarded(found)
    state.fields = {**state.fields, "rewards": dict(found)}
    return given
