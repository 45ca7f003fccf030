from __future__ import annotations

import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_realtime_eval.exceptions import ConfigurationError
from pytest_realtime_eval.thresholds import (
    Threshold,
    evaluate,
    evaluate_all,
    parse_threshold,
    parse_thresholds,
)

SUMMARY = {
    "chrf_plus_plus": 42.31,
    "exact_match_rate": 0.0968,
    "infra_errors": 0,
    "polite tone_grade_mean": None,
    "latency_seconds_p95": float("nan"),
    "run_name": "nightly",
    "real_time": True,
}


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("chrf_plus_plus>=42.31", True),
        (" chrf_plus_plus >= 42.32 ", False),
        ("chrf_plus_plus>42.31", False),
        ("chrf_plus_plus<50", True),
        ("infra_errors==0", True),
        ("infra_errors!=0", False),
        ("infra_errors<=0", True),
        ("exact_match_rate>=1e-1", False),
        ("real_time==1", True),
    ],
)
def test_a_threshold_is_met_or_not(text: str, *, met: bool) -> None:
    assert evaluate(parse_threshold(text), SUMMARY).met is met


names = st.from_regex(r"[a-z][a-z0-9_. \-]{0,20}[a-z0-9]", fullmatch=True)
numbers = st.floats(-1e6, 1e6)


@given(names, st.sampled_from([">=", "<=", ">", "<", "==", "!="]), numbers, numbers)
def test_what_is_written_is_what_is_compared(
    name: str, sign: str, limit: float, value: float
) -> None:
    result = evaluate(parse_threshold(f"{name}{sign}{limit!r}"), {name: value})
    functions = {">=": "ge", "<=": "le", ">": "gt", "<": "lt", "==": "eq", "!=": "ne"}
    assert result.met is getattr(operator, functions[sign])(value, limit)
    assert result.threshold == Threshold(name, sign, limit)


@given(st.text(max_size=20))
def test_any_text_is_a_threshold_or_a_configuration_error(text: str) -> None:
    try:
        threshold = parse_threshold(text)
    except ConfigurationError:
        return
    assert threshold.name.strip()
    assert parse_threshold(str(threshold)).name == threshold.name


@pytest.mark.parametrize(
    "text",
    ["", "chrf", "chrf>=", ">=3", "chrf=3", "chrf=>3", "chrf>=high", "a>=nan", "a<=inf", "a>=1>=2"],
)
def test_what_is_no_threshold_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"\(ini\) is not a name of summary\.json"):
        parse_threshold(text, "ini")


def test_a_value_that_was_not_measured_meets_nothing() -> None:
    for text in ["polite tone_grade_mean>=0", "latency_seconds_p95<=100", "latency_seconds_p95!=3"]:
        result = evaluate(parse_threshold(text), SUMMARY)
        assert not result.met
        assert "measured no" in str(result)


def test_an_unknown_name_comes_with_the_nearest_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"names nothing.*'chrf_plus_plus'"):
        evaluate(parse_threshold("chrf_pluss>=40"), SUMMARY)
    with pytest.raises(ConfigurationError, match="'chrf_plus_plus'"):
        evaluate(parse_threshold("chrf>=40"), SUMMARY)
    with pytest.raises(ConfigurationError) as error:
        evaluate(parse_threshold("zzz>=40"), SUMMARY)
    assert "did you mean" not in str(error.value)


def test_text_cannot_be_compared() -> None:
    with pytest.raises(ConfigurationError, match="run_name is 'nightly'"):
        evaluate(parse_threshold("run_name>=1"), SUMMARY)


def test_every_unknown_name_stands_in_one_message() -> None:
    thresholds = parse_thresholds(["chrf_pluss>=40, infra_errors==0", "infra_error<=1"])
    with pytest.raises(ConfigurationError) as error:
        evaluate_all(thresholds, SUMMARY)
    assert str(error.value).count("names nothing") == 2


def test_several_thresholds_in_one_setting() -> None:
    parsed = parse_thresholds(["a>=1,\n  b<2\n\n", "c==3"], "ini")
    assert [str(threshold) for threshold in parsed] == ["a>=1", "b<2", "c==3"]
    assert {threshold.place for threshold in parsed} == {"ini"}


def test_results_say_what_the_value_is() -> None:
    result = evaluate(parse_threshold("chrf_plus_plus>=50"), SUMMARY)
    assert str(result) == "chrf_plus_plus>=50: not met, it is 42.31"
