from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_realtime_eval.exceptions import ConfigurationError, FileError, InfraError
from pytest_realtime_eval.metrics.fst import (
    FstAcceptance,
    ProgramAnalyzer,
    open_analyzer,
    parse_answer,
    words,
)

HFSTOL = Path(__file__).parents[1] / "data" / "fst" / "kitchen.hfstol"

LEXICON = {
    "el": ["el+Det"],
    "gato": ["gato+N"],
    "niño": ["niño+N"],
    "come": ["comer+V+3Sg", "comer+V+Imp"],
}

PREAMBLE = f"""
import sys, os, time
sys.stdin.reconfigure(encoding="utf-8"); sys.stdout.reconfigure(encoding="utf-8")
LEXICON = {LEXICON}
open(os.environ["STARTS"], "a").write("start\\n")
"""

BY_LINE = """
for word in sys.stdin:
    word = word.strip("\\n")
    for analysis in LEXICON.get(word, [None]):
        print(known(word, analysis) if analysis else unknown(word))
    print(flush=True)
"""

CONVENTIONS = {
    "hfst-optimized-lookup": """
known = lambda word, analysis: f"{word}\\t{analysis}"
unknown = lambda word: f"{word}\\t{word}\\t+?"
"""
    + BY_LINE,
    "hfst-lookup": """
known = lambda word, analysis: f"{word}\\t{analysis}\\t0.000000"
unknown = lambda word: f"{word}\\t{word}+?\\tinf"
sys.stderr.write("> ")
"""
    + BY_LINE,
    "flookup": """
known = lambda word, analysis: f"{word}\\t{analysis}"
unknown = lambda word: f"{word}\\t+?"
"""
    + BY_LINE,
    "no blank lines": """
known = lambda word, analysis: f"{word}\\t{analysis}"
unknown = lambda word: f"{word}\\t+?"
"""
    + BY_LINE.replace("print(flush=True)", "sys.stdout.flush()"),
    "lt-proc": """
text = ""
while char := sys.stdin.read(1):
    if char != "\\0":
        text += char
        continue
    word, text = text.strip("\\n"), ""
    print(f"^{word}/{'/'.join(LEXICON.get(word, ['*' + word]))}$\\n", end="\\0", flush=True)
""",
}

