"""Lists through the doors: replies, records, counts, and a service that can't have them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from app_files import FORUM, SHOP, headers, write_apps
from apps import client_of, make_client, make_service
from fakes import FakeEngine
from flask.testing import FlaskClient

from moderation_service.errors import ConfigurationError

POLICIES = "policies:\n  own:\n    lists: [house]\n"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "house.csv").write_text(
        "id,side,text,category,reason\nw1,block,weed,non_violent_illegal_acts,drugs\nb1,allow,bath bomb,,\n"
    )
    (tmp_path / "policies.yaml").write_text(POLICIES)
    return {
        "lists_file": tmp_path / "house.csv",
        "policies_file": tmp_path / "policies.yaml",
        "default_policy": "own",
        "audit_file": tmp_path / "audit.jsonl",
    }


@pytest.fixture
def client(files: dict[str, Any]) -> FlaskClient:
    return make_client(engine=FakeEngine(), **files)


def test_the_native_door_names_the_entry(client: FlaskClient) -> None:
    reply = client.post("/moderate", json={"prompt": "I sell weed."}).json
    assert (reply["action"], reply["engine"], reply["model"], reply["safety"]) == ("block", "lists", "house", "unsafe")
    assert reply["categories"] == ["non_violent_illegal_acts"]
    assert reply["list_entry"] == {
        "list": "house",
        "id": "w1",
        "side": "block",
        "reason": "drugs",
        "span": {"start": 7, "end": 11},
    }
    allowed = client.post("/moderate", json={"prompt": "Bath bomb!"}).json
    assert (allowed["action"], allowed["safety"], allowed["message"], allowed["cached"]) == (
        "allow",
        "unsafe",
        None,
        False,
    )
    assert (allowed["list_entry"]["id"], allowed["list_entry"]["reason"]) == ("b1", None)
    assert "list_entry" not in client.post("/moderate", json={"prompt": "bread"}).json


def test_the_moderations_door_names_it_beside_the_contract(client: FlaskClient) -> None:
    (result,) = client.post("/v1/moderations", json={"input": "weed"}).json["results"]
    assert result["flagged"] is True
    assert result["categories"]["illicit"] is True
    assert result["x_moderation"]["list_entry"]["id"] == "w1"
    (result,) = client.post("/v1/moderations", json={"input": "bath bomb"}).json["results"]
    assert (result["flagged"], any(result["categories"].values())) == (False, False)


def test_other_doors_act_by_it(client: FlaskClient) -> None:
    dify = {"point": "app.moderation.input", "params": {"app_id": "a", "inputs": {}, "query": "weed"}}
    assert client.post("/dify/moderation", json=dify).json["flagged"] is True
    dify["params"]["query"] = "bath bomb"  # type: ignore[index]
    assert client.post("/dify/moderation", json=dify).json["flagged"] is False


def test_a_record_has_the_entrys_id_and_no_text(client: FlaskClient, files: dict[str, Any]) -> None:
    for prompt in ("I sell weed.", "bread"):
        client.post("/moderate", json={"prompt": prompt})
    lines = [json.loads(line) for line in files["audit_file"].read_text().splitlines()]
    assert [line.get("list_entry") for line in lines] == ["w1", None]
    assert "weed" not in files["audit_file"].read_text()


def test_hits_are_counted_by_list_and_side(files: dict[str, Any]) -> None:
    service = make_service(**files)
    client = client_of(service)
    for prompt in ("weed", "weed", "bath bomb"):
        client.post("/moderate", json={"prompt": prompt})
    text = service.metrics.render().decode()
    assert 'moderation_list_hits_total{list="house",side="block"} 2.0' in text
    assert 'moderation_list_hits_total{list="house",side="allow"} 1.0' in text


def test_a_policy_that_names_a_list_that_is_not_there_stops_the_start(files: dict[str, Any]) -> None:
    files["policies_file"].write_text("policies:\n  own:\n    lists: [house, hoes]\n")
    with pytest.raises(ConfigurationError, match=r":3: `lists`: there is no list 'hoes'; there are house\."):
        make_client(**files)
    files["lists_file"] = None
    with pytest.raises(ConfigurationError, match="`lists_file` names none"):
        make_client(**files)


def test_without_the_extra_lists_are_a_mistake_that_says_what_to_install(
    files: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [one for one in sys.modules if one.startswith("moderation_service.engines.lists")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ahocorasick_rs", None)
    with pytest.raises(ConfigurationError, match="lists_file: ahocorasick_rs is not installed"):
        make_client(**files)


def test_the_lists_of_an_app_count_for_its_requests_alone_at_every_door(tmp_path: Path, files: dict[str, Any]) -> None:
    apps = write_apps(tmp_path, "lists: [house]")
    client = client_of(make_service(engine=FakeEngine(), apps_file=apps, lists_file=files["lists_file"]))

    def blocked(key: str, **policy: str) -> list[bool]:
        own = headers(key)
        native = client.post("/moderate", json={"prompt": "I sell weed.", **policy}, headers=own).json
        alike = client.post("/v1/moderations", json={"input": "I sell weed."}, headers=own).json
        return [native["action"] == "block", alike["results"][0]["flagged"]]

    assert blocked(SHOP) == blocked(SHOP, policy="loose") == [True, True]
    assert blocked(FORUM) == blocked(FORUM, policy="loose") == [False, False]


def test_an_app_that_names_no_list_of_ours_stops_the_start(tmp_path: Path, files: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="there is no list 'house2'; there are house"):
        make_service(apps_file=write_apps(tmp_path, "lists: [house2]"), lists_file=files["lists_file"])
    with pytest.raises(ConfigurationError, match=r"apps\.yaml:2: `lists`: there is no list 'house'; there are none"):
        make_service(apps_file=write_apps(tmp_path, "lists: house"))
