"""examples/open-webui/moderation_filter.py in a stand-in of Open WebUI's filter runner, with a service over HTTP."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from apps import keys, make_service
from fake_llm import fake_llm, http
from fakes import FakeEngine
from werkzeug.serving import make_server

from moderation_service.errors import EngineUnavailable, Overloaded
from moderation_service.streaming.growing_answer import BOUNDARY, GrowingAnswer, Pacing
from moderation_service.web import create_app
from moderation_service.wires.unchecked import UNCHECKED_MESSAGES

from .filter_runner import Chat, FilterRunner, filter_runner

ROOT = Path(__file__).parents[2]
SOURCE = (ROOT / "examples" / "open-webui" / "moderation_filter.py").read_text(encoding="utf-8")
RECORDED = json.loads((Path(__file__).parent / "recordings" / "filter_function.json").read_text(encoding="utf-8"))
KEY = "open-webui-tests-key"
REFUSAL = "Sorry, I can't help with that."
UNCHECKED = UNCHECKED_MESSAGES["en"]
RECIPE = "Flour and water make a dough, which wants time. Knead it until it is smooth. Let it rest for an hour. "
HARMFUL = RECIPE * 3 + "Then take the bomb and light it. " + RECIPE
THANKS = [{"role": "user", "content": "thanks"}]


@contextmanager
def serving(engine: FakeEngine, **settings: Any) -> Iterator[str]:
    settings = {"api_keys": keys(KEY), "log_level": "error", "cache_size": 0, **settings}
    app = create_app(service=make_service(engine=engine, **settings))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def url(engine: FakeEngine) -> Iterator[str]:
    with serving(engine) as address:
        yield address


@pytest.fixture
def runner(url: str) -> Callable[..., Any]:
    @asynccontextmanager
    async def make(**valves: Any) -> AsyncIterator[FilterRunner]:
        async with filter_runner(SOURCE, **{"guard_url": url, "api_key": KEY, **valves}) as made:
            yield made

    return make


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def delta(fields: Mapping[str, Any], *, index: int = 0, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": dict(fields), "finish_reason": finish, **more}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def pieces(text: str, sizes: Sequence[int] = (3,)) -> Iterator[str]:
    at, turn = 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        yield text[at : at + size]
        at, turn = at + size, turn + 1


def answer(text: str, sizes: Sequence[int] = (3,), *, index: int = 0) -> list[dict[str, Any]]:
    chunks = [delta({"content": piece}, index=index) for piece in pieces(text, sizes)]
    return [delta({"role": "assistant", "content": ""}, index=index), *chunks, delta({}, index=index, finish="stop")]


def streamed(
    runner: Callable[..., Any], events: Sequence[dict[str, Any]], chat: Chat | None = None, **valves: Any
) -> Chat:
    async def work() -> Chat:
        async with runner(**valves) as made:
            asked = await made.ask(chat or Chat(), THANKS)
            assert asked.refused is None
            return await made.stream(asked, events)

    return run(work())


def asked(
    runner: Callable[..., Any], messages: Any, chat: Chat | None = None, *, stream: bool = True, **valves: Any
) -> Chat:
    async def work() -> Chat:
        async with runner(**valves) as made:
            return await made.ask(chat or Chat(), messages, stream=stream)

    return run(work())


# The function as Open WebUI sees it.


def test_it_installs_nothing_and_can_not_be_switched_off_by_users() -> None:
    front_matter = SOURCE.split('"""')[1]
    assert "requirements:" not in front_matter
    function = FilterRunner(SOURCE, {}).function
    assert not hasattr(function, "toggle")
    assert not hasattr(function, "UserValves")


def test_its_messages_are_those_of_the_service() -> None:
    assert FilterRunner(SOURCE, {}).module.UNCHECKED == UNCHECKED_MESSAGES


