"""Who runs what: a division of items among workers that each side can derive alone."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def partition(
    nodeids: Sequence[str], workers: int, durations: Mapping[str, float]
) -> list[list[int]]:
    """Divide items among workers, longest first, each to the one with the least to do.

    This is Graham's longest-processing-time rule ("Bounds on Multiprocessing Timing
    Anomalies", 1969): at most 4/3 of the best division. An item without a known duration
    counts as the mean of the known ones.

    Args:
        nodeids: The items, in pytest's order.
        workers: How many there are.
        durations: Seconds that items took in an earlier run.

    Returns:
        For each worker the indexes of its items, in the order in which it runs them.
    """
    known = [durations[nodeid] for nodeid in nodeids if nodeid in durations]
    mean = sum(known) / len(known) if known else 1.0
    seconds = [durations.get(nodeid, mean) for nodeid in nodeids]
    shares: list[list[int]] = [[] for _ in range(workers)]
    loads = [(0.0, 0, worker) for worker in range(workers)]
    for index in sorted(range(len(nodeids)), key=lambda i: -seconds[i]):
        load, count, worker = heapq.heappop(loads)
        shares[worker].append(index)
        heapq.heappush(loads, (load + seconds[index], count + 1, worker))
    return shares
