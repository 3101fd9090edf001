"""Kubernetes' own schemas of three versions, and models of the custom resources."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
from charts import Object, identity
from pydantic import ValidationError

VERSIONS = ("1.27", "1.33", "1.37")
# It parses its files again for every object; they never change.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)


def problems(objects: list[Object], version: str) -> Iterator[str]:
    """What a strict API server of that version would refuse; an apiVersion that it does not have is among it."""
    for one in objects:
        if one["apiVersion"].partition("/")[0] in CUSTOM:
            continue
        try:
            kubernetes_validate.validate(one, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            yield f"{identity(one)}: {'.'.join(map(str, error.path))}: {error.message}"
        except (kubernetes_validate.SchemaNotFoundError, kubernetes_validate.InvalidSchemaError) as error:
            yield f"{identity(one)}: {error.message}"


@functools.cache
def _models() -> dict[str, Any]:
    from cloudcoil.models.keda.v1alpha1 import ScaledObject
    from cloudcoil.models.prometheus_operator.v1 import PrometheusRule, ServiceMonitor

    return {model.__name__: model for model in (ScaledObject, PrometheusRule, ServiceMonitor)}


CUSTOM = {"monitoring.coreos.com", "keda.sh", "gateway.networking.k8s.io"}


def custom_problems(objects: list[Object]) -> Iterator[str]:
    """What the models of the Prometheus operator and of KEDA refuse."""
    for one in objects:
        model = _models().get(one["kind"])
        if model is None:
            continue
        try:
            found = model.model_validate(one)
        except ValidationError as error:
            yield f"{identity(one)}: {error}"
            continue
        back = found.model_dump(by_alias=True, exclude_none=True, exclude_unset=True, mode="json")
        yield from (f"{identity(one)}: {path} is not a field" for path in _lost(one, back))


def _lost(given: Any, kept: Any, path: str = "") -> Iterator[str]:
    """Fields that the model did not keep, because it does not know them."""
    if isinstance(given, dict):
        for key, value in given.items():
            if not isinstance(kept, dict) or key not in kept:
                yield f"{path}.{key}"
            else:
                yield from _lost(value, kept[key], f"{path}.{key}")
    elif isinstance(given, list):
        for index, value in enumerate(given):
            yield from _lost(
                value, kept[index] if isinstance(kept, list) and index < len(kept) else None, f"{path}[{index}]"
            )
