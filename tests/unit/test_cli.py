"""The command line itself: exit codes, help that answers at once, output for people and for programs."""

from __future__ import annotations

import errno
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from figment.cli._console import Console
from figment.cli._main import REFUSALS, VERBS
from tests.commands import QUICK, done, figment
from tests.pictures import classes, write_folder

HELPS = (
    "--help",
    "-h",
    "help",
    "",
    *(f"{verb} --help" for verb in VERBS),
    *(f"data {way} --help" for way in ("build", "report", "split", "restore")),
    "train -h",
    "train vae --help",
    "train",
    "data",
    "list",
)


# Help.


@pytest.mark.parametrize("words", HELPS)
def test_help_is_given_and_is_no_mistake(words):
    answer = figment(*words.split())
    assert (answer.code, answer.err) == (0, "")
    assert "figment" in answer.out


def test_the_overview_names_every_verb_with_what_it_does():
    text = done("--help").out
    for verb in VERBS:
        (line,) = [line for line in text.splitlines() if line.startswith(f"  {verb} ")]
        assert len(line.split()) > 4


def test_a_familys_help_has_its_own_settings_with_its_own_defaults():
    text = " ".join(done("train", "gan", "--help").out.replace("│", " ").split())
    assert "Length of the noise vector. (default: 64)" in text
    assert "(default: 0.5)" in text  # of --train.beta1, the family's
    assert "(default: 16)" in " ".join(done("train", "gan", "--scale", "tiny", "--help").out.replace("│", " ").split())


def seconds(*words: str) -> float:
    """User and system time of a whole Python process, its own start included."""
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


@pytest.mark.parametrize("words", ["--help", "list families", "train --help", "data build --help"])
def test_help_takes_less_than_a_third_of_a_second_of_processor_time(words):
    """The best of three, or the first below; a machine on which Python with its parser starts slowly is given more."""
    limit = max(0.3, 5 * min(seconds("-c", "import tyro") for _ in range(2)))
    assert any(seconds("-m", "figment", *words.split()) < limit for _ in range(3))


# Exit codes.


def test_exit_code_0_is_done():
    assert "\neuler " in "\n" + done("list", "samplers").out


def test_exit_code_2_is_your_mistake_and_never_a_traceback():
    answer = figment("list", "nothing")
    assert answer.code == 2 and "Traceback" not in answer.err


def test_exit_code_1_is_not_your_mistake_and_has_a_traceback(tmp_path):
    """Here it is that of a plugin from another package, which divides by zero as soon as it is imported."""
    (tmp_path / "broken_plugin.py").write_text('"""A family that breaks."""\n1 / 0\n')
    (tmp_path / "broken-1.dist-info").mkdir()
    (tmp_path / "broken-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (tmp_path / "broken-1.dist-info/entry_points.txt").write_text("[figment.families]\nbroken = broken_plugin\n")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}

    def figment(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "figment", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    listed = figment("list", "families")
    assert listed.returncode == 0 and "broken              A family that breaks." in listed.stdout.splitlines()
    trained = figment("train", "broken", "--data", "x", "--out", "y")
    assert trained.returncode == 1
    assert trained.stderr.startswith("Traceback") and trained.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_exit_code_130_is_interrupted(tmp_path, monkeypatch):
    """Ctrl-C where nothing asks politely: while a dataset is built."""
    build = ("data", "build", write_folder(tmp_path / "pictures", classes(4)), "--out", tmp_path / "out", "--json")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: signal.raise_signal(signal.SIGINT))
        answer = figment(*build)
    assert answer.code == 130
    told = "interrupted; what was committed is kept, give the same command again to go on"
    assert answer.err.splitlines()[-1] == f"figment: {told}"
    assert answer.json == {"error": {"code": 130, "message": told}}
    assert sum(done(*build).json["counts"].values()) == 8


def test_the_second_interrupt_is_final(capsys):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), Console(as_json=False).graceful_stop() as stopping:
        assert not stopping()
        signal.raise_signal(signal.SIGINT)
        assert stopping()
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    assert capsys.readouterr().err == "warning: stopping after this step; everything is being saved\n"


SAVED = "everything is saved, give the same command again to go on"
BEFORE = "what was saved before is kept, give the same command again to go on"


@pytest.mark.parametrize(
    ("words", "interrupts", "told"),
    [
        (("train", "vae", *QUICK, "--steps", 9), 1, SAVED),
        (("train", "vae", *QUICK, "--steps", 9), 2, BEFORE),
        (("make", "digits:"), 1, "what is done is kept, give the same command again to go on"),
        (("sample", "RUN", "--num", 2), 1, "give the same command again"),
    ],
    ids=["train", "train, twice", "make", "sample"],
)
def test_whoever_interrupts_is_told_what_is_kept(digits, tmp_path, monkeypatch, words, interrupts, told):
    """Ctrl-C at the first file that is given its name."""
    done("train", "vae", "--data", digits.path, "--out", tmp_path / "run", *QUICK, "--steps", 1)
    left, replace = interrupts, os.replace

    def replace_or_interrupt(*paths: object) -> None:
        nonlocal left
        if left:
            left -= 1
            signal.raise_signal(signal.SIGINT)
        replace(*paths)

    monkeypatch.setattr(os, "replace", replace_or_interrupt)
    words = [tmp_path / "run" if word == "RUN" else word for word in words]
    data = ("--data", digits.path) if words[0] == "train" else ()
    answer = figment(*words, *data, "--out", tmp_path / "out")
    assert (answer.code, answer.err.splitlines()[-1]) == (130, f"figment: interrupted; {told}")


