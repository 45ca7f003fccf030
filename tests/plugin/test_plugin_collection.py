from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import Suite


def collected(result: pytest.RunResult) -> list[str]:
    """Return the node ids that ``--collect-only -q`` lists."""
    return [line for line in result.outlines if "::" in line]


def test_a_simulation_is_an_item_that_runs_and_leaves_a_record(each_mode: Suite) -> None:
    each_mode.simulation("sim_a", tags=["urgent"])
    each_mode.simulation("sim_b", folder="evals/deeper", tags=["urgent"])
    each_mode.simulation("sim_c")
    result = each_mode.run("-v", "--strict-markers", "-m", "urgent and simulation")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines_random(
        ["*evals/sim_a.json::sim_a PASSED*", "*evals/deeper/sim_b.json::sim_b PASSED*"]
        if "-n2" not in each_mode.mode
        else ["*PASSED evals/sim_a.json::sim_a*", "*PASSED evals/deeper/sim_b.json::sim_b*"]
    )
    assert each_mode.outcomes() == {"sim_a": "passed", "sim_b": "passed"}
    records = each_mode.records()
    assert records["sim_b"]["nodeid"] == "evals/deeper/sim_b.json::sim_b"
    assert records["sim_b"]["path"] == "evals/deeper/sim_b.json"


def test_the_id_is_the_files_own_or_its_stem(suite: Suite) -> None:
    suite.simulation("sim_a", simulation_id="booking")
    suite.simulation("sim_b")
    result = suite.run("--collect-only", "-q")
    assert collected(result) == ["evals/sim_a.json::booking", "evals/sim_b.json::sim_b"]


def test_collecting_leaves_no_folder_and_opens_no_session(suite: Suite) -> None:
    suite.simulation("sim_only_collected")
    result = suite.run("--collect-only", "-q")
    assert collected(result) == ["evals/sim_only_collected.json::sim_only_collected"]
    assert not (suite.root / "results").exists()
    assert suite.server.received("model-sim_only_collected") == []


def test_names_choose(suite: Suite) -> None:
    for name in ("sim_a", "sim_b", "sim_c"):
        suite.simulation(name)
    suite.run("-k", "sim_b").assert_outcomes(passed=1, deselected=2)
    assert suite.outcomes() == {"sim_b": "passed"}


def test_a_node_id_chooses(suite: Suite) -> None:
    suite.simulation("sim_a", simulation_id="first")
    suite.simulation("sim_b")
    suite.run("evals/sim_a.json::first").assert_outcomes(passed=1)
    assert suite.outcomes() == {"first": "passed"}


@pytest.mark.parametrize("expression", ["urgent", "simulation and urgent", "not calm"])
def test_tags_and_kind_are_marks_also_strict_ones(suite: Suite, expression: str) -> None:
    suite.simulation("sim_a", tags=["urgent"])
    suite.simulation("sim_b", tags=["calm"])
    result = suite.run("--strict-markers", "-m", expression, "--collect-only", "-q")
    assert collected(result) == ["evals/sim_a.json::sim_a"]


def test_other_files_and_folders_are_left_alone(suite: Suite) -> None:
    suite.simulation("sim_a")
    suite.simulation("sim_outside", folder="elsewhere")
    suite.write("evals/settings.json", {"some": "settings"})
    suite.write("evals/broken.json", "{")
    suite.write("evals/prices.csv", "name,price\na,1\n")
    suite.write("data.csv", "simulation_id,simulation_path\nx,nowhere.json\n")
    result = suite.run("--collect-only", "-q")
    assert collected(result) == ["evals/sim_a.json::sim_a"]
    assert result.ret == 0


def test_eval_paths_names_other_folders(suite: Suite) -> None:
    suite.ini["eval_paths"] = "voice more/calls"
    suite.simulation("sim_a", folder="voice")
    suite.simulation("sim_b", folder="more/calls")
    suite.simulation("sim_c", folder="evals")
    result = suite.run("--collect-only", "-q")
    assert collected(result) == ["more/calls/sim_b.json::sim_b", "voice/sim_a.json::sim_a"]


def test_a_file_on_the_command_line_is_collected_wherever_it_is(suite: Suite) -> None:
    suite.simulation("sim_a", folder="elsewhere")
    suite.simulation("sim_b", folder="elsewhere")
    suite.run("elsewhere/sim_a.json").assert_outcomes(passed=1)
    assert suite.outcomes() == {"sim_a": "passed"}


def test_a_named_file_is_collected_once_beside_its_folder(suite: Suite) -> None:
    suite.simulation("sim_a")
    result = suite.run("evals/sim_a.json", "evals", "--collect-only", "-q")
    assert collected(result) == ["evals/sim_a.json::sim_a"]


def test_an_index_adds_to_a_simulation_that_is_found_by_name(suite: Suite) -> None:
    suite.simulation("sim_a", caller={"says": ["Really?", "Really really?"]})
    suite.index("sim_a,sim_a.json,2", more=",max_turns_override")
    suite.run().assert_outcomes(passed=1)
    assert len(suite.records()["sim_a"]["transcript"]["turns"]) == 2


def test_an_index_names_files_elsewhere_and_by_other_names(suite: Suite) -> None:
    suite.simulation("sim_a")
    suite.simulation("sim_far", folder="shared")
    suite.simulation("sim_odd", folder="evals", file="odd_name")
    suite.index("sim_a,sim_a.json", "sim_far,../shared/sim_far.json", "sim_odd,odd_name.json")
    suite.run().assert_outcomes(passed=3)
    assert set(suite.outcomes()) == {"sim_a", "sim_far", "odd_name"}


