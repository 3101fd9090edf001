"""What `up --cpu` needs of the world, small and local: a folder of wheels, a lock of them, a hub with tiny-guard."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy
import pytest

from .test_up import Run, environment  # noqa: F401  # a fixture

ROOT = Path(__file__).parents[2]
TINY_GUARD = ROOT / "examples" / "tiny-guard" / "model"


def write_wheel(folder: Path) -> Path:
    """The fake `xllamacpp`; `gguf`, numpy and yaml are found in our own environment, by a .pth file."""
    name, version = "xllamacpp", "0.0.1"
    ours = {str(Path(numpy.__file__).parents[1]), *(path for path in sys.path if path.endswith("site-packages"))}
    files = {
        "xllamacpp.py": (Path(__file__).with_name("fake_xllamacpp.py")).read_bytes(),
        "xllamacpp_parts.pth": "".join(f"{path}\n" for path in sorted(ours)).encode(),
        f"{name}-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{name}-{version}.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }

    def record(path: str, content: bytes) -> str:
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        return f"{path},sha256={digest},{len(content)}\n"

    listed = "".join(record(path, content) for path, content in files.items())
    files[f"{name}-{version}.dist-info/RECORD"] = f"{listed}{name}-{version}.dist-info/RECORD,,\n".encode()
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return wheel


@dataclass
class CpuParts:
    """The pieces, and what became of them."""

    wheels: Path
    lock: Path
    cache: Path
    fake: Path
    hub: object

    def arguments(self, *more: object) -> tuple[object, ...]:
        return ("--cpu", "--yes", "--cache-dir", self.cache, "--engine-lock", self.lock, *more)

    @property
    def variables(self) -> dict[str, str]:
        return {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
            "PIP_CONFIG_FILE": "/dev/null",
            "HF_ENDPOINT": self.hub.url,
            "FAKE_XLLAMACPP": str(self.fake),
        }

    @property
    def environments(self) -> list[Path]:
        """Those that are whole."""
        return [marker.parent for marker in self.cache.glob("engines/*/.moderation-service.json")]

    @property
    def converted(self) -> list[Path]:
        return list(self.cache.glob("converted/*.gguf"))

    @property
    def starts(self) -> list[dict[str, object]]:
        return [json.loads(file.read_text()) for file in sorted(self.fake.glob("start-*.json"))]


@pytest.fixture
def cpu_parts(tmp_path, hub_stand_in):
    pytest.importorskip("gguf", reason="the extra `dev` brings it")
    for name in ("wheels", "fake"):
        (tmp_path / name).mkdir()
    wheel = write_wheel(tmp_path / "wheels")
    lock = tmp_path / "lock.txt"
    lock.write_text(f"xllamacpp==0.0.1 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    (tmp_path / "fake" / "behaviour").write_text("serve")
    hub_stand_in.files = {file.name: file.read_bytes() for file in TINY_GUARD.iterdir()}
    return CpuParts(tmp_path / "wheels", lock, tmp_path / "cache", tmp_path / "fake", hub_stand_in)
