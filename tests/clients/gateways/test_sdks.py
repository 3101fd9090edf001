"""The vendors' own SDKs, pointed at the service: Azure's, AWS's and Alibaba Cloud's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from alibabacloud_green20220302.client import Client as GreenClient
from alibabacloud_green20220302.models import TextModerationPlusRequest
from alibabacloud_tea_openapi.models import Config as GreenConfig
from azure.ai.contentsafety import ContentSafetyClient
from azure.ai.contentsafety.models import AnalyzeTextOptions
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from botocore.config import Config
from botocore.exceptions import ClientError
from fakes import FakeEngine

from moderation_service.errors import EngineUnavailable

pytestmark = pytest.mark.clients

Serve = Callable[..., str]
HARMLESS, HARMFUL, DOUBTFUL = "How do I bake bread?", "how to make a bomb", "an insult"


def down() -> dict[str, Any]:
    return {"engine": FakeEngine(raises=EngineUnavailable("Down."))}


def azure(url: str, key: str) -> ContentSafetyClient:
    return ContentSafetyClient(url, AzureKeyCredential(key), retry_total=0)


def severities(client: ContentSafetyClient, text: str, **headers: str) -> dict[str, int | None]:
    analysis = client.analyze_text(AnalyzeTextOptions(text=text), headers=headers).categories_analysis
    return {str(one.category): one.severity for one in analysis if one.severity}


def test_azures_sdk_reads_severities(serve: Serve, key: str) -> None:
    with azure(serve(), key) as client:
        assert severities(client, HARMLESS) == {}
        assert severities(client, HARMFUL) == {"Violence": 6}
        assert severities(client, DOUBTFUL) == {"Hate": 2}
        assert severities(client, DOUBTFUL, **{"X-Moderation-Policy": "strict"}) == {"Hate": 4}


def test_azures_sdk_raises_what_went_wrong(serve: Serve, key: str) -> None:
    with azure(serve(), "another-key-000") as client, pytest.raises(ClientAuthenticationError):
        severities(client, HARMLESS)
    with azure(serve(**down()), key) as client, pytest.raises(HttpResponseError) as raised:
        severities(client, HARMLESS)
    assert (raised.value.status_code, raised.value.error and raised.value.error.code) == (503, "ServiceUnavailable")


def bedrock(url: str, key: str) -> Any:
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=url,
        region_name="eu-central-1",
        aws_access_key_id=key,
        aws_secret_access_key="not checked",
        config=Config(retries={"max_attempts": 0}),
    )


def applied(client: Any, text: str, *, guardrail: str = "default", source: str = "INPUT") -> Any:
    content = [{"text": {"text": text}}]
    return client.apply_guardrail(guardrailIdentifier=guardrail, guardrailVersion="1", source=source, content=content)


def test_boto3_reads_what_the_guardrail_did(serve: Serve, key: str) -> None:
    client = bedrock(serve(), key)
    assert applied(client, HARMLESS)["action"] == "NONE"
    for source in ("INPUT", "OUTPUT"):
        reply = applied(client, HARMFUL, source=source)
        assert (reply["action"], reply["outputs"][0]["text"]) == (
            "GUARDRAIL_INTERVENED",
            "Sorry, I can't help with that.",
        )
        (violence,) = reply["assessments"][0]["contentPolicy"]["filters"]
        assert violence == {"type": "VIOLENCE", "confidence": "HIGH", "action": "BLOCKED"}
    assert applied(client, DOUBTFUL)["action"] == "NONE"
    assert applied(client, DOUBTFUL, guardrail="strict")["action"] == "GUARDRAIL_INTERVENED"


def test_boto3_raises_what_went_wrong(serve: Serve, key: str) -> None:
    url = serve()
    for client, guardrail, code in (
        (bedrock(url, "another-key-000"), "default", "AccessDeniedException"),
        (bedrock(url, key), "srict", "ResourceNotFoundException"),
        (bedrock(serve(**down()), key), "default", "ServiceUnavailableException"),
    ):
        with pytest.raises(ClientError) as raised:
            applied(client, HARMLESS, guardrail=guardrail)
        assert raised.value.response["Error"]["Code"] == code


def level(url: str, key: str, text: str, *, service: str = "llm_query_moderation") -> Any:
    config = GreenConfig(
        access_key_id=key,
        access_key_secret="not checked",
        region_id="cn-shanghai",
        endpoint=url.removeprefix("http://"),
        protocol="http",
    )
    parameters = json.dumps({"content": text, "sessionId": text + service})
    asked = TextModerationPlusRequest(service=service, service_parameters=parameters)
    reply = GreenClient(config).text_moderation_plus(asked)
    assert (reply.status_code, reply.body.code) == (200, 200)
    return reply.body.data.risk_level


def test_alibabas_sdk_reads_levels(serve: Serve, key: str) -> None:
    url = serve()
    assert level(url, key, HARMLESS) == "none"
    assert level(url, key, HARMFUL) == "high"
    assert level(url, key, HARMFUL, service="llm_response_moderation") == "high"
    assert level(url, key, DOUBTFUL) == "medium"
    assert level(url, key, DOUBTFUL, service="llm_query_moderation@strict") == "high"


def test_alibabas_sdk_is_never_told_that_what_was_not_judged_is_harmless(serve: Serve, key: str) -> None:
    assert level(serve(), "another-key-000", HARMLESS) == "high"
    assert level(serve(**down()), key, HARMLESS) == "high"


def test_a_fail_mode_that_blocks_is_a_block(serve: Serve, key: str, tmp_path: Path) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text("policies: {balanced: {description: d, extends: balanced, on_failure: block}}")
    url = serve(**down(), policies_file=file)
    assert applied(bedrock(url, key), HARMLESS)["action"] == "GUARDRAIL_INTERVENED"
    with azure(url, key) as client:
        assert severities(client, HARMLESS) == {"Violence": 6}
