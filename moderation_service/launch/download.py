"""Brings a model's files onto the disk: whole, verified, and only once.

    <cache>/huggingface/Qwen--Qwen3Guard-Gen-4B/main/        the model, complete when the manifest is there
    <cache>/huggingface/Qwen--Qwen3Guard-Gen-4B/main.partial/   what is still on its way
    <cache>/huggingface/Qwen--Qwen3Guard-Gen-4B/main.lock    held while one process downloads
    <cache>/huggingface/Qwen--Qwen3Guard-Gen-4B/main.without-weights/   the small files alone, if these were asked for

A file is moved into the model's folder only after its digest was checked. A broken transfer goes on where it stopped.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import TypeVar

import requests

from .. import __version__
from .errors import DownloadFailed
from .hub import Hasher, Hub, Listing, RemoteFile, Source
from .locked import locked
from .progress import Console

__all__ = ["MANIFEST", "Downloader", "default_cache"]

_T = TypeVar("_T")

MANIFEST = ".moderation-service.json"
_CHUNK_BYTES = 1024 * 1024
_LISTING_BYTES = 16 * 1024**2
"""A listing of a model has a few kilobytes; this keeps a wrong answer from filling the memory."""
_TIMEOUT_S = (10.0, 60.0)
"""To connect, and between two pieces of a file."""
_ATTEMPTS = 6
"""In a row without a single new byte."""
_LONGEST_WAIT_S = 30.0
_SPARE_BYTES = 512 * 1024**2
"""Left free on the disk."""


class _Again(Exception):
    """This attempt failed in a way that may pass. `wait_s` is what the server asked for."""

    def __init__(self, reason: str, *, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


def default_cache(environ: Mapping[str, str]) -> Path:
    """Where models are kept unless --cache-dir says otherwise."""
    base = environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "moderation-service" / "models"


@dataclass(kw_only=True)
class Downloader:
    """Fetches models. The callables are the outside world, for tests."""

    cache: Path
    console: Console
    sleep: Callable[[float], None] = time.sleep
    free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free
    _session: requests.Session = field(default_factory=lambda: _session())

    def fetch(self, hub: Hub) -> Path:
        """The folder with the model, downloaded if need be. Raises DownloadFailed with the reason.

        A complete model is used without asking the hub, so that a restart needs no network.
        """
        folder = self.folder(hub)
        if _is_complete(folder):
            return folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder.with_name(folder.name + ".lock"), self.console, f"is downloading this {hub.kind}"):
                if not _is_complete(folder):
                    self._download(hub, folder)
        except OSError as error:
            # requests' own errors are OSErrors too, but none gets this far.
            raise DownloadFailed(f"{folder}: {error.strerror or 'the files could not be written'}.") from error
        return folder

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()

    def is_complete(self, hub: Hub) -> bool:
        """Whether `fetch` would have nothing to do."""
        return _is_complete(self.folder(hub))

    def folder(self, hub: Hub) -> Path:
        """Where that model, or data set, is or would be."""
        return self.cache / hub.place

    def _download(self, hub: Hub, folder: Path) -> None:
        self.console.say(f"Downloading {hub.repo} ({hub.revision}) from {hub.endpoint} to {folder}")
        listing = self._list(hub)
        partial = folder.with_name(folder.name + ".partial")
        partial.mkdir(exist_ok=True)
        self._check_disk(listing, folder, partial)
        total, done = sum(file.size for file in listing.files), 0
        for file in listing.files:
            target = folder / file.path
            if not (target.is_file() and target.stat().st_size == file.size and _digest(target, file) == file.digest):
                transfer = _Transfer(self, hub, listing.commit, file, _part(partial, file), done, total)
                transfer.run()
                target.parent.mkdir(parents=True, exist_ok=True)
                transfer.part.replace(target)
            done += file.size
        _write_manifest(folder, hub, listing)
        shutil.rmtree(partial, ignore_errors=True)
        self.console.say(f"Downloaded and verified {len(listing.files)} files, {_gib(total)}, commit {listing.commit}")

    def _list(self, hub: Hub) -> Listing:
        if hub.known_listing is not None:
            return hub.known_listing

        def ask() -> Listing:
            body = b""
            with self.get(hub, hub.listing_url, {}) as reply:
                for chunk in reply.iter_content(_CHUNK_BYTES):
                    body += chunk
                    if len(body) > _LISTING_BYTES:
                        raise DownloadFailed(f"{hub.endpoint}: the list of files is too long to be one.")
            try:
                return hub.parse_listing(json.loads(body))
            except (ValueError, RecursionError) as error:
                raise DownloadFailed(f"{hub.endpoint}: answered something that is not JSON.") from error

        return self.retrying(hub, ask)

    def retrying(self, hub: Hub, attempt: Callable[[], _T], *, progressed: Callable[[], bool] = lambda: False) -> _T:
        """What `attempt` returns, tried again while it fails in passing ways."""
        failures = 0
        while True:
            try:
                return attempt()
            except _Again as again:
                reason, asked_s = str(again), again.wait_s
            except requests.exceptions.InvalidURL as error:
                raise DownloadFailed(f"{hub.endpoint}: redirects to something that is not an address.") from error
            except requests.RequestException as error:
                reason, asked_s = _reason(error), None
            failures = 1 if progressed() else failures + 1
            if failures >= _ATTEMPTS:
                raise DownloadFailed(
                    f"{hub.endpoint}: gave up after {_ATTEMPTS} attempts without progress; the last one: {reason}. "
                    f"What has arrived is kept; the same command goes on from there.{_elsewhere(hub)}"
                )
            wait_s = min(asked_s if asked_s is not None else 2.0 ** (failures - 1), _LONGEST_WAIT_S)
            self.console.say(f"  {reason}; trying again in {wait_s:.0f} s")
            self.sleep(wait_s)

    def get(self, hub: Hub, url: str, headers: dict[str, str]) -> requests.Response:
        """The answer to a GET, its body not read yet. Raises DownloadFailed, _Again or a requests error."""
        # Compressed content could not be resumed.
        sent = {"User-Agent": f"moderation-service/{__version__}", "Accept-Encoding": "identity", **headers}
        if hub.token is not None:
            # requests drops both on the way to another host, so that the storage behind the hub never sees them.
            sent["Authorization"] = f"Bearer {hub.token.value}"
            if hub.source is Source.MODELSCOPE:
                sent["Cookie"] = f"m_session_id={hub.token.value}"
        reply = self._session.get(url, headers=sent, stream=True, timeout=_TIMEOUT_S)
        if reply.status_code in (200, 206, 416):
            return reply
        with reply:
            raise _refusal(hub, reply)

    def _check_disk(self, listing: Listing, folder: Path, partial: Path) -> None:
        missing = 0
        for file in listing.files:
            for there in (folder / file.path, _part(partial, file)):
                if there.is_file():
                    missing -= min(there.stat().st_size, file.size)
                    break
            missing += file.size
        free = self.free_bytes(folder)
        if missing + _SPARE_BYTES > free:
            raise DownloadFailed(
                f"{folder}: {_gib(missing)} are still to be downloaded and {_gib(_SPARE_BYTES)} should stay free, "
                f"but the disk has {_gib(free)}. --cache-dir chooses another one."
            )


def _session() -> requests.Session:
    """One that keeps no cookies: theirs would take the place of the one that is sent as a token."""
    session = requests.Session()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return session


class _Transfer:
    """One file on its way."""

    def __init__(
        self, downloader: Downloader, hub: Hub, commit: str, file: RemoteFile, part: Path, before: int, total: int
    ) -> None:
        self.part = part
        self._downloader = downloader
        self._hub = hub
        self._commit = commit
        self._file = file
        self._before = before
        self._total = total
        self._seen = 0
        self._wrong = 0

    def run(self) -> None:
        """Fetch until the file is whole and its digest right."""
        self._downloader.retrying(self._hub, self._attempt, progressed=self._progressed)

    def _progressed(self) -> bool:
        there = self._size()
        progressed, self._seen = there > self._seen, there
        return progressed

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _attempt(self) -> None:
        hasher = self._file.hasher()
        start = self._size()
        if start > self._file.size:
            self.part.unlink()
            start = 0
        _feed(hasher, self.part, start)
        if start < self._file.size or not self.part.is_file():
            hasher = self._receive(hasher, start)
        if hasher.hexdigest() != self._file.digest:
            self.part.unlink()
            self._seen = 0
            self._wrong += 1
            if self._wrong >= 2:
                raise DownloadFailed(
                    f"{self._file.path}: what {self._hub.endpoint} sent does not have the digest that it announced, "
                    "twice; nothing of it is kept."
                )
            raise _Again(f"{self._file.path} arrived damaged")

    def _receive(self, hasher: Hasher, start: int) -> Hasher:
        url = self._hub.file_url(self._file, commit=self._commit)
        with self._downloader.get(self._hub, url, {"Range": f"bytes={start}-"} if start else {}) as reply:
            if reply.status_code == 416:
                self.part.unlink(missing_ok=True)
                raise _Again(f"{self._file.path} can't be resumed; starting it again")
            if start and not (reply.status_code == 206 and _begins_at(reply, start)):
                # The whole file again: this server does not resume.
                hasher, start = self._file.hasher(), 0
            received = start
            with self.part.open("ab" if start else "wb") as output:
                for chunk in reply.iter_content(_CHUNK_BYTES):
                    received += len(chunk)
                    if received > self._file.size:
                        break
                    output.write(chunk)
                    hasher.update(chunk)
                    self._report(received)
        if received < self._file.size:
            raise _Again(f"{self._file.path} broke off after {_gib(received)}")
        return hasher

    def _report(self, received: int) -> None:
        done = self._before + received
        share = done / self._total if self._total else 1.0
        self._downloader.console.progress(f"  {share:4.0%}  {_gib(done)} of {_gib(self._total)}  {self._file.path}")


def _refusal(hub: Hub, reply: requests.Response) -> Exception:
    """The error for an answer that is not the file."""
    status = reply.status_code
    if status in (401, 403):
        return DownloadFailed(f"{hub.endpoint}: refused {hub.repo} with status {status}. {hub.remedy}")
    if status == 404:
        return DownloadFailed(
            f"{hub.endpoint}: has no {hub.repo} at revision {hub.revision}, or it is private (status 404)."
        )
    if status == 429 or status >= 500:
        wanted = reply.headers.get("Retry-After", "")
        return _Again(f"the hub answered with status {status}", wait_s=float(wanted) if wanted.isdigit() else None)
    return DownloadFailed(f"{hub.endpoint}: answered with status {status}.")


def _begins_at(reply: requests.Response, start: int) -> bool:
    return reply.headers.get("Content-Range", "").startswith(f"bytes {start}-")


def _feed(hasher: Hasher, part: Path, size: int) -> None:
    if size:
        with part.open("rb") as content:
            while chunk := content.read(_CHUNK_BYTES):
                hasher.update(chunk)


def _digest(target: Path, file: RemoteFile) -> str:
    hasher = file.hasher()
    _feed(hasher, target, file.size)
    return hasher.hexdigest()


def _part(partial: Path, file: RemoteFile) -> Path:
    """Named after the content wanted, so that the beginning of an older version is never continued with a newer one."""
    return partial / f"{file.path.replace('/', '--')[-120:]}.{file.digest[:16]}"


def _is_complete(folder: Path) -> bool:
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        return all((folder / file["path"]).stat().st_size == file["size"] for file in files)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _write_manifest(folder: Path, hub: Hub, listing: Listing) -> None:
    """Last of all, and in one step: its presence means that everything else is there."""
    body = {
        "source": hub.source.value,
        "endpoint": hub.endpoint,
        "repo": hub.repo,
        "revision": hub.revision,
        "commit": listing.commit,
        "files": [{"path": file.path, "size": file.size, "digest": file.digest} for file in listing.files],
    }
    draft = folder / (MANIFEST + ".new")
    with draft.open("w", encoding="utf-8") as output:
        json.dump(body, output, indent=2)
        output.flush()
        os.fsync(output.fileno())
    draft.replace(folder / MANIFEST)


def _elsewhere(hub: Hub) -> str:
    """Where else the model can be had: many can't reach Hugging Face."""
    if hub.endpoint != Source.HUGGINGFACE.endpoint or hub.kind != "model":
        return ""
    return " If Hugging Face can't be reached from here, --source modelscope has the same models."


def _reason(error: Exception) -> str:
    """Without the message: it has the URL of the storage, which may be a signed one."""
    return {
        "ConnectTimeout": "the hub did not answer",
        "ReadTimeout": "the hub stopped sending",
        "ConnectionError": "the connection failed",
        "ChunkedEncodingError": "the connection broke",
        "SSLError": "the hub's certificate was not accepted",
        "ProxyError": "the proxy refused",
    }.get(type(error).__name__, type(error).__name__)


def _gib(size: int) -> str:
    return f"{size / 1024**3:.2f} GiB" if size >= 10 * 1024**2 else f"{size / 1024:.0f} KiB"