@pytest.mark.parametrize("spare", [0, 7])
@pytest.mark.parametrize(
    "alphabet",
    [
        "ab ",
        "面粉和水，、；：。",
        "ab.;:!? )\n",
        "แป้งน้ำ ",
        "خبز ماء،؛؟",
        "आटा पानी।",
        "かな、カナ。",
        "፩፡፣",
        "🍞é\u200b",
    ],
)
def test_it_cuts_an_answer_where_the_service_does(alphabet: str, spare: int) -> None:
    module = FilterRunner(SOURCE, {}).module
    valves = module.Filter.Valves(piece_chars=24, hold_chars=60)
    luck = random.Random(spare)
    for _ in range(50):
        text = "".join(luck.choices(alphabet, k=luck.randint(1, 150)))
        # Sizes are characters there and bytes in the service, so each character is written as one byte here.
        first = len(text[:24].encode())
        channel = module.Channel()
        channel.held, channel.size = text, 1
        piece, kept = channel.cut(valves, is_end=False)
        ends = [match.end() for match in BOUNDARY.finditer(text)]
        assert ends == [match.end() for match in module.BOUNDARY.finditer(text)]
        pacing = Pacing(first_bytes=first, piece_bytes=first, hold_bytes=len(text[:60].encode()), largest_bytes=10**6)
        answer = GrowingAnswer(pacing)
        answer.add(text)
        if len(text) < 24 or (len(text) < 60 and not any(end >= 24 for end in ends)):
            assert piece == ""
            continue
        found = answer.next_piece()
        assert found is not None
        assert (piece, kept) == (found.new, found.kept)


@pytest.mark.parametrize("kind", ["api_streamed", "browser_streamed", "browser_unstreamed"])
def test_what_the_real_product_sent_goes_through_unchanged(runner: Callable[..., Any], kind: str) -> None:
    async def work() -> None:
        async with runner(unstreamed="allow") as made:
            chat = Chat()
            for call in RECORDED[kind]:
                chat.message_id = call["metadata"]["message_id"]
                assert await made.call(call["hook"], call["payload"], chat) == call["payload"]

    if kind == "browser_unstreamed":
        run(work())
        return
    # A stream is held back, so only the text as a whole is the same.
    events = [call["payload"] for call in RECORDED[kind] if call["hook"] == "stream"]
    assert streamed(runner, events).text() == "Echo: hello there"


# Before the model is asked.


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "a bomb"}],
        [{"role": "user", "content": "a bomb"}, {"role": "user", "content": "thanks"}],
        [{"role": "system", "content": "a bomb"}, *THANKS],
        [{"role": "developer", "content": "a bomb"}, *THANKS],
        [
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "a bomb"}],
            }
        ],
        [{"role": "user", "content": [{"type": "refusal", "text": "thanks", "refusal": "a bomb"}]}],
        [*THANKS, {"role": "assistant", "content": "The bomb is"}],
        [*THANKS, {"role": "assistant", "content": None}, {"role": "tool", "content": "a bomb"}],
        [{"role": "user", "content": "a bomb"}, {"role": "assistant", "content": " "}, *THANKS],
        [{"role": "narrator", "content": "a bomb"}, *THANKS],
    ],
)
def test_all_new_text_is_judged(runner: Callable[..., Any], messages: list[dict[str, Any]]) -> None:
    assert asked(runner, messages).refused == REFUSAL


def test_older_turns_are_context_and_are_not_judged_again(runner: Callable[..., Any], engine: FakeEngine) -> None:
    history = [{"role": "user", "content": "a bomb"}, {"role": "assistant", "content": "No."}, *THANKS]
    assert asked(runner, history).refused is None
    assert engine.asked == ["thanks"]


def test_a_long_history_does_not_make_a_chat_unreadable(runner: Callable[..., Any], engine: FakeEngine) -> None:
    history = [{"role": "user", "content": "x" * 9_000}, {"role": "assistant", "content": "y" * 9_000}] * 9
    with serving(engine, max_body_bytes=40_000) as small:
        assert asked(runner, [*history, *THANKS], guard_url=small).refused is None


def test_what_was_judged_in_the_inlet_is_not_judged_again_in_the_request(
    runner: Callable[..., Any], engine: FakeEngine
) -> None:
    asked(runner, [{"role": "system", "content": "Be kind."}, *THANKS])
    assert engine.asked == ["Be kind.", "thanks"]


