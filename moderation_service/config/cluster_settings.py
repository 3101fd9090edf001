"""Settings for several gateways in front of the same model servers."""

from __future__ import annotations

from dataclasses import dataclass

from .setting import Secret
from .setting import declare as _declare

__all__ = ["ClusterSettings"]


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """What `Settings` has for a service of several gateways."""

    cluster_memory: Secret | None = _declare(
        None,
        "Several gateways",
        "Address of a Valkey or Redis that all gateways share, such as `redis://:password@valkey:6379/0` (`rediss://` "
        "for TLS): questions, growing answers and verdicts are then remembered across gateways. Needs `cluster_key` "
        "and the extra `redis`. While it is away, each gateway has its own memory, as without it. See "
        "docs/several-gateways.md.",
    )
    cluster_key: Secret | None = _declare(
        None,
        "Several gateways",
        "Secret of 16 characters or more, the same in all gateways: nobody without it can read what lies in the "
        "cluster memory, or put something there.",
    )
    cluster_prefix: str = _declare(
        "moderation",
        "Several gateways",
        "Begins every name in the cluster memory. Change it when the guard model changes and its name does not: "
        "verdicts of the old one are not found any more.",
    )
    cluster_pods: int = _declare(
        1,
        "Several gateways",
        "How many gateways share the model servers, where no cluster memory counts them; `upstream_replica_calls` is "
        "divided by it and by `workers`.",
        unit="gateways",
        minimum=1,
        maximum=10_000,
    )
    upstream_replica_calls: int = _declare(
        64,
        "Several gateways",
        "Most verdict calls that one model server has under way from all workers of all gateways together; 0 sets no "
        "bound. A call beyond it waits for half a second, then the request gets 429. Too low: refusals although the "
        "servers have time. Too high: they queue, and many miss their deadline.",
        unit="calls",
        minimum=0,
        maximum=65_536,
    )
