"""Open WebUI's way of running a filter function, for tests without Open WebUI.

Made after open-webui/open-webui 0.12.4, `utils/plugin.py`, `utils/filter.py` and `utils/middleware.py`: the source is
executed in a module of its own; one instance serves all; its valves are assigned anew before every call; a hook gets
what its parameters name and nothing else; and what it raises ends differently in each hook and kind of chat.
"""

from __future__ import annotations

import copy
import inspect
import json
import types
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Chat", "FilterRunner", "filter_runner"]

Event = dict[str, Any]


@dataclass
class Chat:
    """One request: what Open WebUI knows of it, and what came of it."""

    request: Any = field(default_factory=lambda: types.SimpleNamespace(state=types.SimpleNamespace()))
    message_id: str | None = None
    language: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    refused: str | None = None
    body: dict[str, Any] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    told: list[Event] = field(default_factory=list)

    @property
    def metadata(self) -> dict[str, Any]:
        variables = {"{{USER_LANGUAGE}}": self.language} if self.language else {}
        variables |= self.variables
        chat_id = f"chat-of-{self.message_id}" if self.message_id else ""
        return {"chat_id": chat_id, "message_id": self.message_id, "user_id": "user-1", "variables": variables}

    @property
    def is_browser(self) -> bool:
        return self.message_id is not None

    def text(self, index: int = 0, name: str = "content") -> str:
        """A field of the deltas of one choice, put together."""
        choices = [choice for event in self.events for choice in event.get("choices") or []]
        return "".join(one["delta"].get(name) or "" for one in choices if one["index"] == index)

    def finish(self, index: int = 0) -> str | None:
        choices = [choice for event in self.events for choice in event.get("choices") or []]
        return next((one["finish_reason"] for one in choices if one["index"] == index and one["finish_reason"]), None)

    @property
    def sent(self) -> str:
        """All that went to the client."""
        return json.dumps(self.events)


class FilterRunner:
    """Runs chats through one instance of the function."""

    def __init__(self, source: str, valves: Mapping[str, Any]) -> None:
        module = types.ModuleType("function_moderation_guard")
        # Not with this module's own `from __future__` imports.
        exec(compile(source, "moderation_guard", "exec", dont_inherit=True), module.__dict__)
        self.function = module.Filter()
        self.module = module
        self._valves = valves

    async def call(self, hook: str, payload: Any, chat: Chat) -> Any:
        handler = getattr(self.function, hook, None)
        if not callable(handler):
            return payload
        self.function.valves = self.function.Valves(**self._valves)
        offered = {
            "__id__": "moderation_guard",
            "__metadata__": chat.metadata,
            "__request__": chat.request,
            "__event_emitter__": self._emitter(chat) if chat.is_browser else None,
            "__user__": {"id": "user-1"},
        }
        named = inspect.signature(handler).parameters
        params = {"event" if hook == "stream" else "body": payload}
        params |= {name: value for name, value in offered.items() if name in named}
        return await handler(**params) if inspect.iscoroutinefunction(handler) else handler(**params)

    def _emitter(self, chat: Chat) -> Any:
        async def emit(event: Event) -> None:
            chat.told.append(event)

        return emit

    async def ask(self, chat: Chat, messages: Sequence[Mapping[str, Any]], *, stream: bool = True) -> Chat:
        """The hooks before the model is asked; `refused` is the message if one of them raised."""
        chat.body = {"model": "m", "stream": stream, "messages": copy.deepcopy(list(messages)), **chat.fields}
        await self.ask_again(chat, hooks=("inlet", "request"))
        return chat

    async def ask_again(self, chat: Chat, *, hooks: Sequence[str] = ("request",)) -> None:
        """A further round of tools runs the hook `request` only."""
        try:
            for hook in hooks:
                chat.body = await self.call(hook, chat.body, chat)
        except Exception as error:
            chat.refused = f"{error}"

    async def stream(self, chat: Chat, events: Iterable[Event]) -> Chat:
        """A streamed answer: in a browser a raise loses one event, over the API it cuts the stream."""
        for event in events:
            await self.event(chat, event)
        return chat

    async def event(self, chat: Chat, event: Event) -> None:
        try:
            changed = await self.call("stream", copy.deepcopy(event), chat)
        except Exception:
            if not chat.is_browser:
                raise
            return
        if changed:
            chat.events.append(changed)

    async def finish(self, chat: Chat, message: Mapping[str, Any]) -> dict[str, Any]:
        """The message as it is saved; what the hook raises is swallowed."""
        body = {"messages": [*chat.body["messages"], copy.deepcopy(dict(message))], "chat_id": "c"}
        try:
            body = await self.call("outlet", body, chat)
        except Exception:
            return dict(message)
        return dict(body["messages"][-1])


@asynccontextmanager
async def filter_runner(source: str, **valves: Any) -> AsyncIterator[FilterRunner]:
    runner = FilterRunner(source, valves)
    try:
        yield runner
    finally:
        await runner.function.close()
