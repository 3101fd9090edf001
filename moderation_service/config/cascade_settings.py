"""Settings of the engine `cascade`: the small model's servers, and when it decides."""

from __future__ import annotations

from dataclasses import dataclass

from .setting import Secret, ServersUrl
from .setting import declare as _declare

__all__ = ["CascadeSettings"]


@dataclass(frozen=True, kw_only=True)
class CascadeSettings:
    """What `Settings` has for `engine: cascade`, beside the model servers of the larger model."""

    small_upstreams: tuple[ServersUrl, ...] = _declare(
        (),
        "Cascade",
        "Base addresses of the servers of the small model, for `engine: cascade`, in the form of `upstreams`, which "
        "then are the larger model's. See docs/cascade.md.",
    )
    small_upstream_api_key: Secret | None = _declare(
        None, "Cascade", "The key that the small model's servers ask for; that of the larger one is never sent to them."
    )
    small_upstream_model: str | None = _declare(
        None, "Cascade", "The small model's name on its servers, where they have several; see `upstream_model`."
    )
    small_upstream_dialect: str = _declare(
        "auto",
        "Cascade",
        "What kind of server has the small model; see `upstream_dialect`.",
        choices=("auto", "vllm", "sglang", "llamacpp", "ollama", "openai"),
    )
    small_upstream_context_tokens: int | None = _declare(
        None,
        "Cascade",
        "The small model's context length, where its server does not tell it; see `upstream_context_tokens`.",
        unit="tokens",
        minimum=512,
        maximum=10_000_000,
    )
    cascade_safe: float = _declare(
        0.98,
        "Cascade",
        "From which probability of Safe on the small model decides that a text is safe. Too low: harmful texts pass "
        "that the larger model would find. Too high: nearly everything is judged twice. `moderation-service calibrate` "
        "finds it for your models; a policy may have its own.",
        minimum=0.34,
        maximum=1,
    )
    cascade_unsafe: float = _declare(
        0.9,
        "Cascade",
        "The same for Unsafe. Too low: harmless texts are blocked that the larger model would let pass.",
        minimum=0.34,
        maximum=1,
    )
    cascade_sample: float = _declare(
        0.01,
        "Cascade",
        "The share of the small model's sure verdicts that the larger one judges too, in the background and for the "
        "metrics only: without it nobody sees how often both agree where it matters. 0 switches it off.",
        minimum=0,
        maximum=1,
    )
