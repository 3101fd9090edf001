"""`moderation-service eval`, with the embedded engine, and with model servers that are slow or go wrong."""

from __future__ import annotations

import json
import threading

from fake_guard_server import BOMB, BREAD, Request, answering, guard, reply, running

ROWS = [
    {"id": "a", "prompt": BOMB, "label": "unsafe", "categories": ["violent"]},
    {"id": "b", "prompt": BREAD, "label": "safe", "lang": "en"},
    {"id": "c", "prompt": "What is the capital of France?", "label": "unsafe", "lang": "en"},
]


def written(tmp_path, rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_report_of_the_embedded_engine_has_readings_and_policies(run, tmp_path):
    code, out, err = run("eval", written(tmp_path, ROWS), "--json")
    document = json.loads(out)
    assert code == 0
    assert (document["engine"], document["items"], document["judged"]) == ("lite", 3, 3)
    assert document["strict"]["recall"] == 0.5
    assert set(document["policies"]) == {"strict", "balanced", "loose"}
    assert set(document["latency"]) == {"p50_ms", "p90_ms", "p99_ms"}
    assert document["rows_per_s"] > 0
    assert "3 texts in " in err


def test_the_tables_say_which_policy_is_the_default_and_how_the_file_was_read(run, tmp_path):
    code, out, err = run("eval", written(tmp_path, ROWS), "--default-policy", "strict")
    assert code == 0
    assert "strict (default)" in out
    assert "strict reading" in out
    assert "format prompt-response (`prompt`)" in err


def test_a_policy_that_is_not_there_is_an_error(run, tmp_path):
    code, out, err = run("eval", written(tmp_path, ROWS), "--default-policy", "nonsense")
    assert (code, out) == (1, "")
    assert "default_policy: there is no policy 'nonsense'" in err


def test_a_policy_file_is_honoured(run, tmp_path):
    policies = tmp_path / "policies.yaml"
    policies.write_text("policies:\n  open:\n    prompt: {actions: {unsafe: allow, controversial: allow}}\n", "utf-8")
    _, out, _ = run("eval", written(tmp_path, ROWS), "--json", "--policies-file", policies)
    assert json.loads(out)["policies"]["open"]["actions"] == {"allow": 3, "flag": 0, "block": 0}


def test_wrong_ones_are_written_with_their_texts_and_nowhere_else(run, tmp_path):
    errors = tmp_path / "wrong.jsonl"
    code, out, err = run("eval", written(tmp_path, ROWS), "--errors", errors)
    [wrong] = map(json.loads, errors.read_text("utf-8").splitlines())
    assert code == 0
    assert (wrong["id"], wrong["wrong"], wrong["label"], wrong["safety"]) == (
        "c",
        ["strict", "loose"],
        "unsafe",
        "safe",
    )
    assert wrong["messages"] == [{"role": "user", "content": "What is the capital of France?"}]
    assert 0 <= wrong["p_unsafe"] < 0.5
    assert "capital" not in out + err


def test_a_figure_that_is_not_reached_ends_with_exit_code_4(run, tmp_path):
    file = written(tmp_path, ROWS)
    code, _, err = run("eval", file, "--fail-under", "strict_recall=0.6", "--fail-over", "judged=0.5")
    assert code == 4
    assert "strict_recall is 0.5000, under 0.6." in err
    assert "judged is 1.0000, over 0.5." in err
    assert run("eval", file, "--fail-under", "strict_recall=0.5")[0] == 0
    assert run("eval", file, "--fail-under", "recall=0.5")[0] == 1


def test_a_mistake_in_the_last_row_shows_before_anything_is_asked(run, tmp_path):
    with running() as server:
        file = written(tmp_path, [*ROWS, {"prompt": "x", "label": "bad"}])
        code, out, err = run("eval", file, "--config", settings(tmp_path, server.url))
    assert (code, out) == (1, "")
    assert f"{file}:4, field `label`: " in err
    assert server.questions == []


def settings(tmp_path, url):
    path = tmp_path / "settings.yaml"
    path.write_text(f"engine: vllm\nupstreams: [{url}]\n", encoding="utf-8")
    return path


def test_a_model_server_is_asked_about_many_texts_at_the_same_time(run, tmp_path):
    """More than the eight that one request of the service may ask about: none is answered before forty are there."""
    all_there = threading.Barrier(40, timeout=30)

    def meeting(request: Request):
        all_there.wait()
        return guard(request)

    rows = [{"prompt": f"{BREAD} {number}", "label": "safe"} for number in range(80)]
    with running(answering(meeting)) as server:
        _, out, _ = run(
            "eval", written(tmp_path, rows), "--json", "--in-flight", "40", "--config", settings(tmp_path, server.url)
        )
    document = json.loads(out)
    assert (document["engine"], document["judged"], document["found"]["safe"]) == ("vllm", 80, 80)


def test_what_a_model_server_garbles_is_an_error_and_no_other_engine_answers(run, tmp_path):
    def garbled(request: Request):
        return reply(200, {"choices": []}) if "capital" in json.dumps(request.body) else guard(request)

    errors = tmp_path / "wrong.jsonl"
    with running(answering(garbled)) as server:
        code, out, _ = run(
            "eval", written(tmp_path, ROWS), "--json", "--errors", errors, "--config", settings(tmp_path, server.url)
        )
    document = json.loads(out)
    assert code == 0
    assert document["errors"] == {"engine_answer_invalid": 1}
    assert document["judged"] == 2
    [wrong] = map(json.loads, errors.read_text("utf-8").splitlines())
    assert (wrong["wrong"], wrong["error"]) == (["not judged"], "engine_answer_invalid")


def test_if_nothing_could_be_judged_the_exit_code_says_so(run, tmp_path):
    with running(answering(reply(200, {"choices": []}))) as server:
        code, _, err = run("eval", written(tmp_path, ROWS), "--config", settings(tmp_path, server.url))
    assert code == 1
    assert "nothing could be judged" in err