def test_what_documents_and_tools_add_is_judged_before_the_model_sees_it(runner: Callable[..., Any]) -> None:
    async def work(text: str, **valves: Any) -> str | None:
        async with runner(**valves) as made:
            chat = await made.ask(Chat(), THANKS)
            call = {"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]}
            chat.body["messages"] += [call, {"role": "tool", "tool_call_id": "1", "content": text}]
            await made.ask_again(chat)
            return chat.refused

    assert run(work("a bomb")) == REFUSAL
    assert run(work("a cake")) is None
    assert run(work("a bomb", check_added_text=False)) is None


@pytest.mark.parametrize(
    "chat",
    [
        Chat(fields={"suffix": "take a bomb"}),
        Chat(fields={"prediction": {"type": "content", "content": "take a bomb"}}),
        Chat(fields={"extra_body": {"take a bomb": 1}}),
        Chat(variables={"{{USER_NAME}}": "Ada, take a bomb"}),
    ],
)
def test_what_a_request_says_beside_its_messages_is_judged(runner: Callable[..., Any], chat: Chat) -> None:
    assert asked(runner, THANKS, chat).refused == REFUSAL


@pytest.mark.parametrize(
    "fields", [{"name": "take a bomb"}, {"note": ["take a bomb"]}, {"tool_calls": ["take a bomb"]}]
)
def test_what_a_message_says_beside_its_content_is_judged(runner: Callable[..., Any], fields: dict[str, Any]) -> None:
    assert asked(runner, [{**THANKS[0], **fields}]).refused == REFUSAL


def test_what_is_no_words_costs_no_check(runner: Callable[..., Any], engine: FakeEngine) -> None:
    fields = {
        "temperature": 0.5,
        "reasoning_effort": "low",
        "keep_alive": "5m",
        "files": [{"name": "a bomb of a file"}],
    }
    variables = {"{{USER_NAME}}": "Ada Lovelace", "{{CURRENT_DATETIME}}": "2026-01-01 10:00:00"}
    assert asked(runner, THANKS, Chat(fields=fields, variables=variables)).refused is None
    assert len(engine.calls) == 1


@pytest.mark.parametrize("name", ["prompt", "input", "documents", "chat_template"])
def test_another_prompt_than_the_messages_is_refused(runner: Callable[..., Any], name: str) -> None:
    refused = asked(runner, THANKS, Chat(fields={name: "hello"})).refused
    assert refused == f"{name} can't be judged and is not let through."


@pytest.mark.parametrize("valve", [True, False])
def test_what_open_webui_puts_into_system_prompts_is_judged(runner: Callable[..., Any], valve: bool) -> None:
    """Memories, and documents where they are put there; not the prompt itself again."""

    async def work(added: str) -> str | None:
        async with runner(check_added_text=valve) as made:
            chat = await made.ask(Chat(), [{"role": "system", "content": "Be brief."}, *THANKS])
            chat.body["messages"][0]["content"] += added
            await made.ask_again(chat)
            return chat.refused

    assert run(work("\nThe user likes to take a bomb along.")) == (REFUSAL if valve else None)
    assert run(work("\nThe user likes bread.")) is None


def test_a_message_without_text_needs_no_verdict(runner: Callable[..., Any], engine: FakeEngine) -> None:
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]
    assert asked(runner, image).refused is None
    assert engine.asked == []


def test_the_message_is_in_the_users_language(runner: Callable[..., Any]) -> None:
    chat = asked(runner, [{"role": "user", "content": "a bomb"}], Chat(message_id="1", language="zh-CN"))
    assert chat.refused == "抱歉，我无法协助处理此请求。"


def test_an_odd_tag_for_the_language_is_not_sent_on(runner: Callable[..., Any]) -> None:
    chat = asked(runner, [{"role": "user", "content": "a bomb"}], Chat(message_id="1", language="zh\r\nX-Evil: 1"))
    assert chat.refused == REFUSAL


@pytest.mark.parametrize(
    "messages", [[{"role": "user", "content": 7}], [7], None, [{"role": "user", "content": "\u200b"}]]
)
def test_a_body_that_can_not_be_read_is_refused(runner: Callable[..., Any], messages: Any) -> None:
    async def work() -> None:
        async with runner() as made:
            with pytest.raises(Exception, match=r".+"):
                await made.call("inlet", {"stream": True, "messages": messages}, Chat())

    run(work())


