"""What processes share of the database: the newest that any of them has read, in whatever order they come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from moderation_service.web.shared_texts import SharedTexts

READERS = 3
STEPS = st.lists(st.one_of(st.just("change"), st.integers(0, READERS - 1)), max_size=30)


@given(STEPS)
def test_no_reader_puts_what_is_older_over_what_is_newer(steps: list[str | int]) -> None:
    shared = SharedTexts()
    revision, reading, latest = 0, {}, -1
    for step in steps:
        if isinstance(step, str):
            revision += 1
        elif step not in reading:  # a reader begins, and may be slow
            reading[step] = (shared.moment(), revision)
        else:
            since, read = reading.pop(step)
            is_newest = shared.put({"revision": str(read)}, revision=read, since=since)
            assert is_newest == (read >= latest)
            latest = max(latest, read)
            assert shared.get() == {"revision": str(latest)}


def test_nothing_is_known_before_something_was_read() -> None:
    assert SharedTexts().get() is None


def test_of_one_revision_the_reading_that_was_put_first_stays() -> None:
    shared = SharedTexts()
    since = shared.moment()
    assert shared.put({"kids": "as changed meanwhile"}, revision=1, since=since)
    assert not shared.put({"kids": "as before"}, revision=1, since=since)
    assert shared.get() == {"kids": "as changed meanwhile"}
    assert shared.put({"kids": "as read once more"}, revision=1, since=shared.moment())


def test_a_database_that_was_restored_is_followed() -> None:
    shared = SharedTexts()
    before = shared.moment()
    assert shared.put({"kids": "tenth"}, revision=10, since=before)
    assert shared.put({"kids": "third"}, revision=3, since=shared.moment())
    assert shared.get() == {"kids": "third"}
    # What was read of the database that is no more comes late.
    assert not shared.put({"kids": "eleventh"}, revision=11, since=before)
    assert shared.get() == {"kids": "third"}
    since = shared.moment()
    assert shared.put({"kids": "fourth"}, revision=4, since=since)
    assert shared.put({"kids": "fifth"}, revision=5, since=since)


def test_a_database_made_anew_is_followed() -> None:
    shared = SharedTexts()
    assert shared.put({"kids": "tenth"}, revision=10, since=shared.moment())
    assert shared.put({}, revision=0, since=shared.moment())
    assert shared.get() == {}
