from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from pytest_realtime_eval.distribution import share_of_worker, split, worker_number
from pytest_realtime_eval.execution.partition import partition

IDS = st.lists(st.text(min_size=1, max_size=3), unique=True, max_size=25)
SECONDS = st.dictionaries(st.text(min_size=1, max_size=3), st.floats(0.01, 100), max_size=25)
WORKERS = st.integers(1, 9)


@given(IDS, WORKERS, SECONDS)
def test_every_item_is_in_one_share(
    ids: list[str], workers: int, seconds: dict[str, float]
) -> None:
    shares = partition(ids, workers, seconds)
    assert len(shares) == workers
    assert sorted(index for share in shares for index in share) == list(range(len(ids)))


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=6), st.integers(1, 3))
def test_it_is_at_most_a_third_longer_than_the_best(lasts: list[float], workers: int) -> None:
    ids = [str(index) for index in range(len(lasts))]
    shares = partition(ids, workers, dict(zip(ids, lasts, strict=True)))
    longest = max(sum(lasts[index] for index in share) for share in shares)
    best = min(
        max(sum(s for s, w in zip(lasts, chosen, strict=True) if w == n) for n in range(workers))
        for chosen in product(range(workers), repeat=len(lasts))
    )
    assert longest <= best * 4 / 3 + 1e-9


@given(IDS, WORKERS)
def test_without_durations_shares_are_alike_and_in_order(ids: list[str], workers: int) -> None:
    shares = partition(ids, workers, {})
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    assert all(share == sorted(share) for share in shares)


def test_the_longest_come_first() -> None:
    seconds = {"a": 1.0, "b": 5.0, "c": 3.0, "d": 2.0}
    assert partition("abcd", 1, seconds) == [[1, 2, 3, 0]]
    assert partition("abcd", 2, seconds) == [[1, 0], [2, 3]]


def test_what_has_no_duration_counts_as_the_mean() -> None:
    assert partition(["long", "new", "short"], 1, {"long": 9.0, "short": 1.0}) == [[0, 1, 2]]


@given(IDS, WORKERS, SECONDS)
def test_workers_derive_what_the_controller_does(
    names: list[str], workers: int, seconds: dict[str, float]
) -> None:
    ids = [f"evals/{n}.json::x" if i % 3 else f"tests/{n}.py::x" for i, n in enumerate(names)]
    evals, others = split(ids)
    assert sorted(evals + others) == list(range(len(ids)))
    shares = [
        share_of_worker(ids, {"workerid": f"gw{n}", "workercount": workers}, seconds)
        for n in range(workers)
    ]
    assert sorted(index for share in shares for index in share) == evals
    expected = partition([ids[i] for i in evals], workers, seconds)
    assert shares == [[evals[i] for i in share] for share in expected]


def test_a_worker_that_replaces_a_dead_one_has_no_share() -> None:
    ids = ["evals/a.json::a", "evals/b.json::b"]
    assert share_of_worker(ids, {"workerid": "gw2", "workercount": 2}, {}) == []
    assert worker_number("gw12") == 12
