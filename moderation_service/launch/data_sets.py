"""Data sets as the downloader sees them: on Hugging Face, and as files of a repository at GitHub, pinned by a commit.

GitHub tells of a file at a commit its size and git's own digest (`GET /repos/REPO/git/trees/COMMIT`); where the
registry has both size and SHA-256 of every file, it is not asked.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from .errors import DownloadFailed
from .hub import Hub, Listing, RemoteFile, check_path, huggingface_file

__all__ = ["GITHUB", "GITHUB_API", "GitHubFiles", "HubDataSet"]

GITHUB = "https://raw.githubusercontent.com"
GITHUB_API = "https://api.github.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class HubDataSet(Hub):
    """Files of a data set on Hugging Face; the names wanted may have `*` in them."""

    name: str
    wanted: Sequence[str]

    @property
    def kind(self) -> str:
        """What is fetched, for messages."""
        return "data set"

    @property
    def place(self) -> Path:
        """The folder of the set."""
        return Path(self.name)

    @property
    def listing_url(self) -> str:
        """Where the list of files is."""
        root = self.endpoint.rstrip("/")
        return f"{root}/api/datasets/{self.repo}/revision/{quote(self.revision, safe='')}?blobs=true"

    def file_url(self, file: RemoteFile, *, commit: str) -> str:
        """Where a file's content is."""
        root = self.endpoint.rstrip("/")
        return f"{root}/datasets/{self.repo}/resolve/{quote(commit, safe='')}/{quote(file.path)}"

    def parse_listing(self, body: object) -> Listing:
        """The wanted files in the hub's answer. Raises DownloadFailed for an answer that isn't one."""
        entries = body.get("siblings") if isinstance(body, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise DownloadFailed(f"{self.endpoint}: answered something that is not a list of files.")
        try:
            files = [file for file in map(huggingface_file, entries) if file is not None]
        except (KeyError, TypeError, ValueError) as error:
            raise DownloadFailed(f"{self.endpoint}: describes a file without its name.") from error
        assert isinstance(body, dict)
        return Listing(_wanted(files, self.wanted, self), str(body.get("sha") or self.revision))


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHubFiles(Hub):
    """Files of a repository at a commit. Those whose size and SHA-256 are known are checked against these."""

    name: str
    files: Sequence[tuple[str, str | None, int | None]]
    """Path, SHA-256, size."""
    api: str = GITHUB_API

    @property
    def kind(self) -> str:
        """What is fetched, for messages."""
        return "data set"

    @property
    def remedy(self) -> str:
        """What helps where access is refused."""
        return "Without a key GitHub's API answers 60 requests an hour from one address; try again later."

    @property
    def place(self) -> Path:
        """The folder of the set."""
        return Path(self.name)

    @property
    def known_listing(self) -> Listing | None:
        """The files by their pins, if all have one."""
        found = [RemoteFile(path, size, sha256) for path, sha256, size in self.files if sha256 and size is not None]
        return Listing(tuple(found), self.revision) if len(found) == len(self.files) else None

    @property
    def listing_url(self) -> str:
        """Where the files at the commit are listed."""
        return f"{self.api.rstrip('/')}/repos/{self.repo}/git/trees/{self.revision}?recursive=1"

    def file_url(self, file: RemoteFile, *, commit: str) -> str:
        """Where a file's content is."""
        return f"{self.endpoint.rstrip('/')}/{self.repo}/{commit}/{quote(file.path)}"

    def parse_listing(self, body: object) -> Listing:
        """The wanted files in the tree. A SHA-256 that is known takes the place of git's digest."""
        entries = body.get("tree") if isinstance(body, dict) else None
        if not isinstance(entries, list):
            raise DownloadFailed(f"{self.api}: answered something that is not a list of files.")
        pins = {path: sha256 for path, sha256, _ in self.files if sha256}
        try:
            files = [
                RemoteFile(entry["path"], int(entry["size"]), pins.get(entry["path"], entry["sha"]))
                for entry in entries
                if entry.get("type") == "blob"
            ]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DownloadFailed(f"{self.api}: describes a file without its name, size or digest.") from error
        return Listing(_wanted(files, [path for path, _, _ in self.files], self), self.revision)


def _wanted(files: Sequence[RemoteFile], patterns: Sequence[str], hub: Hub) -> tuple[RemoteFile, ...]:
    found = []
    for pattern in patterns:
        matching = [file for file in files if fnmatch.fnmatchcase(file.path, pattern)]
        if not matching:
            raise DownloadFailed(f"{hub.endpoint}: {hub.repo} at {hub.revision} has no file {pattern}.")
        found += matching
    for file in found:
        check_path(file.path)
        if file.size < 0 or len(file.digest) not in (40, 64):
            raise DownloadFailed(f"{hub.endpoint}: names no size or digest of {file.path}; it could not be verified.")
    return tuple(found)
