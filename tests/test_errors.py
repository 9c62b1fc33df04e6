import subprocess
import sys

import pytest

from hf_nextfail.errors import (
    HubError,
    UsageError,
    alone_in,
    check_output_folder,
    did_you_mean,
    make_output_folder,
    print_error,
)


def test_bad_input_ends_with_code_2():
    assert UsageError("no such split").exit_code == 2
    assert str(UsageError("no such split")) == "no such split"


@pytest.mark.parametrize("exit_code", [1, 2])
def test_what_the_hub_refused_ends_with_the_code_of_whose_fault_it_was(exit_code):
    error = HubError("no write access", exit_code)
    assert (str(error), error.exit_code) == ("no write access", exit_code)


def test_errors_of_the_two_kinds_are_told_apart():
    # Whoever catches ValueError for a library's complaint does not catch what has its line already.
    for one, other in ((UsageError, HubError), (HubError, UsageError)):
        assert not issubclass(one, (other, ValueError, OSError))


@pytest.mark.parametrize("debug", [False, True])
def test_an_error_is_one_line_with_the_traceback_above_it_if_asked_for(capsys, debug):
    try:
        raise ValueError("of somebody else")
    except ValueError:
        print_error("nextfail", "no such\n  split", debug)
    *above, line = capsys.readouterr().err.splitlines()
    assert line == "nextfail: error: no such split"
    assert above[-1:] == (["ValueError: of somebody else"] if debug else [])


@pytest.mark.parametrize("check", [check_output_folder, make_output_folder])
def test_a_file_in_the_place_of_a_folder_is_named(tmp_path, check):
    (tmp_path / "taken").write_text("")
    with pytest.raises(UsageError, match=f"--output_dir {tmp_path}/taken/runs: .*; name a folder"):
        check(tmp_path / "taken" / "runs")


def test_an_output_folder_is_checked_without_being_made(tmp_path):
    folder = tmp_path / "new" / "runs"
    check_output_folder(folder)
    assert list(tmp_path.iterdir()) == []
    make_output_folder(folder)
    assert folder.is_dir()


@pytest.mark.parametrize(
    ("word", "hint"),
    [("learning_rat", " (did you mean 'learning_rate'?)"), ("sed", " (did you mean 'seed'?)"), ("zzz", ""), ("", "")],
)
def test_the_near_word_is_named_and_a_far_one_is_not(word, hint):
    assert did_you_mean(word, ["seed", "learning_rate", "max_steps"]) == hint


def test_known_words_may_come_from_any_iterable():
    assert did_you_mean("gpt", (name for name in ["gpt2"])) == " (did you mean 'gpt2'?)"


def test_a_folder_is_for_one_command_at_a_time(tmp_path):
    folder = tmp_path / "new"
    twice = pytest.raises(UsageError, match=f"another command is at work in {folder}: wait")
    with alone_in(folder), twice, alone_in(folder):
        raise AssertionError("two at once")
    with alone_in(folder):
        assert folder.is_dir()


def test_a_command_that_is_killed_holds_its_folder_no_longer(tmp_path):
    code = "import sys, time\nfrom pathlib import Path\nfrom hf_nextfail.errors import alone_in\n"
    code += "with alone_in(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(600)\n"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(UsageError, match="another command is at work"), alone_in(tmp_path):
            pass
        other.kill()
        other.wait()
    with alone_in(tmp_path):
        pass