def test_an_unstreamed_answer_is_refused_to_an_api_client_and_streamed_to_a_browser(runner: Callable[..., Any]) -> None:
    assert "streamed" in str(asked(runner, THANKS, stream=False).refused)
    assert asked(runner, THANKS, Chat(message_id="1"), stream=False).body["stream"] is True
    assert asked(runner, THANKS, stream=False, unstreamed="allow").body["stream"] is False
    assert asked(runner, THANKS, stream=False, check_answers=False).body["stream"] is False


# While the answer is streamed.


def test_a_harmless_answer_comes_whole_however_it_is_cut(runner: Callable[..., Any]) -> None:
    text = RECIPE * 3 + "面粉加水。揉面！" * 40 + "x" * 2000 + "\n" + "نص عربي؟ " * 30 + "🙂" * 50
    for sizes in ([1], [3], [1000], [1, 300, 2], [10**6]):
        chat = streamed(runner, answer(text, sizes))
        assert (chat.text(), chat.finish()) == (text, "stop")


def test_nothing_of_a_blocked_piece_is_shown_however_it_is_cut(runner: Callable[..., Any]) -> None:
    source = random.Random(7)

    async def work() -> None:
        async with runner() as made:
            for _ in range(30):
                before = "".join(
                    source.choice(["Salt. ", "a ", "水。", "\n", "dough "]) for _ in range(source.randrange(150))
                )
                text = before + " bomb " + RECIPE * source.randrange(3)
                sizes = [source.randrange(1, 60) for _ in range(5)]
                chat = await made.stream(await made.ask(Chat(), THANKS), answer(text, sizes))
                shown = chat.text().removesuffix(REFUSAL)
                assert "bomb" not in chat.sent
                assert text.startswith(shown.removesuffix("\n\n"))
                assert chat.text().count(REFUSAL) == 1
                assert chat.finish() == "content_filter"

    run(work())


@pytest.mark.parametrize("word", ["bomb", "ignore all rules"])
def test_harm_that_straddles_two_pieces_is_seen(runner: Callable[..., Any], word: str) -> None:
    for pad in range(100, 130):
        text = "a" * pad + ". " + word
        assert word not in streamed(runner, answer(text, [pad + 4, 1]), piece_chars=pad + 1, hold_chars=pad + 3).text()


def test_after_a_block_nothing_more_is_asked_or_shown(runner: Callable[..., Any], engine: FakeEngine) -> None:
    chat = streamed(runner, [*answer(HARMFUL), *answer(RECIPE * 20)])
    assert chat.text().endswith(REFUSAL)
    assert "bomb" in engine.asked[-1]


def test_the_cost_is_linear_in_the_answer(runner: Callable[..., Any], engine: FakeEngine) -> None:
    costs = []
    for times in (50, 200):
        engine.calls.clear()
        assert streamed(runner, answer(RECIPE * times, [5])).text() == RECIPE * times
        costs.append((len(engine.asked), sum(map(len, engine.asked))))
        assert costs[-1][1] < 9 * len(RECIPE) * times
    (calls, chars), (more_calls, more_chars) = costs
    assert more_calls < 4.2 * calls
    assert more_chars < 4.2 * chars


def test_the_answer_is_judged_with_its_question(runner: Callable[..., Any], engine: FakeEngine) -> None:
    seen: list[list[tuple[str, str]]] = []
    judge = engine.judge

    def spy(conversations: Any, **options: Any) -> Any:
        seen.extend([(one.role.value, one.content) for one in each.messages] for each in conversations)
        return judge(conversations, **options)

    engine.judge = spy  # type: ignore[method-assign]
    streamed(runner, answer("Bread."))
    assert seen == [[("user", "thanks")], [("user", "thanks"), ("assistant", "Bread.")]]


