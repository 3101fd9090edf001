"""slime's remote reward model, `--rm-type remote_rm --rm-url http://.../rewards/slime`: pure parse and render.

    {"prompt": "..." or [{"role": "user", "content": "..."}], "response": "...", "label": "..."} -> 1.0

The JSON of the reply is the reward itself. The prompt is as the data set or its chat template made it. The label is not
used.

Source: THUDM/slime `slime/rollout/rm_hub/__init__.py`, `remote_rm`.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..core.conversation import Limits
from ..errors import InvalidRequest
from .rendered_chat import Rendered, read_rendered
from .rewards import Given, RewardOptions, Sample, sample_of

__all__ = ["parse", "render"]


def parse(body: object, options: RewardOptions, *, limits: Limits) -> Sample:
    """Read a call. Raises InvalidRequest or TooLarge that names the field."""
    if not isinstance(body, Mapping):
        raise InvalidRequest("The body must be a JSON object.")
    prompt, response = body.get("prompt"), body.get("response")
    if not isinstance(response, str):
        raise InvalidRequest("`response` must be a text.", param="response")
    if isinstance(prompt, str):
        rendered = read_rendered(prompt, response)
    elif isinstance(prompt, list):
        rendered = Rendered(prompt, read_rendered("", response).completion)
    else:
        raise InvalidRequest("`prompt` must be a text or a list of messages.", param="prompt")
    return sample_of(rendered, options, limits=limits, param="response")


def render(given: Given) -> float:
    """The reply."""
    return given.value
