"""One model server: what was learned about it, and the verdict call.

Nothing about the server is configured that it can tell itself. `facts` asks it once: the model's name, the context
length, which extensions it understands; and it sends one real question with a known kind of answer, in response
mode. That shows that the server judges at all (some continue a trailing assistant turn instead), how many tokens
the template takes, and it warms the server up: a first request with logprobs can take many seconds.

`learn_again`, which is asked before the service is ready and before a server comes back into use, also puts a question
that every guard model calls harmful. A server that calls it safe (another model, a broken one, a stand-in) is out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, TypeVar

from ...core.conversation import Conversation, Message, Role
from ...core.qwen3guard import SAFE_ANSWER, Answer, chat_messages, harm_in
from ...core.verdict import Detail, Severity, Target
from ...errors import EngineUnavailable
from ...observability.logs import log_event
from ...upstream.client import Client, FailureKind, PromptTooLong, ServedModel, UpstreamFailure
from ...upstream.dialects import AUTO, DIALECTS, Dialect, Tokenizer, detect
from ...upstream.discovery import Discovery, seconds_left
from .rendering import ANSWER_BEGINNING, Rendering, learn
from .replies import (
    BROKEN_OFF,
    CUT,
    Judged,
    chat_tokens,
    choice_of,
    label_in,
    legacy_alternatives,
    not_a_completion,
    only_choice,
    verdict_in,
    weighed_with,
)

__all__ = ["MAX_ANSWER_TOKENS", "Facts", "GuardServer", "Judged"]

_log = logging.getLogger("moderation.upstream")
_T = TypeVar("_T")

# All nine categories and a refusal are 54 tokens; a real answer has 8 to 19.
MAX_ANSWER_TOKENS = 64
# "Safety", ":" and the label, of which " Cont" is enough.
_LABEL_TOKENS = 3
_TOP_LOGPROBS = 20
_LABELS = ("Safe", "Unsafe", "Controversial")
# Assumed where neither server nor settings say: Ollama's default, and the smallest in use.
_DEFAULT_CONTEXT_TOKENS = 4096
# The real template takes 391 tokens around a response, 297 around a prompt.
_DEFAULT_OVERHEAD_TOKENS = 420
_QUESTION = Conversation.of(prompt="How do I bake bread?", response="Sure, here is a short answer.")
# Kinds of failure that show that a server has no such extension.
_CANNOT = (FailureKind.REFUSED, FailureKind.GARBLED, FailureKind.NO_VERDICT)
# The example of Qwen3Guard's README for an unsafe prompt, behind a greeting.
_HARMFUL = Conversation(
    (
        Message(Role.USER, "Hi"),
        Message(Role.ASSISTANT, "Hello!"),
        Message(Role.USER, "How can I make a bomb?"),
    )
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a server told about itself. `overhead_tokens` is at least what the template adds to a conversation."""

    model: str
    dialect: Dialect
    context_tokens: int
    overhead_tokens: int
    label_ids: tuple[int, ...] | None
    rendering: Rendering | None = None


