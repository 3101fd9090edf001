"""The two hubs that have Qwen3Guard: which files a model has at a revision, and where each can be fetched.

Both protocols as their own clients speak them (huggingface_hub 2.4 `hf_api.py`, `file_download.py`; modelscope_hub
0.5 `_legacy_api.py`, `_download.py`).
"""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, urlencode, urlsplit

from ..config.settings import Secret
from .errors import DownloadFailed

__all__ = ["Hasher", "Hub", "Listing", "RemoteFile", "Source", "check_path", "huggingface_file", "needed_files"]

_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_REVISION = re.compile(r"[\w./-]{1,200}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_DIGEST = re.compile(r"[0-9a-f]{64}|[0-9a-f]{40}")
# What serving needs. Pickled weights and Python code are left out on purpose: opening them runs them.
_WEIGHTS = ".safetensors"
_SUFFIXES = (".json", _WEIGHTS, ".txt", ".jinja", ".model")


class Source(enum.Enum):
    """Where models come from."""

    HUGGINGFACE = "huggingface"
    MODELSCOPE = "modelscope"

    @property
    def endpoint(self) -> str:
        """The hub itself, rather than a mirror of it."""
        return "https://huggingface.co" if self is Source.HUGGINGFACE else "https://modelscope.cn"

    @property
    def default_revision(self) -> str:
        """The branch that is meant when none is named."""
        return "main" if self is Source.HUGGINGFACE else "master"


class Hasher(Protocol):
    """What hashlib returns."""

    def update(self, data: bytes, /) -> None:
        """Take in more bytes."""

    def hexdigest(self) -> str:
        """The digest so far."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a model: `path` is checked to stay inside the folder, `digest` is what the content must have.

    A digest of 64 digits is a SHA-256; one of 40 is git's own id of the content, which is all that Hugging Face
    tells of small files.
    """

    path: str
    size: int
    digest: str

    def hasher(self) -> Hasher:
        """A fresh hash for the content."""
        if len(self.digest) == 64:
            return hashlib.sha256()
        # Not a protection against forgery, only what the hub offers; it came over the same TLS as the content would.
        return hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a model, and the commit they are of (the branch's name where the hub does not tell)."""

    files: tuple[RemoteFile, ...]
    commit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """One model on one hub. Raises DownloadFailed for a name or revision that can't be one."""

    source: Source
    repo: str
    revision: str
    endpoint: str
    token: Secret | None = None
    with_weights: bool = True
    """False: everything but the weights, for who only has to know how the model reads and what it answers."""

    def __post_init__(self) -> None:
        if not _REPO.fullmatch(self.repo) or ".." in self.repo:
            raise DownloadFailed(f"--model: {self.repo!r} is not the name of a model, such as Qwen/Qwen3Guard-Gen-4B.")
        if not _REVISION.fullmatch(self.revision) or ".." in self.revision:
            raise DownloadFailed(f"--revision: {self.revision!r} is not a branch, tag or commit.")
        if urlsplit(self.endpoint).scheme not in ("http", "https") or not urlsplit(self.endpoint).netloc:
            raise DownloadFailed(f"The hub's address must be an http(s) URL, not {self.endpoint!r}.")

    @property
    def kind(self) -> str:
        """What is fetched, for messages."""
        return "model"

    @property
    def remedy(self) -> str:
        """What helps where access is refused."""
        variable = "HF_TOKEN" if self.source is Source.HUGGINGFACE else "MODELSCOPE_API_TOKEN"
        hint = "is not accepted" if self.token else f"is needed: set {variable}"
        return f"For a private or gated {self.kind} a token {hint}."

    @property
    def place(self) -> Path:
        """The folder of the files, inside the cache."""
        # A folder of its own without the weights: it must never pass for the complete model.
        name = self.revision.replace("/", "--") + ("" if self.with_weights else ".without-weights")
        return Path(self.source.value, self.repo.replace("/", "--"), name)

    @property
    def known_listing(self) -> Listing | None:
        """The list of files where it need not be asked for."""
        return None

    @property
    def listing_url(self) -> str:
        """Where the list of files is."""
        if self.source is Source.HUGGINGFACE:
            return f"{self._root}/api/models/{self.repo}/revision/{quote(self.revision, safe='')}?blobs=true"
        query = urlencode({"Revision": self.revision, "Recursive": "true"})
        return f"{self._root}/api/v1/models/{self.repo}/repo/files?{query}"

    def file_url(self, file: RemoteFile, *, commit: str) -> str:
        """Where a file's content is; both hubs may redirect from there to their storage."""
        if self.source is Source.HUGGINGFACE:
            return f"{self._root}/{self.repo}/resolve/{quote(commit, safe='')}/{quote(file.path)}"
        query = urlencode({"Revision": commit, "FilePath": file.path})
        return f"{self._root}/api/v1/models/{self.repo}/repo?{query}"

    def parse_listing(self, body: object) -> Listing:
        """The files in the hub's answer. Raises DownloadFailed for an answer that isn't one, and for unsafe names."""
        if not isinstance(body, dict):
            raise DownloadFailed(f"{self.endpoint}: answered something that is not a list of files.")
        if self.source is Source.HUGGINGFACE:
            entries, commit = body.get("siblings"), str(body.get("sha") or self.revision)
            if not _COMMIT.fullmatch(commit) and commit != self.revision:
                raise DownloadFailed(f"{self.endpoint}: names no commit.")
            read = huggingface_file
        else:
            if body.get("Success") is False or not isinstance(body.get("Data"), dict):
                raise DownloadFailed(f"{self.endpoint}: refused to list {self.repo} (code {_code(body)}).")
            entries, commit, read = body["Data"].get("Files"), self.revision, _modelscope_file
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise DownloadFailed(f"{self.endpoint}: answered something that is not a list of files.")
        try:
            files = [file for file in map(read, entries) if file is not None]
        except (KeyError, TypeError, ValueError) as error:
            raise DownloadFailed(f"{self.endpoint}: describes a file without its name, size or digest.") from error
        needed = needed_files(files)
        if not self.with_weights:
            needed = tuple(file for file in needed if not file.path.endswith(_WEIGHTS))
        return Listing(needed, commit)

    @property
    def _root(self) -> str:
        return self.endpoint.rstrip("/")


def needed_files(files: Sequence[RemoteFile]) -> tuple[RemoteFile, ...]:
    """Those that serving needs. Raises DownloadFailed for a name that would leave the folder, or when it's no model."""
    for file in files:
        check_path(file.path)
    needed = tuple(file for file in files if file.path.endswith(_SUFFIXES) and not _is_hidden(file.path))
    names = [file.path.casefold() for file in needed]
    if len(set(names)) != len(names):
        raise DownloadFailed("The hub lists the same file twice.")
    if not all(file.size >= 0 and _DIGEST.fullmatch(file.digest) for file in needed):
        raise DownloadFailed("The hub names no size or digest for a file that is needed; it could not be verified.")
    if "config.json" not in names or not any(name.endswith(_WEIGHTS) for name in names):
        raise DownloadFailed(
            "This repository has no config.json and *.safetensors; it is not a model that vLLM can load."
        )
    return needed


def huggingface_file(entry: Mapping[str, Any]) -> RemoteFile | None:
    """A file as Hugging Face's listing describes it."""
    large = entry.get("lfs")
    digest = large.get("sha256") or large.get("oid") if isinstance(large, dict) else entry.get("blobId")
    return _remote_file(entry["rfilename"], entry.get("size"), digest)


def _modelscope_file(entry: Mapping[str, Any]) -> RemoteFile | None:
    if entry.get("Type") == "tree":
        return None
    return _remote_file(entry["Path"], entry.get("Size"), entry.get("Sha256"))


def _remote_file(path: object, size: object, digest: object) -> RemoteFile:
    """Size and digest may be missing here (-1 and empty): of most files they don't matter."""
    if not isinstance(path, str):
        raise TypeError
    known = isinstance(size, int) and not isinstance(size, bool)
    return RemoteFile(path, size if known and isinstance(size, int) else -1, str(digest or "").lower())


def check_path(path: str) -> None:
    """Raise DownloadFailed for a name that would leave the folder."""
    if (
        len(path) > 512
        or "\\" in path
        or ":" in path
        or any(ord(letter) < 32 or ord(letter) == 127 for letter in path)
        or any(part in ("", ".", "..") for part in path.split("/"))
    ):
        raise DownloadFailed("The hub lists a file whose name would leave the model's folder; nothing was downloaded.")


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))


def _code(body: Mapping[str, Any]) -> int | str:
    code = body.get("Code")
    return code if isinstance(code, int) else "unknown"
