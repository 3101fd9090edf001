"""Which model `up` takes, where it comes from and where it is kept."""

from __future__ import annotations

from dataclasses import replace

from .download import Downloader, default_cache
from .errors import LaunchError
from .guard import GUARDS, Guard, guard_in_folder
from .hub import Hub
from .options import Outside, UpOptions

__all__ = ["downloader", "fixed_guard", "hub_of"]


def fixed_guard(options: UpOptions, outside: Outside) -> Guard | None:
    """The model the user named; None leaves it to the plan."""
    if options.model_dir is not None:
        return guard_in_folder(options.model_dir)
    known = {guard.size: guard for guard in GUARDS}
    if options.model is None:
        return known[options.size] if options.size else None
    for guard in GUARDS:
        if guard.repo == options.model:
            return guard
    if options.size is not None:
        return replace(known[options.size], repo=options.model)
    # An unknown model, perhaps a fine-tuned one: its files say what it needs.
    if options.dry_run:
        raise LaunchError(f"--model {options.model} is not known here; say with --size which one it is derived from.")
    folder = downloader(options, outside).fetch(hub_of(options, options.model))
    return replace(guard_in_folder(folder), repo=options.model)


def hub_of(options: UpOptions, repo: str) -> Hub:
    """Where a model of that name comes from. Raises DownloadFailed for a name or revision that can't be one."""
    return Hub(
        source=options.source,
        repo=repo,
        revision=options.revision or options.source.default_revision,
        endpoint=options.endpoint or options.source.endpoint,
        token=options.token,
    )


def downloader(options: UpOptions, outside: Outside) -> Downloader:
    """What fetches models into the cache."""
    cache = options.cache_dir or default_cache(outside.environ)
    return Downloader(cache=cache, console=outside.console, sleep=outside.sleep)