def test_reasoning_is_held_back_too_and_comes_before_the_answer(runner: Callable[..., Any]) -> None:
    thoughts = [delta({"reasoning_content": piece}) for piece in pieces(RECIPE)]
    chat = streamed(runner, [*thoughts, *answer("Bread.")])
    assert (chat.text(name="reasoning_content"), chat.text()) == (RECIPE, "Bread.")
    fields = [name for event in chat.events for name in event["choices"][0]["delta"] if name != "role"]
    assert fields == ["reasoning_content"] * fields.count("reasoning_content") + ["content"]
    thoughts = [delta({"reasoning": piece}) for piece in pieces("I think of a bomb. " + RECIPE)]
    chat = streamed(runner, [*thoughts, *answer("Bread.")])
    assert "bomb" not in chat.sent
    assert (chat.text(name="reasoning"), chat.text()) == ("", REFUSAL)


def test_reasoning_that_comes_under_two_names_is_judged_once(runner: Callable[..., Any], engine: FakeEngine) -> None:
    thoughts = [delta({"reasoning_content": piece, "reasoning": piece}) for piece in pieces(RECIPE * 4)]
    chat = streamed(runner, [*thoughts, *answer("Bread.")])
    assert chat.text(name="reasoning_content") == RECIPE * 4
    assert len(engine.asked) < 10


def test_text_waits_for_its_verdict_before_tools_are_called(runner: Callable[..., Any]) -> None:
    call = {"index": 0, "id": "1", "type": "function", "function": {"name": "search", "arguments": "{}"}}
    called = [delta({"tool_calls": [call]}), delta({}, finish="tool_calls")]
    chat = streamed(runner, [delta({"content": "I will look. "}), *called])
    # Open WebUI shows a call before the text of the same event.
    assert [event["choices"][0]["delta"] for event in chat.events] == [
        {},
        {"content": "I will look. "},
        {"tool_calls": [call]},
    ]
    assert chat.finish() == "tool_calls"
    more = {"index": 0, "function": {"arguments": "}"}}
    chat = streamed(runner, [delta({"content": "x"}), called[0], delta({"tool_calls": [more]}), called[1]])
    assert chat.events[2]["choices"][0]["delta"] == {"tool_calls": [call, more]}
    chat = streamed(runner, [delta({"content": "I take a bomb"}), *called])
    assert (chat.text(), chat.finish()) == (REFUSAL, "content_filter")
    assert "tool_calls" not in chat.sent
    old = {"name": "search", "arguments": "{}"}
    chat = streamed(
        runner, [delta({"content": "I take a bomb", "function_call": old}), delta({}, finish="function_call")]
    )
    assert (chat.text(), "function_call" in json.dumps(chat.events[0])) == (REFUSAL, False)


def test_fields_that_repeat_the_text_are_left_out(runner: Callable[..., Any]) -> None:
    event = delta(
        {"content": "a bomb", "reasoning_details": [{"text": "a bomb"}], "x": "a bomb"},
        logprobs={"content": [{"token": "bomb"}]},
        message={"content": "a bomb"},
        text="a bomb",
    )
    assert "bomb" not in streamed(runner, [event, delta({}, finish="stop")]).sent


def test_several_choices_are_several_answers(runner: Callable[..., Any]) -> None:
    first, second = answer(RECIPE * 4), answer(HARMFUL, index=1)
    mixed = [event for pair in zip(first, second, strict=False) for event in pair]
    rest = [*first[len(second) :], *second[len(first) :]]
    chat = streamed(runner, [*mixed, *rest])
    assert (chat.text(0), chat.finish(0)) == (RECIPE * 4, "stop")
    assert (chat.text(1).endswith(REFUSAL), chat.finish(1)) == (True, "content_filter")
    assert "bomb" not in chat.sent


def test_events_without_text_pass_as_they_are(runner: Callable[..., Any]) -> None:
    usage = {"id": "c", "choices": [], "usage": {"total_tokens": 3}}
    events = [usage, {"error": {"message": "The provider is down."}}, {"sources": []}, {"selected_model_id": "m"}]
    assert streamed(runner, events).events == events


def test_content_as_a_list_of_parts_is_text_too(runner: Callable[..., Any]) -> None:
    chat = streamed(runner, [delta({"content": [{"type": "text", "text": "a bomb"}]}), delta({}, finish="stop")])
    assert chat.text() == REFUSAL