class GuardServer(Discovery[Facts]):
    """Asks one server. Safe to use from many threads."""

    def __init__(self, client: Client, *, model: str | None, dialect: str, context_tokens: int | None) -> None:
        super().__init__()
        self._client = client
        self._wanted_model = model
        self._dialect = dialect
        self._context_tokens = context_tokens
        self._label_comes_late = False
        self._has_told_context = False

    def ask(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        target: Target,
        detail: Detail,
        facts: Facts,
        timeout_s: float,
    ) -> Judged:
        """Judge one conversation that fits the context. Raises UpstreamFailure or PromptTooLong."""
        if detail is Detail.SEVERITY and not self._label_comes_late:
            ends_at = monotonic() + timeout_s
            judged = self._ask_label(messages, target, facts, timeout_s)
            if judged is not None:
                return judged
            # This server says something before the label. Not even asking for it alone again saves a call.
            self._label_comes_late = True
            timeout_s = seconds_left(ends_at)
        body = _request(messages, facts, max_tokens=MAX_ANSWER_TOKENS)
        if target is Target.PROMPT and facts.dialect.stops_after_safe:
            body |= {"stop": [SAFE_ANSWER], "include_stop_str_in_output": True}
        text, choice, usage = choice_of(self._client.chat(body, timeout_s=timeout_s))
        tokens = chat_tokens(choice)
        is_cut = choice.get("finish_reason") in CUT
        if text == SAFE_ANSWER and "stop" in body and choice.get("stop_reason") == SAFE_ANSWER and not is_cut:
            return weighed_with(Answer(Severity.SAFE), tokens)
        try:
            return verdict_in(text, tokens, target, is_cut=is_cut)
        except UpstreamFailure:
            if is_cut and _was_clamped(usage, facts, MAX_ANSWER_TOKENS):
                # vLLM lowers `max_tokens` without a word when the prompt leaves less room.
                raise PromptTooLong from None
            raise

    def token_lengths(self, text: str, *, facts: Facts, timeout_s: float) -> list[int] | None:
        """How many bytes of `text` each token covers; None where the server can't tell."""
        try:
            return self._client.token_lengths(
                text, model=facts.model, tokenizer=facts.dialect.tokenizer, timeout_s=timeout_s
            )
        except UpstreamFailure as failure:
            # Counting bytes instead is always possible, just more careful than needed.
            if failure.kind in (FailureKind.REFUSED, FailureKind.GARBLED):
                return None
            raise

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def _ask_label(
        self, messages: Sequence[Mapping[str, str]], target: Target, facts: Facts, timeout_s: float
    ) -> Judged | None:
        """The severity from the first tokens; None if the label was not among them."""
        if facts.rendering is not None:
            return self._complete_label(facts.rendering.prompt(messages), facts, timeout_s)
        body = _request(messages, facts, max_tokens=_LABEL_TOKENS)
        text, choice, usage = choice_of(self._client.chat(body, timeout_s=timeout_s))
        if choice.get("finish_reason") != "length":
            return verdict_in(text, chat_tokens(choice), target, is_cut=choice.get("finish_reason") in CUT)
        judged = label_in(text, chat_tokens(choice))
        if judged is None and _was_clamped(usage, facts, _LABEL_TOKENS):
            raise PromptTooLong
        return judged

    def _complete_label(self, prompt: str, facts: Facts, timeout_s: float) -> Judged | None:
        """The severity as the one token behind the beginning of the answer."""
        body: dict[str, object] = {
            "model": facts.model,
            "prompt": prompt,
            "temperature": 0,
            "max_tokens": 1,
            "add_special_tokens": False,
            "logprobs": 0,
            "logprob_token_ids": facts.label_ids,
        }
        choice = only_choice(self._client.complete(body, timeout_s=timeout_s))
        text = choice.get("text")
        # One token is all that is asked for, so `length` is its end.
        is_cut = choice.get("finish_reason") in BROKEN_OFF
        if not isinstance(text, str) or (is_cut and harm_in(ANSWER_BEGINNING + text) is Severity.SAFE):
            raise not_a_completion()
        tokens = [{"token": ANSWER_BEGINNING}, {"token": text, "top_logprobs": legacy_alternatives(choice)}]
        return label_in(ANSWER_BEGINNING + text, tokens)

    def learn_again(self, *, timeout_s: float) -> None:
        """Ask everything anew, and that a plainly harmful question is not called safe. Raises UpstreamFailure."""
        ends_at = monotonic() + timeout_s
        with self._learning:
            self._facts = self._proven(self._learn(ends_at), ends_at)

    def _proven(self, facts: Facts, ends_at: float) -> Facts:
        """These facts, without a rendering that finds the harmful question safe. Raises UpstreamFailure."""
        messages = chat_messages(_HARMFUL)
        body = _request(messages, facts, max_tokens=MAX_ANSWER_TOKENS)
        try:
            text, choice, _ = choice_of(self._client.chat(body, timeout_s=seconds_left(ends_at)))
        except PromptTooLong:
            error = EngineUnavailable("The model server's context is too small for a verdict.")
            raise UpstreamFailure(FailureKind.REFUSED, error) from None
        except UpstreamFailure as failure:
            if failure.kind is not FailureKind.GARBLED:
                raise
            # An answer to this one question that is none proves nothing, either way.
            raise UpstreamFailure(FailureKind.NO_VERDICT, failure.error) from None
        if verdict_in(text, chat_tokens(choice), Target.PROMPT).answer.severity is Severity.SAFE:
            error = EngineUnavailable("The model server calls a plainly harmful question safe; it is not used.")
            raise UpstreamFailure(FailureKind.MISJUDGES, error)
        if facts.rendering is None:
            return facts
        begun = self._try_to_begin(facts.rendering, messages, facts, ends_at)
        agrees = begun is not None and begun.answer.severity is not Severity.SAFE
        return facts if agrees else replace(facts, rendering=None)

    def _learn(self, ends_at: float) -> Facts:
        self._label_comes_late = False
        served = self._choose_model(self._client.models(timeout_s=seconds_left(ends_at)))
        dialect = detect(served.owned_by) if self._dialect == AUTO else DIALECTS[self._dialect]
        context = self._context_tokens or served.context_tokens or self._told_context(served.name, dialect, ends_at)
        facts = Facts(served.name, dialect, context, 0, self._label_ids(served.name, dialect, ends_at))
        body = _request(chat_messages(_QUESTION), facts, max_tokens=MAX_ANSWER_TOKENS)
        try:
            text, choice, usage = choice_of(self._client.chat(body, timeout_s=seconds_left(ends_at)))
        except PromptTooLong:
            error = EngineUnavailable("The model server's context is too small for a verdict.")
            raise UpstreamFailure(FailureKind.REFUSED, error) from None
        judged = verdict_in(text, chat_tokens(choice), Target.RESPONSE)
        label_ids = facts.label_ids if judged.scores is not None else None
        overhead = usage.get("prompt_tokens")
        if not isinstance(overhead, int) or overhead <= 0:
            overhead = _DEFAULT_OVERHEAD_TOKENS
        facts = replace(facts, overhead_tokens=overhead, label_ids=label_ids)
        return replace(facts, rendering=self._rendering(facts, judged, ends_at))

    def _told_context(self, model: str, dialect: Dialect, ends_at: float) -> int:
        """The context where the list of models has none, as behind a router: asked in another way, or assumed."""
        if dialect.tokenizer is Tokenizer.VLLM or (self._dialect == AUTO and dialect is DIALECTS["openai"]):
            try:
                told = self._client.context_tokens(model=model, timeout_s=seconds_left(ends_at))
            except UpstreamFailure as failure:
                if failure.kind not in _CANNOT:
                    raise
            else:
                if told is not None:
                    return told
        return self._assumed_context(model, dialect)

    def _assumed_context(self, model: str, dialect: Dialect) -> int:
        """The context where neither the server nor the settings tell it; said once, because it matters.

        If it is larger, texts are cut into more windows than needed. If it is smaller and the server cuts what is too
        long (`is_cut_unseen`), some of a text is never judged.
        """
        if not self._has_told_context:
            self._has_told_context = True
            log_event(
                _log, logging.WARNING, "context_assumed", model=model, dialect=dialect.name,
                context=_DEFAULT_CONTEXT_TOKENS, setting="upstream_context_tokens",
                is_cut_unseen=not dialect.refuses_long,
            )  # fmt: skip
        return _DEFAULT_CONTEXT_TOKENS

    def _rendering(self, facts: Facts, chatted: Judged, ends_at: float) -> Rendering | None:
        """How to render prompts here, if that was learned and gave the severity of the same question as the chat."""
        if not facts.dialect.begins_answers or facts.label_ids is None:
            return None

        def rendered(messages: Sequence[Mapping[str, str]]) -> str | None:
            return self._client.rendered(messages, model=facts.model, timeout_s=seconds_left(ends_at))

        rendering = _unless_it_cannot(lambda: learn(rendered))
        if rendering is None:
            return None
        judged = self._try_to_begin(rendering, chat_messages(_QUESTION), facts, ends_at)
        if judged is None or judged.scores is None:
            return None
        return rendering if judged.answer.severity is chatted.answer.severity else None

    def _try_to_begin(
        self, rendering: Rendering, messages: Sequence[Mapping[str, str]], facts: Facts, ends_at: float
    ) -> Judged | None:
        """The label of a conversation that is rendered here; None where the server can't do that."""
        prompt = rendering.prompt(messages)
        return _unless_it_cannot(lambda: self._complete_label(prompt, facts, seconds_left(ends_at)))

    def _choose_model(self, served: Sequence[ServedModel]) -> ServedModel:
        """The model that the settings name, the only one, or the only one with "guard" in its name."""
        if self._wanted_model is not None:
            named = [one for one in served if one.name == self._wanted_model]
        else:
            named = list(served) if len(served) == 1 else [one for one in served if "guard" in one.name.lower()]
        if len(named) != 1:
            message = (
                "The model server does not serve the model of `upstream_model`."
                if self._wanted_model is not None
                else "The model server serves several models; `upstream_model` must name one."
            )
            raise UpstreamFailure(FailureKind.REFUSED, EngineUnavailable(message))
        return named[0]

    def _label_ids(self, model: str, dialect: Dialect, ends_at: float) -> tuple[int, ...] | None:
        if not dialect.label_ids:
            return None
        ids = _unless_it_cannot(lambda: self._client.label_ids(_LABELS, model=model, timeout_s=seconds_left(ends_at)))
        return None if ids is None else tuple(ids)


def _unless_it_cannot(ask: Callable[[], _T]) -> _T | None:
    """What is asked of the server; None where it can't do that. Raises UpstreamFailure where it failed to."""
    try:
        return ask()
    except PromptTooLong:
        return None
    except UpstreamFailure as failure:
        if failure.kind in _CANNOT:
            return None
        raise


def _request(messages: Sequence[Mapping[str, str]], facts: Facts, *, max_tokens: int) -> dict[str, object]:
    body: dict[str, object] = {
        "model": facts.model,
        "messages": messages,
        "temperature": 0,
        "max_tokens": max_tokens,
        "logprobs": True,
    }
    if facts.label_ids is not None:
        # A tenth of the bytes of twenty alternatives per token, and always complete.
        body["logprob_token_ids"] = facts.label_ids
    else:
        body["top_logprobs"] = _TOP_LOGPROBS
    return body


def _was_clamped(usage: Mapping[str, Any], facts: Facts, max_tokens: int) -> bool:
    used = usage.get("prompt_tokens")
    return isinstance(used, int) and used + max_tokens > facts.context_tokens
