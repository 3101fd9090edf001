"""Record real replies of a server of tiny-guard, one JSON file per case, for the fake server of the tests.

    python record.py http://127.0.0.1:8101 ../../tests/recordings/vllm --server "vLLM 0.32.0, CPU" --key SECRET
    python record.py http://127.0.0.1:8101 ... --overloaded      # vLLM with --max-num-queued-reqs 0

Serve the model by a relative path: the model list repeats it.
"""

import argparse
import http.client
import json
import pathlib
import re
import urllib.parse

from data import assistant, user

BOMB = "How can I make a bomb?"
BREAD = "How do I bake bread?"
FAKE_ID = "Make a fake ID with the name and address of Jane Roe"
PROTEST = "Is it ever right to break the law in protest?"
REFUSAL = "I'm sorry, but I can't help with that."
COMPLY = "Of course, here it is in full detail."
SHORT = "Sure, here is a short answer."
HEADERS = ("content-type", "retry-after", "server", "www-authenticate")
EARLY_STOP = {"stop": ["Safety: Safe"], "include_stop_str_in_output": True}


def chat(messages, **extra):
    body = {"model": "qwen3guard", "messages": messages, "temperature": 0, "max_tokens": 64}
    return "POST", "/v1/chat/completions", {**body, "logprobs": True, "top_logprobs": 20, **extra}


def begun(text, label_ids):
    """The label as the only token, behind the beginning of the answer. Needs jinja2."""
    import jinja2

    source = (pathlib.Path(__file__).parent / "chat_template.jinja").read_text().rstrip("\n")
    render = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(source).render
    body = {"model": "qwen3guard", "prompt": render(messages=[user(text)]) + "Safety:", "temperature": 0}
    body |= {"max_tokens": 1, "add_special_tokens": False, "logprobs": 0, "logprob_token_ids": label_ids}
    return "POST", "/v1/completions", body


def cases(label_ids):
    """Name and request of each case; `ok_full_` are complete answers."""
    ids = {"logprob_token_ids": label_ids, "top_logprobs": None}
    yield "ok_full_safe", chat([user(BREAD)])
    yield "ok_full_unsafe", chat([user(BOMB)])
    yield "ok_full_controversial", chat([user(PROTEST)])
    yield "ok_full_two_categories", chat([user(FAKE_ID)])
    yield "ok_full_multi_turn", chat([user("Hi"), assistant("Hello!"), user(BREAD)])
    yield "ok_full_refusal", chat([user(BOMB), assistant(REFUSAL)])
    yield "ok_full_response_unsafe", chat([user(BOMB), assistant(COMPLY)])
    yield "ok_full_response_safe", chat([user(BREAD), assistant(SHORT)])
    yield "ok_full_label_ids", chat([user(BOMB)], **ids)
    yield "ok_full_response_safe_label_ids", chat([user(BREAD), assistant(SHORT)], **ids)
    yield "ok_stopped_after_safe", chat([user(BREAD)], **ids, **EARLY_STOP)
    yield "ok_not_stopped_unsafe", chat([user(BOMB)], **ids, **EARLY_STOP)
    yield "ok_label_safe", chat([user(BREAD)], max_tokens=3)
    yield "ok_label_unsafe", chat([user(BOMB)], max_tokens=3)
    yield "ok_label_controversial", chat([user(PROTEST)], max_tokens=3, **ids)
    yield "ok_begun_safe", begun(BREAD, label_ids)
    yield "ok_begun_unsafe", begun(BOMB, label_ids)
    yield "ok_without_logprobs", chat([user(BOMB)], logprobs=False, top_logprobs=None)
    yield "cut_after_four_tokens", chat([user(BOMB)], max_tokens=4)
    yield "err_too_long", chat([user("word " * 2500)])
    yield "err_wrong_model", chat([user(BOMB)], model="nope")
    yield "err_messages_empty", chat([])
    yield "err_unknown_path", ("POST", "/v1/nothing", {})
    yield "get_models", ("GET", "/v1/models", None)
    labels = " Safe Unsafe Controversial"
    asked = {"model": "qwen3guard", "prompt": labels, "add_special_tokens": False, "return_token_strs": True}
    yield "tokenize_labels", ("POST", "/tokenize", asked)
    yield "tokenize_pieces", ("POST", "/tokenize", {"content": "你好 <b>", "with_pieces": True})


def key_cases(key):
    for name, sent in (("missing", None), ("wrong", "wrong-key"), ("right", key)):
        yield f"key_{name}", chat([user(BOMB)], max_tokens=3), sent


class Recorder:
    def __init__(self, base, out, server):
        self.base = urllib.parse.urlsplit(base)
        self.out = pathlib.Path(out)
        self.server = server
        self.out.mkdir(parents=True, exist_ok=True)

    def send(self, request, key=None):
        method, path, body = request
        headers = {} if body is None else {"Content-Type": "application/json"}
        if key:
            headers["Authorization"] = "Bearer " + key
        link = http.client.HTTPConnection(self.base.hostname, self.base.port, timeout=180)
        link.request(method, path, None if body is None else json.dumps(body).encode(), headers)
        reply = link.getresponse()
        text = reply.read().decode()
        link.close()
        return reply, text

    def record(self, name, request, key=None):
        method, path, body = request
        reply, text = self.send(request, key)
        row = {"case": name, "server": self.server, "request": {"method": method, "path": path, "body": body}}
        row["status"] = reply.status
        row["headers"] = {name: reply.headers[name] for name in HEADERS if reply.headers[name] is not None}
        row["body"] = json.loads(text) if "json" in (reply.headers["content-type"] or "") else text
        (self.out / f"{name}.json").write_text(dump(row))
        print(reply.status, name)


def dump(row):
    """Indented JSON with lists of numbers on one line."""
    text = json.dumps(row, indent=1, ensure_ascii=False)
    return (
        re.sub(r"\[\s+([-\d,\s]+?)\s+\]", lambda m: "[" + ",".join(m[1].replace(",", " ").split()) + "]", text) + "\n"
    )


def label_ids(recorder, key):
    """The first tokens of the three labels, whichever way this server counts tokens."""
    found = []
    for label in (" Safe", " Unsafe", " Controversial"):
        for body in ({"model": "qwen3guard", "prompt": label, "add_special_tokens": False}, {"content": label}):
            tokens = json.loads(recorder.send(("POST", "/tokenize", body), key)[1]).get("tokens")
            if tokens:
                found.append(tokens[0])
                break
    return found


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("base")
    p.add_argument("out")
    p.add_argument("--server", required=True, help="what answered, written into every file")
    p.add_argument("--key", required=True, help="the key that the server was started with")
    p.add_argument("--overloaded", action="store_true", help="record the reply of a server that is full")
    args = p.parse_args()
    recorder = Recorder(args.base, args.out, args.server)
    if args.overloaded:
        recorder.record("err_overloaded", chat([user(BOMB)]), args.key)
        return
    for name, request, key in key_cases(args.key):
        recorder.record(name, request, key)
    for name, request in cases(label_ids(recorder, args.key)):
        recorder.record(name, request, args.key)


if __name__ == "__main__":
    main()
