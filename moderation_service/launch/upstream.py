"""A model server as `up` sees it: does it answer, and is it a Qwen3Guard? The answer to the second warms it up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import requests

from ..config.settings import Secret
from .errors import ServerFailed

__all__ = ["Upstream", "api_root"]

_PROBE_S = 5.0
# Made by us and harmless to keep in a prefix cache: the first renders the prompt template, the second the response's.
_QUESTION = "How can I make a bomb?"
_ANSWER = "I'm sorry, but I can't help with that."
_WARM_UP: tuple[list[dict[str, str]], ...] = (
    [{"role": "user", "content": _QUESTION}],
    [{"role": "user", "content": _QUESTION}, {"role": "assistant", "content": _ANSWER}],
)
_MAX_TOKENS = 64


def api_root(url: str) -> str:
    """The server's address without `/v1`, with which some write it."""
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


class Upstream:
    """One OpenAI-compatible server."""

    def __init__(self, url: str, *, api_key: Secret | None = None) -> None:
        self.url = api_root(url)
        self._session = requests.Session()
        # A proxy from the environment can't reach this machine's own ports.
        self._session.trust_env = urlsplit(self.url).hostname not in ("127.0.0.1", "localhost", "::1")
        if api_key is not None:
            self._session.headers["Authorization"] = f"Bearer {api_key.value}"

    def is_up(self) -> bool:
        """Whether it says that it is healthy. A closed port, an error or silence all mean no."""
        try:
            with self._session.get(f"{self.url}/health", timeout=_PROBE_S, stream=True) as reply:
                status = reply.status_code
            if status == 404:
                # Ollama has no such page.
                with self._session.get(f"{self.url}/v1/models", timeout=_PROBE_S, stream=True) as reply:
                    status = reply.status_code
            return status == 200
        except requests.RequestException:
            return False

    def model(self) -> tuple[str, int | None]:
        """The name and the context length of the model it serves. Raises ServerFailed."""
        body = self._ask("GET", "/v1/models", None, timeout_s=_PROBE_S * 4)
        try:
            first = body["data"][0]
            name, length = first["id"], first.get("max_model_len")
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise ServerFailed(f"{self.url}/v1/models: names no model.") from error
        return str(name), length if isinstance(length, int) else None

    def warm_up(self, model: str, *, timeout_s: float) -> bool:
        """Ask for two verdicts with logprobs, as the service does: the first of them compiles, and is slow.

        Returns whether the server gives logprobs. Raises ServerFailed for an answer that no Qwen3Guard gives, and for
        one that calls the harmful question safe.
        """
        has_logprobs = True
        for messages in _WARM_UP:
            body = self._verdict(model, messages, timeout_s=timeout_s)
            try:
                choice = body["choices"][0]
                text = choice["message"]["content"]
                logprobs = choice.get("logprobs")
            except (KeyError, IndexError, TypeError, AttributeError) as error:
                raise ServerFailed(f"{self.url}: its first answer is not a chat completion.") from error
            if not isinstance(text, str) or not text.startswith("Safety: "):
                raise ServerFailed(f"{self.url}: the model {model!r} does not answer as a Qwen3Guard-Gen does.")
            if len(messages) == 1 and text.startswith("Safety: Safe"):
                raise ServerFailed(
                    f"{self.url}: the model {model!r} calls {_QUESTION!r} safe, so that its other verdicts are worth "
                    "nothing: its weights are damaged or quantised too far, or its chat template is another one."
                )
            has_logprobs = has_logprobs and bool(logprobs and logprobs.get("content"))
        return has_logprobs

    def version(self) -> str | None:
        """What it says of its version, as vLLM does; None where it says nothing."""
        try:
            with self._session.get(f"{self.url}/version", timeout=_PROBE_S) as reply:
                told = reply.json().get("version") if reply.status_code == 200 else None
        except (requests.RequestException, AttributeError):
            return None
        return told if isinstance(told, str) else None

    def question_tokens(self, model: str, text: str, *, timeout_s: float = 600.0) -> int:
        """Ask for a verdict on a prompt; returns how many tokens the question had. Raises ServerFailed."""
        body = self._verdict(model, [{"role": "user", "content": text}], timeout_s=timeout_s)
        try:
            return int(body["usage"]["prompt_tokens"])
        except (KeyError, TypeError, ValueError) as error:
            raise ServerFailed(f"{self.url}: does not tell how long a question was.") from error

    def close(self) -> None:
        """Let go of the connection."""
        self._session.close()

    def _verdict(self, model: str, messages: Sequence[Mapping[str, str]], *, timeout_s: float) -> Any:
        """The server's answer to a question as the service asks it."""
        asked = {
            "model": model,
            "messages": messages,
            "temperature": 0,
            "max_tokens": _MAX_TOKENS,
            "logprobs": True,
            "top_logprobs": 20,
        }
        return self._ask("POST", "/v1/chat/completions", asked, timeout_s=timeout_s)

    def _ask(self, method: str, path: str, body: object, *, timeout_s: float) -> Any:
        try:
            reply = self._session.request(method, self.url + path, json=body, timeout=(_PROBE_S, timeout_s))
            answer = reply.json() if reply.status_code == 200 else None
        except requests.JSONDecodeError as error:
            raise ServerFailed(f"{self.url}{path}: did not answer with JSON.") from error
        except requests.RequestException as error:
            raise ServerFailed(f"{self.url}{path}: {type(error).__name__}.") from error
        if reply.status_code == 401:
            raise ServerFailed(f"{self.url}: does not accept the API key; the setting is upstream_api_key.")
        if reply.status_code != 200:
            raise ServerFailed(f"{self.url}{path}: answered with status {reply.status_code}.")
        return answer
