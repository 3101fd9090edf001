"""
title: Moderation guard
author: moderation_service
description: Checks prompts and streamed answers with a moderation service before they are passed on. Fails closed.
version: 1.0.0
license: Apache-2.0
required_open_webui_version: 0.12.0

Paste it in Admin Panel > Functions, switch it on, make it global, and set guard_url and api_key in its valves.
docs/open-webui.md of the moderation service says what it can and cannot stop.
"""
# It is one file because Open WebUI takes a function as one pasted text, and can't import anything beside it.
# One instance serves all users at once, so nothing about a request may be kept in it: see `Exchange`. What the hooks
# `stream` and `outlet` raise is swallowed by Open WebUI and the text passes, so they catch everything and replace it.

import asyncio
import logging
import re
from collections.abc import Mapping
from typing import Any, Literal

import aiohttp
from pydantic import BaseModel, Field

log = logging.getLogger("moderation_guard")

UNCHECKED = {
    "en": "The safety check is not available right now. Please try again later.",
    "zh": "安全检查暂时不可用，请稍后再试。",
    "ja": "安全性の確認を現在行えません。しばらくしてからもう一度お試しください。",
    "ko": "지금은 안전 검사를 할 수 없습니다. 잠시 후 다시 시도해 주세요.",
    "pt": "A verificação de segurança não está disponível no momento. Tente novamente mais tarde.",
    "es": "La comprobación de seguridad no está disponible en este momento. Inténtelo de nuevo más tarde.",
    "fr": "Le contrôle de sécurité est momentanément indisponible. Veuillez réessayer plus tard.",
    "de": "Die Sicherheitsprüfung ist gerade nicht verfügbar. Bitte später noch einmal versuchen.",
}
"""Shown when there is no verdict. The message for a blocked text comes from the service."""
UNSTREAMED = 'Answers can only be checked while they are streamed. Send "stream": true.'

REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking")
"""Names of one and the same thing; some providers send two of them."""
TEXT_FIELDS = (*REASONING_FIELDS, "refusal", "content")
PART_FIELDS = ("text", "refusal", "thinking")
"""Of a chat completion's delta, in the order in which they are shown."""
OTHER_FIELDS = ("role", "function_call", "annotations", "images")
"""Passed on as they are. Anything else in a delta may repeat the text (logprobs, reasoning_details) and is left out."""
UNTOLD_DELTAS = ("function_call_arguments.delta", "mcp_call_arguments.delta", "audio.delta", "output_audio.delta")
"""Deltas of the Responses API that are no text for people. Kinds not named here are taken for text."""
SENTENCE_ENDS = (
    "\u0589\u061d-\u061f\u06d4\u0700-\u0702\u07f9\u0837\u0839\u083d\u083e\u0964\u0965\u0f0d-\u0f12\u104a\u104b\u1362"
    "\u1367\u1368\u166e\u1735\u1736\u17d4\u17d5\u1803\u1809\u1944\u1945\u1aa8-\u1aab\u1b5a\u1b5b\u1b5e\u1b5f\u1c3b"
    "\u1c3c\u1c7e\u1c7f\u203c\u203d\u2047-\u2049\u2e2e\u2e3c\u3002\ua4ff\ua60e\ua60f\ua6f3\ua6f7\ua876\ua877\ua8ce"
    "\ua8cf\ua92f\ua9c8\ua9c9\uaa5d-\uaa5f\uaaf0\uaaf1\uabeb\ufe52\ufe56\ufe57\uff01\uff0e\uff1f\uff61"
)
PAUSES = (
    "\u055d\u060c\u061b\u07f8\u1361\u1363-\u1366\u1802\u1804\u1808\u3001\ua60d\ua6f4-\ua6f6\ufe10\ufe11\ufe13\ufe14"
    "\ufe50\ufe51\ufe54\ufe55\uff0c\uff1a\uff1b\uff64"
)
BOUNDARY = re.compile(
    r"[\n\r\x0b\x0c\x85\u2028\u2029]"
    rf"|[{SENTENCE_ENDS}{PAUSES}]"
    r"""|[.!?\u2026:;][.!?\u2026"'\u2019\u201d\u00bb)\]}*_`]{0,8}\s"""
    r"|(?<=[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff])\s"
)
"""Where a sentence, a phrase or a line ends, in any script, so that no word is cut there."""
WORD_CHARS = 16
"""Without such an end or a space a text is judged in full, and shown but for so many characters: a word may be in them
whose end is still to come."""
CONTEXT_TURNS = 16
CONTEXT_CHARS = 20_000
"""Of the turns before a judged text so many, the newest, go along; what is older was judged when it was new."""
PROMPT_CHARS = 4000
"""Most of the user's text that goes along with each piece of the answer; it has been judged in full before."""
WHOLE_CHARS = 16_000
"""Most text before a piece that goes along when the answer has doubled, and at its end."""
RESPONSES = "responses"
"""Stands for the choice where there is only one, as in the Responses API."""
NO_VERDICT = {
    "overloaded", "internal_error", "engine_error", "engine_answer_invalid", "engine_unavailable", "deadline_exceeded",
}  # fmt: skip
QUIET_FIELDS = frozenset(
    {"model", "messages", "stream", "stream_options", "metadata", "files", "features", "tool_ids", "tool_servers"}
    | {"tools", "functions", "tool_choice", "response_format", "stop", "user", "options", "session_id", "chat_id", "id"}
    | {"parent_id", "parent_message", "background_tasks", "model_item", "filter_ids", "folder_id", "skill_ids"}
    | {"terminal_id", "logit_bias", "variables", "params"}
)
"""Fields of a request that no model reads, that Open WebUI takes out, or that the application writes."""
QUIET_IN_MESSAGE = frozenset(
    {"role", "content", "id", "parentId", "childrenIds", "timestamp", "models", "model", "files"}
)
OF_THE_MODEL = frozenset(
    {"tool_calls", "function_call", "output", "annotations", "sources", "usage", *REASONING_FIELDS}
)
OTHER_PROMPTS = ("prompt", "input", "documents", "chat_template", "prompt_embeds", "prompt_token_ids")
"""By these some servers take another prompt than the messages; only clients that write requests themselves do."""
WORDS = re.compile(r"[!-~]{0,32}( [!-~]{0,32})?")
"""One or two words, as a name, a date or an option has, say nothing by themselves."""
LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,3}")


class Unavailable(Exception):
    """No verdict could be had; the valve `when_unavailable` decides."""


class Refused(Exception):
    """The service does not accept what it was asked: a wrong key, an unknown policy, a text over its limits.

    It always blocks: a user could bring it about on purpose.
    """


