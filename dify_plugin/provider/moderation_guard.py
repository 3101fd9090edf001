"""The provider: checks what the administrator typed in by really asking the service."""

from collections.abc import Mapping
from typing import Any

from dify_plugin import ToolProvider
from dify_plugin.errors.tool import ToolProviderCredentialValidationError
from guard_client import moderate, new_request_id
from guard_errors import GuardError
from guard_outputs import from_decision
from guard_service import service_of

PROBE = {"prompt": "Hello"}


class ModerationGuardProvider(ToolProvider):
    """Service URL, API key, default policy and timeout."""

    def _validate_credentials(self, credentials: Mapping[str, Any]) -> None:
        problem = _problem(credentials)
        if problem:
            raise ToolProviderCredentialValidationError(problem)


def _problem(settings: Mapping[str, Any]) -> str:
    """What is wrong, in words without the key; empty when the service answered with a verdict."""
    try:
        service = service_of(settings)
        body = {**PROBE, "policy": service.policy} if service.policy else PROBE
        decision = moderate(service, body, request_id=new_request_id())
        return str(from_decision(decision, target="prompt", language="", on_error="block")["error"])
    except GuardError as error:
        return str(error)