@pytest.mark.parametrize("number", REFUSALS, ids=lambda number: errno.errorcode[number])
def test_what_the_system_refuses_is_told_in_one_line(tmp_path, digits, monkeypatch, number):
    digits.images("train")  # has its cache made, so that the first to be refused is the run

    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        command = ("train", "vae", "--data", digits.path, "--out", tmp_path / "run", *QUICK, "--steps", 1)
        assert REFUSALS[number] in figment(*command).complaint
    done(*command)  # and nothing of that is in the way


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize(
    ("words", "code"),
    [("--help", 0), ("list families", 0), ("check --help", 0), ("list samplers --json", 0), ("eval --json", 2)],
)
def test_a_reader_that_has_seen_enough_is_no_mistake(words, code, unbuffered):
    """As in `figment list families | head -1`; and a mistake stays one, told on standard error."""
    ended = without_reader(words, unbuffered, stderr=subprocess.PIPE)
    assert ended.returncode == code
    assert "Error" not in ended.stderr and "Exception" not in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
@pytest.mark.parametrize("words", ["list families", "list families --json", "eval --json"])
def test_a_full_disk_for_the_answer_is_told_in_one_line(words):
    with open("/dev/full", "w", encoding="utf-8") as full:
        command = [sys.executable, "-m", "figment", *words.split()]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 2 and ended.stderr.splitlines()[-1].startswith("figment: ")
    assert "Traceback" not in ended.stderr and "Exception" not in ended.stderr


@pytest.mark.parametrize(("words", "code"), [("list families", 0), ("eval --json", 2)])
def test_that_nobody_wants_the_answer_is_no_mistake(words, code):
    """As of a service that was begun with its standard output closed."""
    command = f"{shlex.quote(sys.executable)} -m figment {words} >&-"
    ended = subprocess.run(command, shell=True, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == code and "Traceback" not in ended.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize(("words", "code"), [("list samplers --json", 0), ("trian", 2)])
def test_a_reader_of_everything_may_leave_too(words, code, unbuffered):
    """As in `figment trian 2>&1 | head -1`."""
    assert without_reader(words, unbuffered, stderr=subprocess.STDOUT).returncode == code


def without_reader(words: str, unbuffered: str, stderr: int) -> subprocess.CompletedProcess[str]:
    """A command whose standard output nobody reads; the variable is set either way, whatever it is outside."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "figment", *words.split()]
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    ended = subprocess.run(command, env=environment, stdout=writing, stderr=stderr, text=True, check=False)
    os.close(writing)
    return ended


# For programs.


def test_json_is_one_object_and_all_that_is_on_standard_output():
    answer = done("list", "families", "--json")
    assert answer.out.count("\n") == 1
    assert {"classifier", "flow", "gan", "vae"} <= {plugin["name"] for plugin in answer.json["plugins"]}
    assert "classifier" in answer.err  # what people read has gone to the other side
    latents = {"name": "latents", "type": "int", "default": "16", "help": "Numbers that a picture is encoded as."}
    assert latents in done("list", "families", "vae", "--json").json["settings"]


@pytest.mark.parametrize("verb", ["list", "train", "edit", "data"])
def test_json_without_a_subject_is_a_mistake_and_no_help(verb):
    answer = figment(verb, "--json")
    assert answer.code == 2 and f"figment {verb}" in answer.json["error"]["message"]


def test_every_verb_answers_in_json(digits, tmp_path):
    run, picture = tmp_path / "run", tmp_path / "one.png"
    train = ("train", "vae", "--data", digits.path, "--out", run, *QUICK, "--steps", 2)
    assert done(*train, "--json").json == {"run": str(run), "family": "vae", "steps": 2}
    assert done(*train, "--json").json == {"run": str(run), "family": "vae", "steps": 2}  # already trained
    sampled = done("sample", run, "--num", 2, "--out", picture, "--json").json
    assert sampled == {"out": str(picture), "num": 2, "files": [str(picture)]}
    pictures = write_folder(tmp_path / "pictures", classes(4))
    built = done("data", "build", pictures, "--dry-run", "--out", tmp_path / "none", "--json").json
    assert sum(built["counts"].values()) == 8 and built["spec"]["classes"] == ["cat", "dog"]
    assert done("check", "steps/split", "--json").json["name"] == "split"


def test_a_plugin_that_breaks_its_contract_fails_its_check(tmp_path, monkeypatch):
    from figment.core import plugins

    (tmp_path / "lazy_step.py").write_text('"""A step with another signature."""\ndef mend(picture): ...\n')
    (tmp_path / "lazy-1.dist-info").mkdir()
    (tmp_path / "lazy-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: lazy\nVersion: 1\n")
    (tmp_path / "lazy-1.dist-info/entry_points.txt").write_text("[figment.steps]\nlazy = lazy_step\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    plugins.forget()
    try:
        answer = figment("check", "lazy")
    finally:
        plugins.forget()
    assert answer.complaint == (
        "steps/lazy fails 1 checks: has the contract's signature; mend the plugin and check again"
    )
    assert "FAILED  has the contract's signature: mend(record, config) is the contract" in answer.out