def test_two_indexes_collect_a_file_once(suite: Suite) -> None:
    suite.simulation("sim_far", folder="shared")
    suite.index("sim_far,../shared/sim_far.json", name="evals/one.csv")
    suite.index("sim_far,../shared/sim_far.json", name="evals/two.csv")
    result = suite.run("--collect-only", "-q")
    assert len(collected(result)) == 1
    assert result.ret == 0


def test_an_index_on_the_command_line_collects_its_rows(suite: Suite) -> None:
    suite.simulation("sim_a")
    suite.simulation("sim_b")
    suite.index("sim_a,sim_a.json")
    suite.run("evals/index.csv").assert_outcomes(passed=1)
    assert suite.outcomes() == {"sim_a": "passed"}


def test_data_csv_leaves_out_what_it_does_not_list(suite: Suite) -> None:
    suite.simulation("sim_a")
    suite.simulation("sim_b")
    suite.index("sim_b,evals/sim_b.json", name="chosen.csv")
    suite.run("--eval-data-csv", "chosen.csv", "evals").assert_outcomes(passed=1)
    assert suite.outcomes() == {"sim_b": "passed"}


def test_a_disabled_row_is_a_skip_with_its_note(suite: Suite) -> None:
    suite.simulation("sim_off_a")
    suite.simulation("sim_off_b")
    suite.index(
        "sim_off_a,sim_off_a.json,false,waits for the new menu",
        "sim_off_b,sim_off_b.json,false,",
        more=",enabled,notes",
    )
    result = suite.run("-rs")
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines(["*waits for the new menu*"])
    result.stdout.fnmatch_lines(["*disabled in index.csv*"])
    assert suite.outcomes() == {"sim_off_a": "skipped", "sim_off_b": "skipped"}
    assert suite.records()["sim_off_a"]["reason"].endswith("waits for the new menu")
    assert suite.server.received("model-sim_off_a") == []


def test_max_examples_counts_enabled_simulations(suite: Suite) -> None:
    for name in ("sim_a", "sim_b", "sim_c", "sim_d"):
        suite.simulation(name)
    suite.index("sim_a,sim_a.json,no", more=",enabled")
    suite.run("--eval-max-examples", "2").assert_outcomes(passed=2, skipped=1, deselected=1)
    assert {n for n, o in suite.outcomes().items() if o == "passed"} == {"sim_b", "sim_c"}


def test_max_examples_counts_what_k_left(suite: Suite) -> None:
    for name in ("sim_a", "sim_b", "sim_c"):
        suite.simulation(name)
    suite.run("--eval-max-examples=1", "-k", "not sim_a").assert_outcomes(passed=1, deselected=2)
    assert suite.outcomes() == {"sim_b": "passed"}


def test_python_tests_are_not_counted(suite: Suite) -> None:
    suite.simulation("sim_a")
    suite.simulation("sim_b")
    suite.write("evals/test_plain.py", "def test_one(): pass\ndef test_two(): pass\n")
    suite.run("--eval-max-examples=1").assert_outcomes(passed=3, deselected=1)


def test_tags_that_no_mark_can_be_called_are_named_alike(suite: Suite) -> None:
    suite.simulation("sim_a", tags=["two words", "_hidden", "a:b", "c(d)"])
    suite.simulation("sim_b")
    result = suite.run("--strict-markers", "--collect-only", "-q", "-m", "two_words and hidden")
    assert collected(result) == ["evals/sim_a.json::sim_a"]


def test_an_index_beside_a_named_simulation_collects_it_once(suite: Suite) -> None:
    suite.simulation("sim_a")
    suite.index("sim_a,sim_a.json")
    result = suite.run("evals/sim_a.json", "evals/index.csv", "--collect-only", "-q")
    assert collected(result) == ["evals/sim_a.json::sim_a"]


def test_the_index_on_the_command_line_has_the_last_word(suite: Suite) -> None:
    suite.simulation("sim_a", caller={"says": ["Really?", "Really really?"]})
    suite.index("sim_a,sim_a.json,3", more=",max_turns_override")
    suite.index("sim_a,evals/sim_a.json,2", more=",max_turns_override", name="mine.csv")
    suite.run("mine.csv").assert_outcomes(passed=1)
    assert len(suite.records()["sim_a"]["transcript"]["turns"]) == 2


def test_files_are_named_from_the_folder_that_one_stands_in(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.simulation("sim_a", folder="elsewhere")
    (suite.root / "here").mkdir()
    monkeypatch.chdir(suite.root / "here")
    result = suite.run("../elsewhere/sim_a.json", "--collect-only", "-q")
    assert [line.rpartition("/")[2] for line in collected(result)] == ["sim_a.json::sim_a"]


def test_failed_simulations_that_an_index_names_elsewhere_run_again(suite: Suite) -> None:
    no_yes = [[{"say": "No."}]]
    suite.simulation("sim_a", no_yes)
    suite.simulation("sim_b")
    suite.simulation("sim_far", no_yes, folder="shared")
    suite.index("sim_far,../shared/sim_far.json")
    suite.cache = True
    suite.run().assert_outcomes(passed=1, failed=4)
    again = suite.run("--lf", "--collect-only", "-q")
    assert sorted(collected(again)) == ["evals/sim_a.json::sim_a", "shared/sim_far.json::sim_far"]