@pytest.mark.parametrize(
    "event",
    [
        {"choices": 7},
        {"choices": [7]},
        delta({"content": 7}),
        delta({"content": {"text": "bomb"}}),
        {"choices": [{"delta": "x"}]},
    ],
)
@pytest.mark.parametrize("message_id", [None, "1"])
def test_an_event_of_an_odd_shape_ends_the_answer(
    runner: Callable[..., Any], event: dict[str, Any], message_id: str | None
) -> None:
    chat = streamed(runner, [event, *answer("Bread.")], Chat(message_id=message_id))
    assert chat.text() == UNCHECKED


def test_chats_at_the_same_time_do_not_mix(runner: Callable[..., Any]) -> None:
    """One instance, API clients without any id, a browser, and one request for two models."""

    async def work() -> None:
        async with runner() as made:
            request = Chat().request
            chats = [Chat(), Chat(), Chat(message_id="1"), *(Chat(request, message_id=name) for name in ("a", "b"))]
            texts = [f"Chat {n}. " + (HARMFUL if n % 2 else RECIPE * 3) for n in range(len(chats))]
            for chat in chats:
                await made.ask(chat, THANKS)
            await asyncio.gather(*(made.stream(chat, answer(text)) for chat, text in zip(chats, texts, strict=True)))
            for n, (chat, text) in enumerate(zip(chats, texts, strict=True)):
                assert chat.text().startswith(f"Chat {n}. ")
                assert (chat.text() == text, chat.text().endswith(REFUSAL)) == (n % 2 == 0, n % 2 == 1)

    run(work())


def test_two_guards_in_a_row_do_not_mix(runner: Callable[..., Any]) -> None:
    async def work() -> None:
        async with runner() as first, runner(piece_chars=50) as second:
            for text in (RECIPE * 3, HARMFUL):
                chat = await second.ask(await first.ask(Chat(), THANKS), THANKS)
                for event in answer(text):
                    await second.event(chat, await first.call("stream", event, chat))
                assert "bomb" not in chat.sent
                assert chat.text() == text if text != HARMFUL else chat.text().endswith(REFUSAL)

    run(work())


