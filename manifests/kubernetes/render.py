"""Writes the manifests of this folder from the Helm chart, for people without Helm.

    python manifests/kubernetes/render.py [--helm PATH] [--to FOLDER]

Needs a `helm` (3 or 4), and nothing else. A test renders them again and compares.
"""

from __future__ import annotations

import argparse
import re
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
CHART = HERE.parent / "helm" / "moderation-service"
NAMESPACE = "NAMESPACE-OF-YOUR-CHOICE"

COMMON = {
    "fullnameOverride": "moderation-service",
    # Keys that Helm would make; a file in a repository is no place for them.
    "gateway.apiKeys.existingSecret": "moderation-service-api-keys",
    "tests.enabled": "false",
    "vllm.persistence.keep": "false",
}
VARIANTS = {
    "vllm.yaml": {"engine": "vllm", "vllm.apiKey.existingSecret": "moderation-service-guard-key"},
    "external.yaml": {"engine": "external", "external.urls": "{http://guard.models.svc:8000}"},
    "lite.yaml": {"engine": "lite"},
}
ABOUT = {
    "vllm.yaml": "The service and Qwen3Guard-Gen-0.6B on vLLM, on one GPU.",
    "external.yaml": "The service in front of a model server that runs already: put its address into `upstreams`.",
    "lite.yaml": "The service with the embedded engine alone: no GPU, for trying things out.",
}
HEADER = """\
# {about}
# Made from the Helm chart by manifests/kubernetes/render.py; change it there. docs/kubernetes.md says how to use it.
"""
# What only Helm has a use for, and the namespace, which `kubectl apply --namespace` chooses.
_LEFT_OUT = re.compile(
    rf'^ +(helm\.sh/chart|app\.kubernetes\.io/managed-by): .*\n|^ +namespace: "{NAMESPACE}"\n', re.MULTILINE
)


def render(variant: str, *, helm: str) -> str:
    """The text of one file."""
    values = {**COMMON, **VARIANTS[variant]}
    settings = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    command = [helm, "template", "moderation-service", str(CHART), "--namespace", NAMESPACE, *settings]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return HEADER.format(about=ABOUT[variant]) + re.sub(r"\n\n+---", "\n---", _LEFT_OUT.sub("", text))


def main() -> None:
    """Write all files."""
    parser = argparse.ArgumentParser(description="Write the manifests of this folder from the chart.")
    parser.add_argument("--helm", default="helm")
    parser.add_argument("--to", type=Path, default=HERE)
    options = parser.parse_args()
    for variant in VARIANTS:
        (options.to / variant).write_text(render(variant, helm=options.helm), encoding="utf-8")


if __name__ == "__main__":
    main()
