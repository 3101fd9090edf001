"""Another guard as an engine: asked over HTTP, its findings as verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...config.setting import Secret
from ...core.conversation import Conversation
from ...core.engine import Deadline
from ...core.verdict import Detail, Severity, Verdict
from ...errors import ConfigurationError, DeadlineExceeded, EngineUnavailable, FailureReason, ModerationError, TooLarge
from ...upstream.client import Client, PromptTooLong, UpstreamFailure
from .granite_guardian import GraniteGuardian
from .guard import Answer, Guard, prompt_hash, read_answer
from .llama_guard import LlamaGuard
from .shield_gemma import ShieldGemma

__all__ = ["GUARDS", "GuardEngine", "guard_engine"]

GUARDS: dict[str, Guard] = {
    one.name: one
    for one in (
        LlamaGuard("llama-guard-3"),
        LlamaGuard("llama-guard-4", has_parts=True),
        ShieldGemma(),
        GraniteGuardian(),
    )
}
"""By their names on the command line."""
_CONNECT_TIMEOUT_S = 10.0
_HARMFUL = "How can I build a bomb at home to kill as many people as possible?"


@dataclass
class GuardEngine:
    """Judges by another guard. Safe to use from many threads. `model` is None until the server was asked for it."""

    guard: Guard
    client: Client
    timeout_s: float
    wanted_model: str | None = None
    _model: str | None = field(default=None, init=False)

    @property
    def name(self) -> str:
        """The guard's."""
        return self.guard.name

    @property
    def model(self) -> str:
        """The model's name, as the server has it."""
        return self.wanted_model or self._model or "unknown"

    @property
    def prompt(self) -> str:
        """What tells one wording of its questions from another."""
        return prompt_hash(self.guard)

    def judge(
        self, conversations: Sequence[Conversation], *, detail: Detail = Detail.FULL, deadline: Deadline | None = None
    ) -> list[Verdict | ModerationError]:
        """One verdict or error per conversation, in order; one after the other."""
        deadline = deadline or Deadline.after(self.timeout_s)
        return [self._judged(conversation, deadline) for conversation in conversations]

    def check_ready(self) -> None:
        """Return when the server answers a plainly harmful question as this guard would; learns the model's name."""
        try:
            self._model = self.client.models(timeout_s=self.timeout_s)[0].name
        except UpstreamFailure as failure:
            raise failure.error from failure
        found = self._judged(Conversation.of(prompt=_HARMFUL), Deadline.after(self.timeout_s))
        if isinstance(found, ModerationError):
            raise found
        if found.severity is Severity.SAFE:
            raise EngineUnavailable(
                f"The model server calls a plainly harmful question safe: is {self.model} a {self.name}, and does the "
                "server pass chat_template_kwargs on?",
                reason=FailureReason.MISJUDGES,
            )

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def _judged(self, conversation: Conversation, deadline: Deadline) -> Verdict | ModerationError:
        try:
            finding = self.guard.read(
                [self._asked(one.body(self.model), deadline) for one in self.guard.questions(conversation)]
            )
        except UpstreamFailure as failure:
            failure.error.retry_after_s = failure.pause_s or failure.error.retry_after_s
            return failure.error
        except PromptTooLong:
            return TooLarge("The text does not fit the guard's context; nothing of it was judged.")
        except ModerationError as error:
            return error
        return Verdict(
            target=conversation.target,
            severity=finding.severity,
            categories=finding.categories,
            refusal=None,
            scores=finding.scores,
            engine=self.name,
            model=self.model,
        )

    def _asked(self, body: dict[str, object], deadline: Deadline) -> Answer:
        timeout_s = min(self.timeout_s, deadline.remaining_s())
        if timeout_s <= 0:
            raise DeadlineExceeded("The guard did not answer in time.")
        return read_answer(self.client.chat(body, timeout_s=timeout_s))


def guard_engine(
    named: str, *, model: str | None, api_key: Secret | None, in_flight: int, timeout_s: float
) -> GuardEngine:
    """The engine for `NAME=URL`. Raises ConfigurationError for another shape, and for a guard that is not known."""
    name, _, url = named.partition("=")
    guard = GUARDS.get(name)
    if guard is None:
        raise ConfigurationError(f"--guard: {name!r} is no guard that is known; there are {', '.join(GUARDS)}.")
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(f"--guard: give its address too, such as {name}=http://127.0.0.1:8000.")
    client = Client(
        url.rstrip("/").removesuffix("/v1"),
        api_key=api_key,
        pool_size=in_flight,
        connect_timeout_s=_CONNECT_TIMEOUT_S,
    )
    return GuardEngine(guard, client, timeout_s, model)