Program = Callable[[str], str]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Write a program and return the command that runs it."""
    monkeypatch.setenv("STARTS", str(tmp_path / "starts"))

    def write(source: str, name: str = "analyser.py") -> str:
        path = tmp_path / name
        path.write_text(PREAMBLE + source, encoding="utf-8")
        return f"{sys.executable} {path}"

    return write


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_every_convention_of_an_unknown_word(
    convention: str, program: Program, tmp_path: Path
) -> None:
    arguments = " -w -z" if convention == "lt-proc" else ""
    analyzer = open_analyzer(program(CONVENTIONS[convention]) + arguments, timeout=20)
    try:
        accepted = analyzer.accept("¡El niño come!".replace("El", "el"))
        assert accepted.accepted
        assert accepted.analyses["come"] == ["comer+V+3Sg", "comer+V+Imp"]
        refused = analyzer.accept("el perro come")
        assert not refused.accepted
        assert refused.analyses == {
            "el": ["el+Det"],
            "perro": [],
            "come": ["comer+V+3Sg", "comer+V+Imp"],
        }
    finally:
        analyzer.close()
    assert (tmp_path / "starts").read_text() == "start\n", "it is kept resident"


def test_an_hfstol_file_is_read_in_process() -> None:
    pytest.importorskip("pyhfst")
    analyzer = open_analyzer(str(HFSTOL))
    assert analyzer.accept("El niño come la sopa.".lower()).accepted
    assert analyzer.analyses("come") == ["comer+V+3Sg", "comer+V+Imp"]
    assert analyzer.analyses("xyz") == []
    assert analyzer.analyses("a" * 2000) == []
    assert not analyzer.accept("日本 el").accepted


@pytest.mark.parametrize(
    ("command", "program_name"),
    [
        ("hfst-lookup {}", "hfst-lookup"),
        ("hfst-optimized-lookup {}", "hfst-optimized-lookup"),
    ],
)
def test_real_programs_agree_with_pyhfst(command: str, program_name: str) -> None:
    if not shutil.which(program_name):
        pytest.skip(f"{program_name} is not installed")
    analyzer = open_analyzer(command.format(HFSTOL), timeout=20)
    try:
        assert analyzer.accept("el niño come la sopa").accepted
        assert not analyzer.accept("el perro come la sopa").accepted
        assert sorted(analyzer.analyses("come")) == ["comer+V+3Sg", "comer+V+Imp"]
    finally:
        analyzer.close()


def test_nothing_is_accepted_without_words() -> None:
    pytest.importorskip("pyhfst")
    analyzer = open_analyzer(str(HFSTOL))
    assert not analyzer.accept("").accepted
    assert not analyzer.accept(" … ?! ").accepted


def test_words_lose_punctuation_and_symbols_around_them() -> None:
    assert words("«¿Dónde, e\u0301l?» — (don't) $5 = co-op…") == [
        "Dónde",
        "él",
        "don't",
        "5",
        "co-op",
    ]


def test_a_program_that_dies_is_an_error_with_its_stderr(program: Program) -> None:
    source = 'sys.stdin.readline(); sys.stderr.write("cannot load model.bin"); sys.exit(3)'
    analyzer = open_analyzer(program(source), timeout=20)
    with pytest.raises(InfraError, match=r"ended with status 3 on 'gato'.*cannot load model\.bin"):
        analyzer.accept("gato")
    analyzer.close()


def test_a_program_that_hangs_is_an_error_with_its_stderr(program: Program) -> None:
    source = 'sys.stderr.write("thinking"); sys.stderr.flush(); time.sleep(60)'
    analyzer = open_analyzer(program(source), timeout=1.5)
    with pytest.raises(
        InfraError, match=r"no whole answer in 1\.5 s .*without buffering.*thinking"
    ) as error:
        analyzer.accept("gato")
    assert error.value.failure_stage == "fst_analyzer"
    assert not error.value.retryable
    analyzer.close()


def test_a_program_that_never_stops_talking_is_an_error(program: Program) -> None:
    source = "while True: print('gato\\tgato+N', flush=True); time.sleep(0.01)"
    analyzer = open_analyzer(program(source), timeout=0.5)
    with pytest.raises(InfraError, match="no whole answer"):
        analyzer.accept("gato")
    analyzer.close()


def test_an_answer_in_no_convention_is_an_error(program: Program) -> None:
    analyzer = open_analyzer(program("for word in sys.stdin: print(word.strip(), flush=True)"))
    with pytest.raises(InfraError, match="no lookup convention"):
        analyzer.accept("gato")
    analyzer.close()


def test_silence_about_a_word_is_an_error(program: Program) -> None:
    source = (
        "for word in sys.stdin: print(word.strip() + '\\t+?' if 'zz' in word else '', flush=True)"
    )
    analyzer = open_analyzer(program(source))
    with pytest.raises(InfraError, match="no lookup convention"):
        analyzer.accept("gato")
    analyzer.close()


def test_a_program_that_died_is_started_again_but_not_for_ever(
    program: Program, tmp_path: Path
) -> None:
    analyzer = open_analyzer(program("sys.stdin.readline(); sys.exit(1)"))
    fatal = []
    for word in ["a", "b", "c", "d", "e"]:
        with pytest.raises(InfraError) as error:
            analyzer.accept(word)
        fatal.append(error.value.fatal)
    assert fatal == [False, False, True, True, True]
    assert (tmp_path / "starts").read_text().count("start") == 3
    analyzer.close()


def test_a_crash_on_one_word_spares_the_next_one(program: Program) -> None:
    source = CONVENTIONS["flookup"].replace(
        'word = word.strip("\\n")', 'word = word.strip("\\n")\n    if word == "boom": sys.exit(9)'
    )
    analyzer = open_analyzer(program(source))
    with pytest.raises(InfraError, match="status 9 on 'boom'"):
        analyzer.accept("el boom")
    assert analyzer.accept("el gato").accepted
    analyzer.close()


def test_a_file_that_is_not_executable_says_so(tmp_path: Path) -> None:
    path = tmp_path / "analyser"
    path.write_text("#!/bin/sh\n")
    with pytest.raises(ConfigurationError, match=r"cannot be executed.*chmod \+x"):
        open_analyzer(str(path))


def test_a_program_that_is_not_there_says_so() -> None:
    with pytest.raises(ConfigurationError, match="no-such-analyser was not found"):
        open_analyzer("no-such-analyser --fast")


def test_an_empty_command_says_so() -> None:
    with pytest.raises(ConfigurationError, match="empty command"):
        open_analyzer(" ")


@pytest.mark.parametrize("content", [b"", b"HFST\0\x01", b"not an FST at all" * 20])
def test_a_broken_hfstol_file_is_a_file_error(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("pyhfst")
    path = tmp_path / "broken.hfstol"
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"broken\.hfstol"):
        open_analyzer(str(path))


def test_a_missing_hfstol_file_is_a_file_error(tmp_path: Path) -> None:
    pytest.importorskip("pyhfst")
    with pytest.raises(FileError, match="No such file"):
        open_analyzer(str(tmp_path / "none.hfstol"))


def test_closing_leaves_no_thread_and_no_process(program: Program) -> None:
    before = threading.active_count()
    analyzer = open_analyzer(program(CONVENTIONS["flookup"]))
    assert isinstance(analyzer, ProgramAnalyzer)
    analyzer.analyses("gato")
    assert analyzer._process is not None
    pid = analyzer._process._process.pid
    analyzer.close()
    assert threading.active_count() == before
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(
    ("answer", "analyses"),
    [
        ("gato\tgato+N\t0.0\ngato\tgatear+V\t1.5\n\n", ["gato+N", "gatear+V"]),
        ("qué?\tqué+?\t0.5\n", ["qué+?"]),
        ("^don/*don$'^t/*t$\n", []),
        ("^a/a<n>$-^b/*b$\n", []),
        ("^a\\/b/x<n>$", ["x<n>"]),
    ],
)
def test_answers(answer: str, analyses: list[str]) -> None:
    assert parse_answer(answer) == analyses


def test_flookup_and_lt_proc_are_told_to_answer_at_once(tmp_path: Path) -> None:
    log = tmp_path / "arguments"
    for name in ("flookup", "lt-proc"):
        path = tmp_path / name
        path.write_text(f'#!/bin/sh\necho {name} "$@" >> {log}\nexec sleep 60\n')
        path.chmod(0o755)
        analyzer = open_analyzer(f"{path} model.bin", timeout=0.2)
        with pytest.raises(InfraError):
            analyzer.analyses("gato")
        analyzer.close()
    assert log.read_text().splitlines() == ["flookup -b model.bin", "lt-proc -z model.bin"]


def test_the_metric_is_a_rate() -> None:
    pytest.importorskip("pyhfst")
    metric = FstAcceptance(open_analyzer(str(HFSTOL)))
    assert metric.corpus_of([("el gato", ""), ("el perro", ""), ("", ""), ("come", "")]) == 0.5
    assert metric.signature.startswith("analyzer:kitchen.hfstol|")
