"""What is in a plugin folder and in a .difypkg, a plain zip. The rules are those of langgenius/dify-plugin-daemon.

A package has its entries sorted by path, deflated, no directory entries, and `manifest.yaml` at its root. Packing the
same files twice gives the same bytes.
"""

from __future__ import annotations

import fnmatch
import hashlib
import io
import os
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import yaml


def read_ignore(root: Path) -> list[str]:
    """.difyignore, or .gitignore when there is no .difyignore. Nothing else is left out by itself."""
    for name in (".difyignore", ".gitignore"):
        if (root / name).is_file():
            lines = (line.strip() for line in (root / name).read_text("utf-8").splitlines())
            return [line for line in lines if line and not line.startswith("#")]
    return []


def excluded(pattern: str, parts: tuple[str, ...], is_dir: bool) -> bool:
    """Git's pattern rules as the packager applies them: the first match excludes, a `!` pattern never brings back."""
    if pattern.startswith("!"):
        return False
    directory_only = pattern.endswith("/")
    pattern = pattern.rstrip("/")
    if "/" not in pattern:  # a name: matches at any depth
        for depth, part in enumerate(parts):
            if fnmatch.fnmatchcase(part, pattern):
                return is_dir or not directory_only or depth < len(parts) - 1
        return False
    wanted = pattern.lstrip("/").split("/")

    def match(i: int, j: int) -> bool:
        if i == len(wanted):
            return j < len(parts) or is_dir or not directory_only
        if j == len(parts):
            return False
        if wanted[i] == "**":
            return any(match(i + 1, k) for k in range(j, len(parts)))
        return fnmatch.fnmatchcase(parts[j], wanted[i]) and match(i + 1, j + 1)

    return match(0, 0)


def collect(root: str | os.PathLike[str]) -> dict[str, bytes]:
    base = Path(root)
    if not (base / "manifest.yaml").is_file():
        raise SystemExit(f"{base} has no manifest.yaml")
    patterns = read_ignore(base)
    files: dict[str, bytes] = {}
    for folder, subfolders, names in os.walk(base):
        inside = Path(folder).relative_to(base).parts
        subfolders[:] = [name for name in subfolders if not any(excluded(p, (*inside, name), True) for p in patterns)]
        for name in names:
            if not any(excluded(p, (*inside, name), False) for p in patterns):
                files["/".join((*inside, name))] = (Path(folder) / name).read_bytes()
    return dict(sorted(files.items()))


def checksum(files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(hashlib.sha256(path.encode()).digest() + hashlib.sha256(files[path]).digest())
    return digest.hexdigest()


def identifier(files: Mapping[str, bytes]) -> str:
    manifest = yaml.safe_load(files["manifest.yaml"])
    return f"{manifest['author']}/{manifest['name']}:{manifest['version']}@{checksum(files)}"


def write_zip(entries: Iterable[tuple[str, bytes]], comment: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(info, content)
        archive.comment = comment
    return buffer.getvalue()


def read_package(path: str | os.PathLike[str]) -> tuple[dict[str, bytes], bytes]:
    """Entries in the order of the zip, and the zip's comment."""
    with zipfile.ZipFile(path) as archive:
        files: dict[str, bytes] = {}
        for info in archive.infolist():
            parts = PurePosixPath(info.filename)
            if (
                info.is_dir()
                or parts.is_absolute()
                or ".." in parts.parts
                or "\\" in info.filename
                or info.filename in files
            ):
                raise SystemExit(f"illegal entry in package: {info.filename!r}")
            files[info.filename] = archive.read(info)
        return files, archive.comment


def unpack(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> None:
    for name, content in read_package(path)[0].items():
        target = Path(folder, *PurePosixPath(name).parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
