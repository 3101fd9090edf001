"""What a killed service leaves in the temporary folder, and what the next one may clear away of it."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from processes import Running, is_running, running, until

from moderation_service.server.run_folder import make_run_folder, remove_leftovers

pytestmark = pytest.mark.slow

PREFIX = "moderation-metrics-"


def folders(path: Path) -> set[Path]:
    return set(path.glob(PREFIX + "*"))


def kill(service: Running) -> None:
    """As the kernel does when memory runs out: no process of it can clear away."""
    workers = service.workers()
    service.process.kill()
    service.wait()
    until(lambda: not any(is_running(pid) for pid in workers))


def test_what_a_killed_service_left_is_cleared_away_by_the_next_start(tmp_path: Path) -> None:
    with running("--workers", "2", TMPDIR=str(tmp_path)) as service:
        service.moderate("bread")
        (left,) = folders(tmp_path)
        kill(service)
        assert any(left.iterdir())
    with running("--workers", "1", TMPDIR=str(tmp_path)) as service:
        (mine,) = folders(tmp_path)
        assert mine != left
        assert service.stop() == 0
    assert folders(tmp_path) == set()


def test_the_folder_of_a_service_that_lives_is_left_alone(tmp_path: Path) -> None:
    with running("--workers", "1", TMPDIR=str(tmp_path)) as first:
        first.moderate("bread")
        (used,) = folders(tmp_path)
        before = set(used.iterdir())
        with running("--workers", "1", TMPDIR=str(tmp_path)):
            assert len(folders(tmp_path)) == 2
        assert before <= set(used.iterdir())
        assert b"moderation_decisions_total" in first.request("GET", "/metrics").body


def test_a_worker_that_outlives_its_parent_still_has_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made = make_run_folder(PREFIX)
    worker = os.fork()
    if worker == 0:
        signal.pause()
    try:
        made.close()
        remove_leftovers(PREFIX)
        assert folders(tmp_path) == {made.path}
    finally:
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)
    remove_leftovers(PREFIX)
    assert folders(tmp_path) == set()


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that was left behind, with a counter in it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made = make_run_folder(PREFIX)
    (made.path / "counter_1.db").write_bytes(b"x")
    made.close()
    return made.path


def test_a_leftover_goes_with_its_files(left: Path) -> None:
    remove_leftovers(PREFIX)
    assert not left.exists()


@pytest.mark.parametrize("name", ["moderation-up-1", "moderation-metrics", "other-moderation-metrics-1"])
def test_only_folders_of_the_name_go(left: Path, name: str) -> None:
    other = left.rename(left.with_name(name))
    remove_leftovers(PREFIX)
    assert (other / "counter_1.db").exists()


def test_a_link_to_a_folder_is_not_followed(left: Path) -> None:
    target = left.rename(left.with_name("elsewhere"))
    left.symlink_to(target)
    remove_leftovers(PREFIX)
    assert (target / "counter_1.db").exists()
    assert left.is_symlink()


def test_a_link_in_a_folder_is_removed_and_its_target_is_not(left: Path) -> None:
    precious = left.with_name("precious")
    precious.write_text("x")
    (left / "a-link").symlink_to(precious)
    remove_leftovers(PREFIX)
    assert not left.exists()
    assert precious.read_text() == "x"


def test_a_lock_that_is_a_link_or_no_file_is_not_believed(left: Path) -> None:
    lock, elsewhere = left / "lock", left.with_name("lock")
    lock.rename(elsewhere)
    for make in (lambda: lock.symlink_to(elsewhere), lambda: os.mkfifo(lock), lock.mkdir):
        make()
        remove_leftovers(PREFIX)
        assert (left / "counter_1.db").exists()
        shutil.rmtree(lock) if lock.is_dir() else lock.unlink()


def test_a_folder_that_was_never_locked_by_us_is_left_alone(left: Path) -> None:
    (left / "lock").unlink()
    remove_leftovers(PREFIX)
    assert (left / "counter_1.db").exists()


def test_a_folder_with_folders_in_it_is_none_of_ours(left: Path) -> None:
    (left / "a-folder").mkdir()
    (left / "a-folder" / "file").write_text("x")
    remove_leftovers(PREFIX)
    assert (left / "a-folder" / "file").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("given_away", [".", "lock"])
def test_what_belongs_to_somebody_else_is_left_alone(left: Path, given_away: str) -> None:
    os.chown(left / given_away, 65534, 65534)
    remove_leftovers(PREFIX)
    assert (left / "counter_1.db").exists()


def test_a_temporary_folder_that_cannot_be_read_is_no_reason_not_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    remove_leftovers(PREFIX)
