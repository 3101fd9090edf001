"""Ids that nobody has had before."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from moderation_service.ids import ordered_hex, random_hex

FORK = """
import os
from moderation_service.ids import random_hex

random_hex(32)
read, write = os.pipe()
if os.fork() == 0:
    os.write(write, random_hex(32).encode())
    os._exit(0)
os.wait()
print(random_hex(32) != os.read(read, 99).decode())
"""


def test_ids_are_hexadecimal_digits_of_the_length_asked_for() -> None:
    for length in (1, 24, 32, 33):
        one = random_hex(length)
        assert len(one) == length
        assert set(one) <= set("0123456789abcdef")


def test_no_id_comes_twice_in_whatever_thread() -> None:
    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(lambda _: random_hex(32), range(2000)))
    assert len(set(ids)) == len(ids)


def test_a_forked_process_has_ids_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "True\n"


def test_ids_that_are_kept_begin_with_their_time_and_go_on_at_random() -> None:
    before = int(time.time())
    ids = [ordered_hex(24) for _ in range(200)]
    assert all(before <= int(one[:8], 16) <= time.time() for one in ids)
    assert {len(one) for one in ids} == {24}
    assert len({one[8:] for one in ids}) == len(ids)