class Channel:
    """One text that grows: what is held back, and the end of what was shown."""

    def __init__(self, context: str = "") -> None:
        self.held = ""
        self.before = context
        self.parts: list[str] = []
        self.size = 0
        self.kept = 0
        self.whole_at = 0

    def cut(self, valves: "Filter.Valves", *, is_end: bool) -> tuple[str, int]:
        """What to judge next, empty to wait for more; and how many of its last characters are not to be shown yet."""
        if is_end:
            return self.held, 0
        least = valves.piece_chars if self.size else min(40, valves.piece_chars)
        if len(self.held) < least or len(self.held) <= self.kept:
            return "", 0
        ends = [match.end() for match in BOUNDARY.finditer(self.held) if match.end() >= least]
        if not ends and len(self.held) >= valves.hold_chars:
            ends = [match.end() for match in re.finditer(r"\s", self.held) if match.end() >= least]
            if not ends:
                return self.held, min(WORD_CHARS, len(self.held) // 2)
        return self.held[: ends[-1]] if ends else "", 0

    def context(self, piece: str, valves: "Filter.Valves", *, is_end: bool) -> str:
        """The text that goes along with a piece, so that what is harmful only as a whole is seen.

        It is short, but for when the answer has doubled and at its end: so the cost stays linear in the answer.
        """
        size = self.size + len(piece)
        if is_end or size >= self.whole_at:
            self.whole_at = 2 * max(size, valves.context_chars)
            return self.before
        return self.before[-valves.context_chars :] if valves.context_chars else ""

    def show(self, piece: str, kept: int) -> None:
        self.kept = kept
        self.held = self.held[len(piece) :]
        self.parts.append(piece)
        self.size += len(piece)
        # Copying it each time would be quadratic if it were not bounded.
        self.before = (self.before + piece)[-WHOLE_CHARS:]


class Exchange:
    """One question and its answer. It is kept with the request and goes away with it."""

    def __init__(self) -> None:
        self.turns: list[dict[str, str]] = []
        self.system = ""
        self.judged: set[str] = set()
        self.channels: dict[Any, Channel] = {}
        self.cleared: set[str] = set()
        self.blocked: dict[Any, str] = {}
        self.calls: dict[Any, list] = {}
        self.begun = ""
        self.streamed = False
        self.given_up = False

    def channel(self, *key: Any) -> Channel:
        if key not in self.channels:
            # The beginning of an answer that the model goes on with is context for the rest.
            self.channels[key] = Channel(self.begun if key[-1] == "content" or key[0] == RESPONSES else "")
        return self.channels[key]

    def shown(self, choice: Any) -> str:
        return "".join("".join(one.parts) for key, one in self.channels.items() if key[0] == choice)


class Filter:
    class Valves(BaseModel):
        priority: int = Field(1000, description="Filters run in this order. The guard should be the last, so high.")
        guard_url: str = Field("http://127.0.0.1:8787", description="Address of the moderation service.")
        api_key: str = Field(
            "", description="One of the service's API keys.", json_schema_extra={"input": {"type": "password"}}
        )
        policy: str = Field("", description="Policy of the service; empty for its default.")
        timeout_s: float = Field(10.0, gt=0, le=120, description="Longest wait for one check, in seconds.")
        when_unavailable: Literal["block", "allow"] = Field(
            "block", description="When no verdict can be had: block, or let the text pass unchecked."
        )
        check_prompts: bool = Field(True, description="Judge what users write.")
        check_added_text: bool = Field(
            True, description="Also judge what comes in later: documents, search results, memories, results of tools."
        )
        check_answers: bool = Field(True, description="Judge answers, and hold them back until they are judged.")
        unstreamed: Literal["protect", "allow"] = Field(
            "protect",
            description="Answers that are not streamed can't be withheld. protect: stream them in the browser and "
            "refuse them to API clients. allow: show them, and replace them afterwards in the browser.",
        )
        piece_chars: int = Field(120, ge=1, description="Answers are judged in pieces of at least so many characters.")
        hold_chars: int = Field(400, ge=1, description="Where no sentence ends, a piece is judged at this size.")
        context_chars: int = Field(400, ge=0, le=8000, description="Shown text that is judged along with each piece.")

    def __init__(self) -> None:
        self.valves = self.Valves()
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    # The hooks. Open WebUI injects what is named here; which of it exists depends on hook and kind of chat.

    async def inlet(
        self, body: dict, __metadata__: Any = None, __request__: Any = None, __event_emitter__: Any = None
    ) -> dict:
        call = Call(self, __metadata__, __request__, __event_emitter__)
        if self.valves.check_answers and self.valves.unstreamed == "protect" and not body.get("stream"):
            if not call.is_browser:
                raise Exception(UNSTREAMED)
            body["stream"] = True
        if self.valves.check_prompts:
            await call.check_prompt(body["messages"], beside=beside_messages(body, call.metadata))
            call.exchange.system = system_of(turns_of(body["messages"]))
        return body

    async def request(
        self, body: dict, __metadata__: Any = None, __request__: Any = None, __event_emitter__: Any = None
    ) -> dict:
        """Sees what the model will really get, and runs again for each round of tools."""
        call = Call(self, __metadata__, __request__, __event_emitter__)
        if self.valves.check_prompts and self.valves.check_added_text:
            await call.check_prompt(body["messages"], beside=None)
        else:
            call.remember(body["messages"])
        return body

    async def stream(
        self, event: dict, __metadata__: Any = None, __request__: Any = None, __event_emitter__: Any = None
    ) -> dict:
        if not self.valves.check_answers or not isinstance(event, dict):
            return event
        call = Call(self, __metadata__, __request__, __event_emitter__)
        try:
            return await Answer(call).hold(event)
        except Exception as error:
            # Not the error itself: it may quote the text.
            log.error("moderation guard: %s in the stream hook", type(error).__name__)
            return Answer(call).fail(event)

    async def outlet(
        self, body: dict, __metadata__: Any = None, __request__: Any = None, __event_emitter__: Any = None
    ) -> dict:
        """For answers that did not pass through `stream`; they have been shown already, and are replaced."""
        call = Call(self, __metadata__, __request__, __event_emitter__)
        if not self.valves.check_answers or call.exchange.streamed:
            return body
        try:
            blocked = await call.check_finished(body["messages"])
        except Exception as error:
            log.error("moderation guard: %s in the outlet hook", type(error).__name__)
            blocked = call.unchecked()
        if blocked is not None:
            replace_answer(body["messages"][-1], blocked)
        return body

    # The service.

    async def ask(self, inputs: list[dict], metadata: dict, language: str | None) -> list[dict]:
        """The decisions on these inputs, in order. Raises Unavailable or Refused; takes `timeout_s` at the longest."""
        body: dict[str, Any] = {"inputs": inputs, "metadata": metadata}
        if self.valves.policy:
            body["policy"] = self.valves.policy
        headers = {"Accept-Language": language} if language else {}
        if self.valves.api_key:
            headers["Authorization"] = f"Bearer {self.valves.api_key}"
        try:
            async with asyncio.timeout(self.valves.timeout_s):
                status, reply = await self._post(body, headers)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unavailable(type(error).__name__) from None
        if 400 <= status < 500 and status != 429:
            raise Refused(f"HTTP {status}")
        results = reply.get("results") if status == 200 and isinstance(reply, dict) else None
        if not isinstance(results, list) or len(results) != len(inputs):
            raise Unavailable(f"HTTP {status}")
        for result in results:
            if not isinstance(result, dict):
                raise Unavailable("no decision")
            if "error" in result:
                kind = result["error"].get("type") if isinstance(result["error"], dict) else None
                raise Unavailable(str(kind)) if kind in NO_VERDICT else Refused(str(kind))
        return results

    async def _post(self, body: dict, headers: dict[str, str]) -> tuple[int, Any]:
        url = self.valves.guard_url.rstrip("/") + "/moderate"
        for attempt in (1, 2):
            try:
                async with self._client().post(url, json=body, headers=headers, allow_redirects=False) as reply:
                    return reply.status, await reply.json() if reply.status == 200 else None
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                # A kept connection that the service has just closed; asking again changes nothing there.
                if attempt == 2:
                    raise
        raise AssertionError("unreachable")

    def _client(self) -> aiohttp.ClientSession:
        """One session for all checks, made on the loop that uses it."""
        loop = asyncio.get_running_loop()
        if self._session is None or self._session.closed or self._loop is not loop:
            # Shorter than the service keeps idle connections; no proxy, whatever the environment says.
            connector = aiohttp.TCPConnector(limit=100, keepalive_timeout=15)
            self._session, self._loop = aiohttp.ClientSession(connector=connector, trust_env=False), loop
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


class Call:
    """One call of a hook: whose it is, and how its texts are decided."""

    def __init__(self, guard: Filter, metadata: Any, request: Any, emitter: Any) -> None:
        self.guard, self.emitter = guard, emitter
        self.metadata: Mapping[str, Any] = metadata if isinstance(metadata, Mapping) else {}
        self.message_id = self.metadata.get("message_id") or ""
        # An API call has no message id, and a chat with several models has one request: only both together tell
        # answers apart, and the guard those of two guards. Without a request nothing can be kept, and each event is
        # judged by itself.
        state = getattr(request, "state", None)
        self.is_kept = state is not None
        exchanges = {}
        if state is not None:
            exchanges = getattr(state, "moderation_guard", None) or {}
            state.moderation_guard = exchanges
        self.exchange: Exchange = exchanges.setdefault((id(guard), self.message_id), Exchange())

    @property
    def is_browser(self) -> bool:
        """Whether the answer goes into a chat of Open WebUI's, by events; else it goes to an API client."""
        return bool(self.metadata.get("chat_id") and self.message_id)

    @property
    def language(self) -> str | None:
        tag = (self.metadata.get("variables") or {}).get("{{USER_LANGUAGE}}")
        return tag if isinstance(tag, str) and LANGUAGE.fullmatch(tag) else None

    def unchecked(self) -> str:
        return UNCHECKED.get((self.language or "en").lower().partition("-")[0], UNCHECKED["en"])

    def remember(self, messages: list[dict]) -> None:
        """Keep what an answer is judged with: the user's newest text, and what the model is to go on with."""
        is_begun = bool(messages) and messages[-1].get("role") == "assistant"
        self.exchange.begun = text_of(messages[-1].get("content")) if is_begun else ""
        written = [text_of(one.get("content")) for one in messages if one.get("role") == "user"]
        text = next((text for text in reversed(written) if text.strip()), "")
        if len(text) > PROMPT_CHARS:
            text = text[: PROMPT_CHARS // 2] + "\n" + text[-PROMPT_CHARS // 2 :]
        self.exchange.turns = [{"role": "user", "content": text}]

    async def check_prompt(self, messages: Any, *, beside: str | None) -> None:
        """Raise with the message for the user when what they wrote is blocked.

        `beside` is what the request says outside of its messages; None for what the model will really get. Then of
        system prompts only that is judged which Open WebUI has put into them since, such as documents and memories.
        """
        self.remember(messages)
        turns = turns_of(messages)
        system = system_of(turns) if beside is not None else added_to(self.exchange.system, system_of(turns))
        alone = [[{"role": "user", "content": text}] for text in (system, beside or "") if text.strip()]
        inputs = []
        for judged in (*alone, *prompts_of(turns)):
            text = judged[-1]["role"] + judged[-1]["content"]
            if text not in self.exchange.judged:
                self.exchange.judged.add(text)
                inputs.append({"messages": judged})
        blocked = await self.decide(inputs) if inputs else None
        if blocked is not None:
            raise Exception(blocked)

    async def check_finished(self, messages: Any) -> str | None:
        """The message to show in place of the last answer, None if it may stay."""
        last = messages[-1]
        if last.get("role") != "assistant":
            return None
        texts = [text_of(last.get("content")), *output_texts(last.get("output"))]
        answer = "\n".join(dict.fromkeys(text for text in texts if text.strip()))
        if not answer:
            return None
        return await self.decide([{"messages": conversation(turns_of(messages[:-1]), "assistant", answer)}])

    async def check_piece(self, text: str) -> str | None:
        """The message to show in place of the rest of the answer, None if this text may be shown."""
        if not text.strip() or self.exchange.given_up:
            return None
        return await self.decide([{"messages": [*self.exchange.turns, {"role": "assistant", "content": text}]}])

    async def decide(self, inputs: list[dict]) -> str | None:
        """The message to show when one of the inputs is blocked, None when all may pass."""
        ids = {"open_webui_chat": self.metadata.get("chat_id"), "open_webui_message": self.message_id}
        ids["open_webui_user"] = self.metadata.get("user_id")
        audit = {name: value for name, value in ids.items() if isinstance(value, str) and 0 < len(value) <= 64}
        try:
            decisions = await self.guard.ask(inputs, audit, self.language)
        except Refused as error:
            log.error("moderation guard: the service refused a check: %s", error)
            return self.unchecked()
        except Unavailable as error:
            log.error("moderation guard: no verdict: %s", error)
            if self.guard.valves.when_unavailable == "block":
                return self.unchecked()
            # Asking again for every piece would make the reader wait for every one.
            self.exchange.given_up = True
            await self._tell("Not checked: the moderation service is not available.")
            return None
        for decision in decisions:
            if decision.get("allowed") is not True:
                return str(decision.get("message") or self.unchecked())
        return None

    async def _tell(self, text: str) -> None:
        if self.emitter:
            await self.emitter({"type": "status", "data": {"description": text, "done": True}})


class Answer:
    """Events of one streamed answer, with the text held back in them until it is judged."""

    def __init__(self, call: Call) -> None:
        self.call, self.exchange, self.valves = call, call.exchange, call.guard.valves

    async def hold(self, event: dict) -> dict:
        """The event with the text in it that may be shown by now."""
        kind = event.get("type")
        if isinstance(kind, str) and kind.startswith("response."):
            self.exchange.streamed = True
            return await self._response_event(event, kind.removeprefix("response."))
        if not event.get("choices"):
            return event
        self.exchange.streamed = True
        return {**event, "choices": [await self._choice(choice) for choice in event["choices"]]}

    def fail(self, event: dict) -> dict:
        """For an event that broke the hook: nothing of this answer is shown any more."""
        message = self.call.unchecked()
        self.exchange.streamed = True
        if isinstance(event.get("type"), str):
            self.exchange.blocked[RESPONSES] = message
            return {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": message}
        choices = event.get("choices")
        indexes = (
            [one.get("index") or 0 for one in choices if isinstance(one, dict)] if isinstance(choices, list) else []
        )
        fresh = [index for index in indexes or [0] if index not in self.exchange.blocked]
        self.exchange.blocked.update(dict.fromkeys(fresh, message))
        return {
            "object": "chat.completion.chunk",
            "choices": [{"index": index, "delta": {"content": message}, "finish_reason": None} for index in fresh],
        }

    async def _release(self, key: tuple, text: str, *, is_end: bool) -> tuple[str, str | None]:
        """What of a channel may be shown now, and the message if the rest of it is blocked."""
        channel, shown = self.exchange.channel(*key), ""
        channel.held += text
        is_end = is_end or not self.call.is_kept
        while (cut := channel.cut(self.valves, is_end=is_end))[0]:
            piece, kept = cut
            context = channel.context(piece, self.valves, is_end=is_end)
            blocked = await self.call.check_piece(context + piece)
            if blocked is not None:
                channel.held = ""
                return shown, blocked
            piece = piece[: len(piece) - kept]
            channel.show(piece, kept)
            shown += piece
        return shown, None

    def _block(self, choice: Any, message: str) -> str:
        """Mark the choice, and return the message, set off from what was shown before it."""
        text = f"\n\n{message}" if self.exchange.shown(choice) else message
        self.exchange.blocked[choice] = text
        return text

    # Chat completions.

    async def _choice(self, choice: dict) -> dict:
        index, delta, end = choice.get("index") or 0, choice.get("delta") or {}, choice.get("finish_reason")
        if index in self.exchange.blocked:
            return {"index": index, "delta": {}, "finish_reason": "content_filter" if end else None}
        texts = {field: text for field in TEXT_FIELDS if (text := text_of(delta.get(field)))}
        for field in [field for field in REASONING_FIELDS if field in texts][1:]:
            del texts[field]
        calls = self.exchange.calls.pop(index, []) + (delta.get("tool_calls") or [])
        kept = {field: delta[field] for field in OTHER_FIELDS if field in delta}
        for field in TEXT_FIELDS:
            # What is held in one field is shown before another begins, and before a call of tools.
            is_end = bool(end or calls or delta.get("function_call") or texts.keys() - {field})
            shown, blocked = await self._release((index, field), texts.get(field, ""), is_end=is_end)
            if shown:
                kept[field] = shown
            if blocked is not None:
                # Calls of tools go no further either, so that no tool runs for a blocked answer.
                kept = {name: kept[name] for name in TEXT_FIELDS if name in kept}
                kept["content"] = kept.get("content", "") + self._block(index, blocked)
                return {"index": index, "delta": kept, "finish_reason": "content_filter" if end else None}
        if calls and kept.keys() & set(TEXT_FIELDS) and not end:
            # Open WebUI shows a call before the text of the same event, so it waits for the next.
            self.exchange.calls[index] = calls
        elif calls:
            kept["tool_calls"] = calls
        return {"index": index, "delta": kept, "finish_reason": end}

    # The Responses API.

    async def _response_event(self, event: dict, kind: str) -> dict:
        if RESPONSES in self.exchange.blocked:
            return self._after_block(event, kind)
        if kind.endswith(".delta") and isinstance(event.get("delta"), str) and kind not in UNTOLD_DELTAS:
            key = (RESPONSES, kind, event.get("output_index"), event.get("content_index"), event.get("summary_index"))
            shown, blocked = await self._release(key, event["delta"], is_end=False)
            if blocked is not None:
                shown += self._block(RESPONSES, blocked)
            return {**{name: value for name, value in event.items() if name != "logprobs"}, "delta": shown}
        for text in response_texts(event):
            # Mostly what was in the deltas; it has what is still held, and it is judged as a whole once.
            if text.strip() in self.exchange.cleared:
                continue
            blocked = await self.call.check_piece(text)
            if blocked is not None:
                place = {name: event[name] for name in ("item_id", "output_index", "content_index") if name in event}
                message = self._block(RESPONSES, blocked)
                if "response" in event:
                    return self._after_block(event, kind)
                return {"type": "response.output_text.delta", **place, "delta": message}
            self.exchange.cleared.add(text.strip())
        return event

    def _after_block(self, event: dict, kind: str) -> dict:
        """An event after the block, with nothing in it; the last one repeats the output, so it gets another."""
        if "response" not in event or kind not in ("completed", "incomplete", "failed"):
            return {"type": "response.in_progress"}
        text = self.exchange.shown(RESPONSES) + self.exchange.blocked[RESPONSES]
        item = {"type": "message", "id": "msg_moderation", "status": "incomplete", "role": "assistant"}
        output = [{**item, "content": [{"type": "output_text", "text": text, "annotations": []}]}]
        return {**event, "response": {**event["response"], "output": output}}


# Messages, as the service is to judge them.


def text_of(content: Any) -> str:
    """The text of a message: a string, or the text parts of a list. Images, audio and files are not judged."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise TypeError("content is neither a text nor a list of parts")
    texts = []
    for part in content:
        # Which of several texts a model's server reads, nobody here knows.
        texts += [part.get(field) for field in PART_FIELDS] if isinstance(part, dict) else [part]
    return "\n".join(text for text in texts if isinstance(text, str))


def turns_of(messages: list[dict]) -> list[dict[str, str]]:
    """Role and text of each message; whoever is neither assistant nor system counts as the user, tools too."""
    roles = {"assistant": "assistant", "system": "system", "developer": "system"}
    return [{"role": roles.get(one.get("role"), "user"), "content": text_of(one.get("content"))} for one in messages]


def conversation(before: list[dict[str, str]], role: str, text: str) -> list[dict[str, str]]:
    """`text` as the turn to judge, with the newest turns before it as context."""
    spoken = [turn for turn in before if turn["role"] != "system" and turn["content"].strip()][-CONTEXT_TURNS:]
    while spoken and sum(len(turn["content"]) for turn in spoken) > CONTEXT_CHARS:
        del spoken[0]
    return [*spoken, {"role": role, "content": text}]


def system_of(turns: list[dict[str, str]]) -> str:
    return "\n".join(turn["content"] for turn in turns if turn["role"] == "system")


def added_to(before: str, now: str) -> str:
    """What a text has more than it had."""
    return now.replace(before, "\n", 1) if before.strip() else now


def beside_messages(body: dict, metadata: Mapping[str, Any]) -> str:
    """What a request says elsewhere than in its messages' contents, and a model may read: all of it as one text."""
    for name in OTHER_PROMPTS:
        if body.get(name) is not None:
            raise Exception(f"{name} can't be judged and is not let through.")
    found = [text for key, value in body.items() if key not in QUIET_FIELDS for text in strings_in(value)]
    for message in body["messages"]:
        quiet = QUIET_IN_MESSAGE | (OF_THE_MODEL if message.get("role") == "assistant" else frozenset())
        found += [text for key, value in message.items() if key not in quiet for text in strings_in(value)]
    # They are put into system prompts, and an API client writes them itself.
    found += strings_in(list((metadata.get("variables") or {}).values()))
    return "\n".join(text for text in found if not WORDS.fullmatch(text.strip()))


def strings_in(value: Any) -> list[str]:
    """Every string in a value, and the names of its fields."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in (str(key), *strings_in(item))]
    return [text for item in value for text in strings_in(item)] if isinstance(value, list) else []


def prompts_of(turns: list[dict[str, str]]) -> list[list[dict[str, str]]]:
    """What to judge before the model is asked: conversations whose last turn is judged.

    All that was written since the last answer is one text, so that nothing hides in a message before the last. An
    answer at the very end, which the model is to go on with, is judged as an answer: over the API the user writes it.
    """
    found = []
    # An answer without text, such as one that only calls tools, does not part what stands around it.
    spoken = [
        turn for turn in turns if turn["role"] == "user" or (turn["role"] == "assistant" and turn["content"].strip())
    ]
    end = len(spoken)
    while end and spoken[end - 1]["role"] == "assistant":
        end -= 1
    start = end
    while start and spoken[start - 1]["role"] != "assistant":
        start -= 1
    written = "\n".join(turn["content"] for turn in spoken[start:end] if turn["content"])
    if written.strip():
        found.append(conversation(spoken[:start], "user", written))
    begun = "\n".join(turn["content"] for turn in spoken[end:] if turn["content"])
    if begun.strip():
        found.append(conversation([*spoken[:start], {"role": "user", "content": written}], "assistant", begun))
    return found


def output_texts(output: Any) -> list[str]:
    """The texts of a message's output items, reasoning included."""
    items = [item for item in output if isinstance(item, dict)] if isinstance(output, list) else []
    parts = [part for item in items for key in ("content", "summary") for part in item.get(key) or []]
    texts = [part.get("text") or part.get("refusal") for part in parts if isinstance(part, dict)]
    return [text for text in texts if isinstance(text, str) and text.strip()]


def response_texts(event: dict) -> list[str]:
    """The texts that an event of the Responses API repeats, or says for the first time."""
    texts = [event.get("text"), event.get("refusal")]
    part, item, response = event.get("part"), event.get("item"), event.get("response")
    if isinstance(part, dict):
        texts += [part.get("text"), part.get("refusal")]
    texts += output_texts([item])
    if isinstance(response, dict):
        texts += output_texts(response.get("output"))
    return [text for text in texts if isinstance(text, str) and text.strip()]


def replace_answer(message: dict, text: str) -> None:
    """Put another text in place of an answer, and of its output, which repeats it and would stay in the chat."""
    message["content"] = text
    if message.get("output"):
        item = {"type": "message", "id": "msg_moderation", "status": "completed", "role": "assistant"}
        message["output"] = [{**item, "content": [{"type": "output_text", "text": text}]}]
