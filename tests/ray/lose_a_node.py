"""A cluster of two nodes on this machine, one of which is lost in the middle of a job.

usage: lose_a_node.py URL
"""

from __future__ import annotations

import os
import sys
import threading
import time

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}

import ray
from ray.cluster_utils import Cluster

from moderation_service.config.settings import ServersUrl, Settings
from moderation_service.data.ray import Judges, annotate

ROWS = 600


def main(url: str) -> None:
    memory = 100 * 2**20
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 4, "object_store_memory": memory})
    lost = cluster.add_node(num_cpus=4, object_store_memory=memory, resources={"other": 1})
    ray.init(address=cluster.address, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    judges = Judges(settings=Settings(engine="vllm", upstreams=(ServersUrl(url),)), actors=4, in_flight=4, num_cpus=2)
    rows = [{"id": number, "prompt": f"How do I bake bread {number}?"} for number in range(ROWS)]
    labelled = annotate(ray.data.from_items(rows, override_num_blocks=12), judges)

    def lose() -> None:
        time.sleep(float(os.environ.get("LOSE_AFTER_S", "4")))
        cluster.remove_node(lost, allow_graceful=False)

    loser = threading.Thread(target=lose)
    loser.start()
    found = labelled.take_all()
    was_meanwhile = not loser.is_alive()
    loser.join()
    assert was_meanwhile, "the job was over before the node was lost"
    assert sorted(row["id"] for row in found) == list(range(ROWS)), len(found)
    assert all(row["guard_safety"] == "safe" for row in found)
    print(f"{len(found)} rows, each once; 1 node lost", flush=True)
    ray.shutdown()
    cluster.shutdown()


main(sys.argv[1])
