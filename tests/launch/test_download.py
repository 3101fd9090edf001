"""Downloads from both hubs, against stand-ins that speak their protocols and break as they do."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import requests
import responses
from hypothesis import given
from hypothesis import strategies as st

from moderation_service.config.settings import Secret
from moderation_service.launch.download import MANIFEST
from moderation_service.launch.errors import DownloadFailed
from moderation_service.launch.hub import Hub, RemoteFile, Source, needed_files

WANTED = {"config.json", "model.safetensors", "nested/merges.txt"}


def files_in(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != MANIFEST
    }


def test_a_model_arrives_whole_and_nothing_that_could_be_run_with_it(hub, hub_stand_in, downloader):
    folder = downloader.fetch(hub)
    assert files_in(folder) == {path: hub_stand_in.files[path] for path in WANTED}
    assert not folder.with_name(folder.name + ".partial").exists()


def test_the_manifest_says_what_was_fetched_from_where(hub, hub_stand_in, downloader):
    folder = downloader.fetch(hub)
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["endpoint"] == hub_stand_in.url
    assert manifest["repo"] == "Qwen/Qwen3Guard-Gen-0.6B"
    expected = "1f0ec6a1a2f1c3b6f2b0b8a0a6a9f5c0e1d2c3b4" if hub.source is Source.HUGGINGFACE else "master"
    assert manifest["commit"] == expected
    assert {file["path"] for file in manifest["files"]} == WANTED


def test_a_complete_model_is_used_without_asking_the_hub(hub, hub_stand_in, downloader):
    first = downloader.fetch(hub)
    hub_stand_in.requests.clear()
    assert downloader.fetch(hub) == first
    assert hub_stand_in.requests == []


def test_a_model_that_lost_a_file_is_completed(hub, hub_stand_in, downloader):
    folder = downloader.fetch(hub)
    (folder / "config.json").unlink()
    hub_stand_in.requests.clear()
    downloader.fetch(hub)
    assert len(hub_stand_in.contents()) == 1
    assert files_in(folder).keys() == WANTED


def test_a_broken_connection_is_resumed_where_it_broke(hub, hub_stand_in, downloader, told):
    size = len(hub_stand_in.files["model.safetensors"])
    hub_stand_in.trouble = [None, "cut"]
    downloader.fetch(hub)
    storage = [range_ for path, range_ in hub_stand_in.contents() if path.startswith("storage/model.safetensors")]
    assert storage == [None, f"bytes={size // 2}-"]
    assert "trying again in 1 s" in told.text


def test_a_run_that_was_stopped_goes_on_in_the_next(hub, hub_stand_in, downloader):
    def stop(seconds):
        raise KeyboardInterrupt

    hub_stand_in.trouble = [None, "cut"]
    with pytest.raises(KeyboardInterrupt):
        replace(downloader, sleep=stop).fetch(hub)
    hub_stand_in.requests.clear()
    folder = downloader.fetch(hub)
    assert files_in(folder).keys() == WANTED
    assert f"bytes={len(hub_stand_in.files['model.safetensors']) // 2}-" in [
        range_ for _, range_ in hub_stand_in.contents()
    ]


def test_a_server_that_does_not_resume_is_asked_for_the_whole(hub, hub_stand_in, downloader):
    hub_stand_in.trouble = [None, "cut", "no-range"]
    assert files_in(downloader.fetch(hub)).keys() == WANTED


def test_content_that_arrived_damaged_is_fetched_again(hub, hub_stand_in, downloader, told):
    hub_stand_in.trouble = [None, "damage"]
    folder = downloader.fetch(hub)
    assert files_in(folder)["model.safetensors"] == hub_stand_in.files["model.safetensors"]
    assert "model.safetensors arrived damaged" in told.text


def test_content_with_another_digest_is_refused_and_not_kept(hub, hub_stand_in, downloader):
    hub_stand_in.trouble = [None, "damage", "damage"]
    with pytest.raises(DownloadFailed, match=r"model.safetensors: what .* does not have the digest"):
        downloader.fetch(hub)
    folder = downloader.folder(hub)
    assert files_in(folder).keys() == {"config.json"}
    assert list(folder.with_name(folder.name + ".partial").iterdir()) == []


def test_a_beginning_that_is_longer_than_the_file_is_thrown_away(hub, hub_stand_in, downloader):
    hub_stand_in.trouble = [None, "cut", 404]
    with pytest.raises(DownloadFailed):
        downloader.fetch(hub)
    folder = downloader.folder(hub)
    part = next(folder.with_name(folder.name + ".partial").iterdir())
    part.write_bytes(b"x" * 3_000_000)
    assert files_in(downloader.fetch(hub)).keys() == WANTED


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_errors_that_pass_are_waited_out_longer_each_time(hub, hub_stand_in, downloader, told, status):
    hub_stand_in.listing_trouble = [status, status, status]
    downloader.fetch(hub)
    assert told.slept == [1.0, 2.0, 4.0]


def test_a_hub_that_asks_for_patience_gets_it_within_limits(hub, hub_stand_in, downloader, told):
    hub_stand_in.listing_trouble = [429, 429]
    hub_stand_in.retry_after = "7"
    downloader.fetch(hub)
    assert told.slept == [7.0, 7.0]
    hub_stand_in.retry_after = "86400"


def test_a_hub_that_stays_broken_is_given_up(hub, hub_stand_in, downloader, told):
    hub_stand_in.listing_trouble = [503] * 6
    with pytest.raises(DownloadFailed, match=r"the last one: the hub answered with status 503"):
        downloader.fetch(hub)
    assert told.slept == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_an_unreachable_hub_is_given_up(downloader, unused_port):
    hub = Hub(
        source=Source.HUGGINGFACE,
        repo="Qwen/Qwen3Guard-Gen-4B",
        revision="main",
        endpoint=f"http://127.0.0.1:{unused_port}",
    )
    with pytest.raises(DownloadFailed, match="the connection failed"):
        downloader.fetch(hub)


@responses.activate
def test_where_hugging_face_can_not_be_reached_the_other_hub_is_named(downloader):
    hub = Hub(source=Source.HUGGINGFACE, repo="a/b", revision="main", endpoint=Source.HUGGINGFACE.endpoint)
    responses.get(hub.listing_url, body=requests.ConnectTimeout())
    with pytest.raises(DownloadFailed, match=r"the hub did not answer.* --source modelscope has the same models"):
        downloader.fetch(hub)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "a token is needed: set (HF_TOKEN|MODELSCOPE_API_TOKEN)"),
        (403, "refused Qwen/Qwen3Guard-Gen-0.6B with status 403"),
        (404, "has no Qwen/Qwen3Guard-Gen-0.6B at revision (main|master)"),
        (418, "answered with status 418"),
    ],
)
def test_refusals_are_final_and_say_what_to_do(hub, hub_stand_in, downloader, told, status, said):
    hub_stand_in.listing_trouble = [status]
    with pytest.raises(DownloadFailed, match=said):
        downloader.fetch(hub)
    assert told.slept == []


def test_the_token_goes_to_the_hub_and_not_to_its_storage(hub, hub_stand_in, downloader):
    hub_stand_in.token = "hf_secret"
    downloader.fetch(replace(hub, token=Secret("hf_secret")))
    at_hub = [request for request in hub_stand_in.requests if request[0].startswith("hub")]
    at_storage = [request for request in hub_stand_in.requests if request[0].startswith("storage")]
    assert {authorization for _, _, authorization, _ in at_hub} == {"Bearer hf_secret"}
    cookie = None if hub.source is Source.HUGGINGFACE else "m_session_id=hf_secret"
    assert {sent for _, _, _, sent in at_hub} == {cookie}
    assert {(authorization, sent) for _, _, authorization, sent in at_storage} == {(None, None)}


def test_a_token_that_is_not_accepted_is_not_printed(hub, hub_stand_in, downloader, told):
    hub_stand_in.token = "another"
    with pytest.raises(DownloadFailed, match="a token is not accepted") as caught:
        downloader.fetch(replace(hub, token=Secret("hf_secret")))
    assert "hf_secret" not in str(caught.value) + told.text + repr(replace(hub, token=Secret("hf_secret")))


def test_a_full_disk_is_noticed_before_anything_is_fetched(hub, hub_stand_in, downloader):
    with pytest.raises(DownloadFailed, match=r"2048 KiB|2.0\d MiB|still to be downloaded"):
        replace(downloader, free_bytes=lambda folder: 1024).fetch(hub)
    assert hub_stand_in.contents() == []


def test_two_runs_at_once_download_once(hub, hub_stand_in, downloader):
    folders = []
    runs = [threading.Thread(target=lambda: folders.append(downloader.fetch(hub))) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert folders == [downloader.folder(hub)] * 2
    assert len(hub_stand_in.contents()) == 4  # three files, one of them redirected


def test_waiting_for_another_run_is_said(hub, downloader, told):
    folder = downloader.folder(hub)
    folder.mkdir(parents=True)
    with folder.with_name(folder.name + ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        run = threading.Thread(target=downloader.fetch, args=(hub,))
        run.start()
        while "Another process is downloading this model" not in told.text:
            run.join(0.01)
    run.join()
    assert files_in(folder).keys() == WANTED


@pytest.mark.parametrize(
    "path",
    [
        "../evil.json",
        "/etc/evil.json",
        "a/../../evil.json",
        "a//b.json",
        "./a.json",
        "a\\..\\b.json",
        "C:evil.json",
        "a\nb.json",
        "a\0b.json",
        "",
    ],
)
def test_names_that_would_leave_the_folder_stop_the_download(hub, hub_stand_in, downloader, path):
    hub_stand_in.files[path] = b"{}"
    with pytest.raises(DownloadFailed, match="would leave the model's folder"):
        downloader.fetch(hub)
    assert hub_stand_in.contents() == []


def test_hidden_files_are_not_fetched():
    files = [RemoteFile(path, 1, "0" * 64) for path in ("config.json", "a.safetensors", ".x.json", ".git/y.json")]
    assert [file.path for file in needed_files(files)] == ["config.json", "a.safetensors"]


@pytest.mark.parametrize(
    "listing",
    [
        b"<html>Captive portal</html>",
        [],
        {"siblings": "none", "Data": {"Files": "none"}},
        {"siblings": [{"size": 3}], "Data": {"Files": [{"Type": "blob"}]}},
        {"siblings": ["config.json"], "Data": {"Files": ["config.json"]}},
        {"sha": "../../x", "siblings": [], "Data": None},
        {"Success": False, "Code": 10010205001, "Message": "no", "siblings": None},
        b"[" * 20_000_000,
        b"[" * 1_000_000,
    ],
)
def test_answers_that_are_no_listing_are_refused(hub, hub_stand_in, downloader, listing):
    hub_stand_in.listing = listing
    with pytest.raises(DownloadFailed):
        downloader.fetch(hub)


def test_a_repository_without_a_model_is_refused(hub, hub_stand_in, downloader):
    del hub_stand_in.files["model.safetensors"]
    with pytest.raises(DownloadFailed, match=r"no config.json and \*.safetensors"):
        downloader.fetch(hub)


def test_a_file_without_a_digest_can_not_be_verified_and_is_refused():
    with pytest.raises(DownloadFailed, match="names no size or digest"):
        needed_files([RemoteFile("config.json", 1, ""), RemoteFile("a.safetensors", 1, "0" * 64)])


@pytest.mark.parametrize("repo", ["Qwen3Guard", "../x/y", "a/b/c", "a/..", "https://huggingface.co/a/b"])
def test_a_name_that_is_no_model_is_refused(repo):
    with pytest.raises(DownloadFailed, match="is not the name of a model"):
        Hub(source=Source.HUGGINGFACE, repo=repo, revision="main", endpoint="https://huggingface.co")


def test_a_revision_or_endpoint_that_is_none_is_refused():
    with pytest.raises(DownloadFailed, match="is not a branch, tag or commit"):
        Hub(source=Source.HUGGINGFACE, repo="a/b", revision="../main", endpoint="https://huggingface.co")
    with pytest.raises(DownloadFailed, match="must be an http"):
        Hub(source=Source.HUGGINGFACE, repo="a/b", revision="main", endpoint="file:///etc")


def test_addresses_are_those_of_the_hubs():
    file = RemoteFile("nested/合并.txt", 1, "0" * 64)
    huggingface = Hub(source=Source.HUGGINGFACE, repo="a/b", revision="refs/pr/1", endpoint="https://hf-mirror.com/")
    assert huggingface.listing_url == "https://hf-mirror.com/api/models/a/b/revision/refs%2Fpr%2F1?blobs=true"
    assert huggingface.file_url(file, commit="c") == (
        "https://hf-mirror.com/a/b/resolve/c/nested/%E5%90%88%E5%B9%B6.txt"
    )
    modelscope = Hub(source=Source.MODELSCOPE, repo="a/b", revision="v1", endpoint=Source.MODELSCOPE.endpoint)
    assert modelscope.listing_url == "https://modelscope.cn/api/v1/models/a/b/repo/files?Revision=v1&Recursive=true"
    assert modelscope.file_url(file, commit="v1") == (
        "https://modelscope.cn/api/v1/models/a/b/repo?Revision=v1&FilePath=nested%2F%E5%90%88%E5%B9%B6.txt"
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)
ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "rfilename": JSON,
        "Path": JSON,
        "Type": JSON,
        "size": JSON,
        "Size": JSON,
        "blobId": JSON,
        "lfs": JSON,
        "Sha256": JSON,
    },
)
LISTING = JSON | st.fixed_dictionaries(
    {
        "sha": JSON,
        "siblings": st.lists(ENTRY, max_size=4) | JSON,
        "Data": st.fixed_dictionaries({"Files": st.lists(ENTRY, max_size=4) | JSON}) | JSON,
    }
)


@given(body=LISTING, source=st.sampled_from(Source))
def test_no_answer_of_a_hub_is_a_crash(body, source):
    hub = Hub(source=source, repo="a/b", revision="main", endpoint="https://hub.example")
    with contextlib.suppress(DownloadFailed):
        hub.parse_listing(body)


@given(path=st.text(st.sampled_from("ab./\\:\0 é"), max_size=12).map(lambda text: text + ".json"))
def test_every_name_that_is_accepted_stays_in_its_folder(path):
    others = [RemoteFile("config.json", 1, "0" * 64), RemoteFile("m.safetensors", 1, "0" * 64)]
    try:
        accepted = needed_files([*others, RemoteFile(path, 1, "0" * 64)])
    except DownloadFailed:
        return
    folder = Path("/cache/model")
    for file in accepted:
        assert Path(os.path.normpath(folder / file.path)).is_relative_to(folder)
        assert os.path.normpath(folder / file.path) != str(folder)