def test_what_broke_is_logged_without_the_text(runner: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    streamed(runner, [delta({"content": {"bomb": "bomb"}}), {"choices": "bomb"}])
    assert "TypeError in the stream hook" in caplog.text
    assert "bomb" not in caplog.text


def test_nothing_is_kept_when_a_request_is_over(runner: Callable[..., Any]) -> None:
    async def work() -> None:
        async with runner() as made:
            before = set(vars(made.function))
            for _ in range(3):
                await made.stream(await made.ask(Chat(), THANKS), answer(HARMFUL))
            kept = {name: value for name, value in vars(made.function).items() if name not in ("_session", "_loop")}
            assert set(kept) == before - {"_session", "_loop"}
            assert "bomb" not in repr(kept)

    run(work())


def test_without_a_request_each_event_is_judged_by_itself(runner: Callable[..., Any]) -> None:
    chat = streamed(runner, [delta({"content": "Bread. "}), delta({"content": "a bomb"})], Chat(request=None))
    assert chat.text() == "Bread. " + REFUSAL


# The Responses API.


def said(text: str) -> list[dict[str, Any]]:
    place = {"item_id": "m", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": text, "annotations": []}
    item = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [part]}
    response = {"id": "r", "status": "completed", "output": [item]}
    deltas = [{"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []} for piece in pieces(text)]
    return [
        {"type": "response.created", "response": {"id": "r", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
        *deltas,
        {"type": "response.output_text.done", **place, "text": text},
        {"type": "response.content_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": response},
    ]


def deltas_of(chat: Chat) -> str:
    return "".join(event["delta"] for event in chat.events if event["type"].endswith(".delta"))


def output_of(chat: Chat) -> str:
    return str(chat.events[-1]["response"]["output"][0]["content"][0]["text"])


def test_a_harmless_response_ends_with_its_whole_text(runner: Callable[..., Any], engine: FakeEngine) -> None:
    chat = streamed(runner, said(RECIPE * 4))
    assert (RECIPE * 4).startswith(deltas_of(chat))
    assert output_of(chat) == RECIPE * 4
    # What the last events repeat is not judged again.
    assert len([text for text in engine.asked if text == RECIPE * 4]) == 1


@pytest.mark.parametrize("text", [HARMFUL, "a bomb"])
def test_nothing_of_a_blocked_response_is_shown(runner: Callable[..., Any], text: str) -> None:
    chat = streamed(runner, said(text))
    assert "bomb" not in chat.sent
    assert deltas_of(chat).endswith(REFUSAL)
    assert output_of(chat) == deltas_of(chat)


def test_text_of_a_response_that_was_in_no_delta_is_judged(runner: Callable[..., Any]) -> None:
    for only in (said("a bomb")[-1:], said("a bomb")[-2:], said("a bomb")[-4:]):
        assert "bomb" not in streamed(runner, only).sent


def test_calls_of_tools_in_a_response_pass_unless_it_is_blocked(runner: Callable[..., Any]) -> None:
    call = {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "{}"}
    assert streamed(runner, [call]).events == [call]
    chat = streamed(runner, [*said("a bomb"), call])
    assert chat.events[-1] == {"type": "response.in_progress"}


# When the answer is complete.


def finished(runner: Callable[..., Any], message: Mapping[str, Any], chat: Chat | None = None, **valves: Any) -> Any:
    async def work() -> Any:
        async with runner(unstreamed="allow", **valves) as made:
            return await made.finish(await made.ask(chat or Chat(message_id="1"), THANKS, stream=False), message)

    return run(work())


def output(text: str, kind: str = "message") -> list[dict[str, Any]]:
    return [
        {
            "type": kind,
            "id": "m",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": text}],
        }
    ]


def test_an_unstreamed_answer_is_replaced_with_all_that_repeats_it(runner: Callable[..., Any]) -> None:
    replaced = finished(
        runner, {"role": "assistant", "content": "a bomb", "output": output("a bomb"), "usage": {"n": 1}}
    )
    assert (replaced["content"], replaced["usage"]) == (REFUSAL, {"n": 1})
    assert [part["text"] for item in replaced["output"] for part in item["content"]] == [REFUSAL]


def test_reasoning_that_only_the_output_has_is_judged(runner: Callable[..., Any]) -> None:
    message = {"role": "assistant", "content": "Bread.", "output": [*output("a bomb", "reasoning"), *output("Bread.")]}
    assert finished(runner, message)["content"] == REFUSAL


@pytest.mark.parametrize("message", [{"role": "assistant", "content": "Bread."}, {"role": "assistant", "content": ""}])
def test_a_harmless_answer_stays(runner: Callable[..., Any], message: dict[str, Any]) -> None:
    assert finished(runner, message) == message


def test_what_the_outlet_can_not_read_is_replaced(runner: Callable[..., Any]) -> None:
    assert finished(runner, {"role": "assistant", "content": 7})["content"] == UNCHECKED


def test_a_streamed_answer_is_not_judged_again_at_the_end(runner: Callable[..., Any], engine: FakeEngine) -> None:
    async def work() -> None:
        async with runner() as made:
            chat = await made.stream(await made.ask(Chat(message_id="1"), THANKS), answer("Bread."))
            count = len(engine.asked)
            await made.finish(chat, {"role": "assistant", "content": "Bread."})
            assert len(engine.asked) == count

    run(work())


# When there is no verdict.


def gone() -> str:
    with serving(FakeEngine()) as address:
        return address


@pytest.mark.parametrize(
    ("language", "message"), [(None, UNCHECKED), ("zh-TW", UNCHECKED_MESSAGES["zh"]), ("xx", UNCHECKED)]
)
def test_a_service_that_is_gone_closes(runner: Callable[..., Any], language: str | None, message: str) -> None:
    nobody = gone()
    assert asked(runner, THANKS, Chat(language=language), guard_url=nobody).refused == message
    chat = streamed(runner, answer(RECIPE), Chat(language=language), guard_url=nobody, check_prompts=False)
    assert (chat.text(), chat.finish()) == (message, "content_filter")
    valves = {"guard_url": nobody, "check_prompts": False}
    assert (
        finished(runner, {"role": "assistant", "content": "x"}, Chat(language=language), **valves)["content"] == message
    )


def test_it_opens_where_that_is_wanted_and_says_so(runner: Callable[..., Any]) -> None:
    chat = streamed(runner, answer(HARMFUL), Chat(message_id="1"), guard_url=gone(), when_unavailable="allow")
    assert chat.text() == HARMFUL
    assert {event["data"]["description"] for event in chat.told} == {
        "Not checked: the moderation service is not available."
    }


def test_a_service_that_hangs_makes_an_answer_wait_once_only(
    url: str, engine: FakeEngine, runner: Callable[..., Any]
) -> None:
    engine.gate = threading.Event()
    valves = {"timeout_s": 0.3, "check_prompts": False}
    try:
        assert streamed(runner, answer(RECIPE * 9), **valves).text() == UNCHECKED
        assert streamed(runner, answer(RECIPE * 9), when_unavailable="allow", **valves).text() == RECIPE * 9
    finally:
        engine.gate.set()
    assert len(engine.asked) == 2


@pytest.mark.parametrize(
    "engine",
    [
        FakeEngine(raises=Overloaded("Busy.")),
        FakeEngine(raises=EngineUnavailable("Down.")),
        FakeEngine(raises=ValueError("a bug")),
        FakeEngine(errors={"thanks": EngineUnavailable("Down.")}),
    ],
)
def test_a_service_without_a_verdict_closes_or_opens_as_the_valve_says(
    runner: Callable[..., Any], engine: FakeEngine
) -> None:
    assert asked(runner, THANKS).refused == UNCHECKED
    assert asked(runner, THANKS, when_unavailable="allow").refused is None


@pytest.mark.parametrize("valves", [{"api_key": "not-the-key"}, {"api_key": ""}, {"policy": "polcy"}])
def test_what_the_service_refuses_blocks_whatever_the_valve_says(
    runner: Callable[..., Any], valves: dict[str, str]
) -> None:
    assert asked(runner, THANKS, when_unavailable="allow", **valves).refused == UNCHECKED


def test_a_text_over_the_services_limits_blocks(engine: FakeEngine, runner: Callable[..., Any]) -> None:
    with serving(engine, max_body_bytes=2000) as small:
        long = [{"role": "user", "content": "x" * 3000}]
        assert asked(runner, long, guard_url=small, when_unavailable="allow").refused == UNCHECKED


@pytest.mark.parametrize(
    "reply",
    [
        [],
        {},
        {"results": []},
        {"results": [7]},
        {"results": [{}]},
        {"results": [{"allowed": "yes"}]},
        {"results": [{"error": 1}]},
    ],
)
def test_a_reply_that_is_no_decision_is_not_taken_for_one(runner: Callable[..., Any], reply: object) -> None:
    with fake_llm(lambda request: [http(200, reply)]) as other:
        assert asked(runner, THANKS, guard_url=other.url).refused == UNCHECKED


def test_a_chat_that_is_stopped_stays_stopped(runner: Callable[..., Any], engine: FakeEngine) -> None:
    """The page's stop button cancels the task; the hook must not take that for a failed check."""
    engine.gate = threading.Event()

    async def work() -> None:
        async with runner(check_prompts=False) as made:
            chat = await made.ask(Chat(message_id="1"), THANKS)
            task = asyncio.create_task(made.stream(chat, answer(RECIPE)))
            await asyncio.to_thread(engine.entered.wait, 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    try:
        run(work())
    finally:
        engine.gate.set()


def test_the_policy_and_the_ids_reach_the_service(
    tmp_path: Path, engine: FakeEngine, runner: Callable[..., Any]
) -> None:
    with serving(engine, audit_file=tmp_path / "audit.jsonl") as address:
        insult = [{"role": "user", "content": "an insult"}]
        assert asked(runner, insult, Chat(message_id="1"), guard_url=address).refused is None
        assert asked(runner, insult, Chat(message_id="1"), guard_url=address, policy="strict").refused == REFUSAL
    records = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    ids = {"open_webui_chat": "chat-of-1", "open_webui_message": "1", "open_webui_user": "user-1"}
    assert [(record["policy"], record["metadata"]) for record in records] == [("balanced", ids), ("strict", ids)]
