"""What commands do with the terminal: characters of any encoding, Ctrl-C at any moment, commands to paste."""

import ast
import io
import json
import logging
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import yaml
from made_records import diagnosed_record
from tiny_models import TINY_GPT2, tiny_gpt2, tiny_options

import hf_nextfail
from hf_nextfail import numeral_tokenizer
from hf_nextfail.commands.terminal import STAND_INS, log_to, open_console, stand_in

REPOSITORY = Path(__file__).parents[2]
FINETUNE, REPRODUCE = (str(REPOSITORY / "recipes" / name) for name in ("finetune.py", "reproduce.py"))
SIZES = ["--dataset_config=d2_l3_n20", "--num_train=64", "--num_validation=20", "--num_test=30", "--num_diagnosed=20"]
ENDLESS = {"precision": "fp32", "max_steps": 1_000_000, "save_strategy": "steps", "save_steps": 20}
ENCODINGS = {
    **{name: {"PYTHONIOENCODING": name} for name in ("ascii", "cp1252", "latin-1", "utf-8")},
    "the C locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": None},
}
MARKS = {"→": ["utf-8"], "±": ["utf-8", "cp1252", "latin-1"]}  # and which encodings have them
COMMANDS = ["env", "evaluate", "diagnose", "sample", "report", "rerun", "reproduce", "push-dataset", "push-metric"]
COMMANDS += ["push-model"]
# Each command in a process of its own would import torch again: one runs them all, as many commands.
SEVERAL = """
import json, sys
from hf_nextfail.commands.main import main
for argv in json.loads(sys.argv[1]):
    try:
        main(argv)
    except SystemExit as end:
        if end.code:
            raise
"""


def output(argv: list, folder: Path, encoding: str) -> str:
    """What Python wrote on its standard output in an encoding."""
    variables = {name: value for name, value in (os.environ | ENCODINGS[encoding]).items() if value is not None}
    done = subprocess.run([sys.executable, *map(str, argv)], cwd=folder, env=variables, capture_output=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.decode(ENCODINGS[encoding]["PYTHONIOENCODING"] or "ascii")


@pytest.mark.parametrize("encoding", ["the C locale"])  # all other tests run in utf-8
def test_every_command_shows_its_output_in_any_encoding(encoding, tmp_path):
    tokenizer = numeral_tokenizer(num_nodes=20)
    for part in (tiny_gpt2(tokenizer), tokenizer):
        part.save_pretrained(tmp_path / "checkpoint")
    (tmp_path / "record.json").write_text(json.dumps(diagnosed_record("reversed")))
    grid = {
        "base": {"objective": "teacherless", "config_overrides": TINY_GPT2},
        "trainings": {"teacherless": {}},
        "models": {"tiny": {"model_type": "gpt2"}},
        "blocks": [{"trainings": ["teacherless"], "graphs": ["d2_l3_n20"], "models": ["tiny"], "seeds": [1]}],
    }
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(grid, allow_unicode=True), encoding="utf-8")
    rows = ["--dataset_config", "d2_l3_n20", "--num_rows", "30"]
    commands = [[command, "--help"] for command in COMMANDS] + [
        ["sample"],
        ["evaluate", "checkpoint", *rows],
        ["diagnose", "checkpoint", *rows],
        ["report", "record.json"],
        ["reproduce", "grid.yaml", "--dry_run"],
        ["env", "gpt2"],
    ]
    out = output(["-c", SEVERAL, json.dumps(commands)], tmp_path, encoding)
    arrow, plus_minus = (mark if encoding in known else STAND_INS[mark] for mark, known in MARKS.items())
    assert re.search(rf"4 {arrow} 22 {arrow} 3 ", out)
    assert re.search(rf"0\.\d{{3}}{re.escape(plus_minus)}0\.\d{{3}}", out)


@pytest.mark.parametrize("encoding", ["latin-1"])
def test_a_training_shows_its_output_in_any_encoding_and_a_command_to_paste(encoding, tmp_path):
    folder = "my  [runs] of :smile:"
    argv = [FINETUNE, *SIZES, *tiny_options(), "--max_steps=2", "--precision=fp32", "--eval_strategy=no"]
    recipe = REPOSITORY / "recipes/star_graph/teacherless/smoke.yaml"
    argv += ["--config", recipe, "--output_dir", folder]
    out = output(argv, tmp_path, encoding)
    plus_minus = "±" if encoding in MARKS["±"] else "+/-"
    assert re.search(rf"test accuracy \d\.\d{{3}}{re.escape(plus_minus)}\d\.\d{{3}}", out)
    command = shlex.split(out.splitlines()[-1].partition(": ")[2])
    assert command == ["nextfail", "report", f"{folder}/star_graph/teacherless/d2_l3_n20-gpt2"]
    assert (tmp_path / command[2] / "results.json").is_file()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
@pytest.mark.parametrize("text", ["0.5±0.1", "3 → 7", "…", "日本", "Ġa", "\ud800", "🙂", "a\u0301"])
def test_no_character_is_refused(encoding, text):
    shown = text.encode(encoding, errors="hf_nextfail.stand_in").decode(encoding)
    for character in text:
        try:
            character.encode(encoding)
        except UnicodeEncodeError:
            assert STAND_INS.get(character, "?") in shown
        else:
            assert character in shown


def test_a_name_that_is_not_utf_8_is_written_as_it_is():
    name = b"/tmp/\xff\xe9"
    assert name.decode(errors="surrogateescape").encode(errors="hf_nextfail.stand_in") == name


def test_what_cannot_be_read_is_an_error_as_before():
    with pytest.raises(UnicodeDecodeError):
        stand_in(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"))


def test_a_console_shows_text_as_it_is(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    open_console().print("runs [bold] :smile:", soft_wrap=True)
    assert sys.stdout.getvalue() == "runs [bold] :smile:\n"


def test_a_second_command_of_a_process_does_not_show_each_line_twice(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    for _ in range(2):
        log_to(open_console())
    logging.getLogger("hf_nextfail").info("a line")
    assert sys.stdout.getvalue().count("a line") == 1


def hear_ctrl_c() -> None:
    """Let a process hear SIGINT, which it would inherit to ignore where these tests run in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupt(
    argv: list, moment: Callable[[psutil.Process], bool], again: bool = True, sent: signal.Signals = signal.SIGINT
) -> tuple[int, list[str], list[psutil.Process]]:
    """Run Python, send a signal to this process alone at a moment; its code, errors, and children of that moment.

    Python loses a signal that comes in a callback of an import, before a command begins: then it is run `again`.
    """
    process = subprocess.Popen(
        [sys.executable, *map(str, argv)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_ctrl_c,
    )
    seen = psutil.Process(process.pid)
    while process.poll() is None and not moment(seen):
        time.sleep(0.01)
    children = seen.children(recursive=True)
    process.send_signal(sent)
    try:
        errors = process.communicate(timeout=120)[1].replace("\r", "\n").splitlines()
    except subprocess.TimeoutExpired as expired:
        for left in (*children, *seen.children(recursive=True), seen):
            left.kill()
        if again and b"Exception ignored in" in (expired.stderr or b""):
            return interrupt(argv, moment, again=False)
        raise
    return (
        process.returncode,
        [line for line in errors if line.strip() and "%|" not in line and "/s]" not in line],
        children,
    )


def seconds_of_work(seconds: float) -> Callable[[psutil.Process], bool]:
    """A moment that comes as much later as a machine is slower."""
    return lambda process: sum(process.cpu_times()[:2]) > seconds


@pytest.mark.parametrize("script", [FINETUNE, REPRODUCE])
@pytest.mark.parametrize("seconds", [0.3, 0.6, 2.5])
def test_ctrl_c_while_a_recipe_starts_is_one_line(script, seconds, tmp_path):
    code, errors, _ = interrupt([script, "grid_cpu", "--output_dir", tmp_path], seconds_of_work(seconds))
    assert code == 130
    (line,) = errors
    assert re.match(r"(\w+\.py|nextfail): error: interrupted; ", line)


LOST = """
import signal, sys, time, weakref
from hf_nextfail.commands.terminal import one_line_at_the_end
class Module: pass
with one_line_at_the_end("test", False, "go on"):
    module = Module()
    seen = weakref.ref(module, lambda _: signal.raise_signal(signal.SIGINT))
    del module
    time.sleep(60)
"""


def test_ctrl_c_that_python_ignores_is_heard_again():
    done = subprocess.run([sys.executable, "-c", LOST], capture_output=True, text=True, preexec_fn=hear_ctrl_c)
    assert (done.returncode, done.stderr) == (130, "test: error: interrupted; go on\n")


@pytest.mark.parametrize("seconds", [0.01, 1, 2])
def test_ctrl_c_in_a_command_is_one_line(seconds, tmp_path):
    code = "import os, signal, sys, threading\n"
    code += "from hf_nextfail.commands.main import main\n"
    code += f"threading.Timer({seconds}, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
    code += "main(['sample', '--picture', sys.argv[1]])"
    command = [sys.executable, "-c", code, str(tmp_path / "a.png")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, preexec_fn=hear_ctrl_c)
    assert done.returncode == 130
    assert re.fullmatch("nextfail: error: interrupted; .*\n", done.stderr)


def test_ctrl_c_in_a_training_is_one_line_that_says_how_to_go_on(tmp_path):
    options = [f"--{name}={value}" for name, value in ENDLESS.items()]
    recipe = REPOSITORY / "recipes/star_graph/teacherless/smoke.yaml"
    argv = [FINETUNE, "--config", recipe, *SIZES, *tiny_options(), *options, "--output_dir", tmp_path]
    code, errors, _ = interrupt(argv, lambda _: any(tmp_path.rglob("whole.json")))
    assert code == 130
    assert errors == [
        "finetune.py: error: interrupted; --resume_from_checkpoint true goes on from the last whole checkpoint, "
        "if there is one"
    ]


def two_have_saved(folder: Path) -> Callable[[psutil.Process], bool]:
    """The moment at which two runs have a whole checkpoint."""
    return lambda process: len(list(folder.rglob("checkpoint-20/whole.json"))) == 2


@pytest.fixture
def endless_grid(tmp_path) -> list:
    """The command of a grid of three runs, two at a time, which end when somebody ends them."""
    sizes = dict(option.removeprefix("--").split("=") for option in SIZES)
    del sizes["dataset_config"]
    grid = {
        "base": ENDLESS | {name: int(value) for name, value in sizes.items()},
        "trainings": {"teacherless": {"objective": "teacherless"}},
        "models": {"tiny": {"model_type": "gpt2", "config_overrides": TINY_GPT2}},
        "blocks": [{"trainings": ["teacherless"], "graphs": ["d2_l3_n20"], "models": ["tiny"], "seeds": [1, 2, 3]}],
    }
    (tmp_path / "grid.yaml").write_text(yaml.safe_dump(grid))
    return [REPRODUCE, tmp_path / "grid.yaml", "--output_dir", tmp_path / "runs", "--jobs", 2]


def test_ctrl_c_in_a_grid_ends_its_runs(endless_grid, tmp_path):
    code, errors, children = interrupt(endless_grid, two_have_saved(tmp_path))
    assert code == 130
    (line,) = errors
    assert line.startswith("nextfail: error: interrupted; ")
    assert len(children) >= 2
    # The server that runs were forked from ends as soon as it sees that the command has.
    assert not psutil.wait_procs(children, timeout=10)[1]
    assert not list((tmp_path / "runs/failed").iterdir())


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_grid_leaves_no_run_behind(sent, endless_grid, tmp_path):
    code, _, children = interrupt(endless_grid, two_have_saved(tmp_path), sent=sent)
    left = psutil.wait_procs(children, timeout=10)[1]
    for child in left:  # they would train for ever
        child.kill()
    assert (code, len(children) >= 2, left) == (-sent, True, [])


SHOWN = re.compile(r"(?:nextfail|hf_nextfail\.commands\.main) [a-z]+(?:-[a-z]+)? $")


def unquoted(source: str) -> list[str]:
    """Return the f-strings and log lines that show one of our commands with a value that is not quoted."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            for text, value in zip(node.values, node.values[1:], strict=False):
                before = text.value if isinstance(text, ast.Constant) else ""
                if SHOWN.search(before) and "shlex.quote" not in ast.unparse(value):
                    found.append(ast.unparse(node))
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            before = [part for part in str(node.args[0].value).split("%s")[:-1] if SHOWN.search(part)]
            if before and "shlex.quote" not in ast.unparse(node):
                found.append(ast.unparse(node))
    return found


def test_every_command_that_is_shown_can_be_pasted():
    package = Path(hf_nextfail.__file__).parent
    assert [line for path in package.rglob("*.py") for line in unquoted(path.read_text(encoding="utf-8"))] == []
    assert unquoted('f"see nextfail report {folder}"')
    assert unquoted('logger.info("see nextfail push-model %s --repo X", folder)')
    assert not unquoted('f"see nextfail report {shlex.quote(folder)}"')


NO_BARS = """
import sys
if "first" in sys.argv:
    import datasets, huggingface_hub.utils, transformers.utils.logging
from hf_nextfail.commands.terminal import one_line_at_the_end
with one_line_at_the_end("test", False, ""):
    import datasets, huggingface_hub.utils, transformers.utils.logging
    print(datasets.are_progress_bars_disabled(), huggingface_hub.utils.are_progress_bars_disabled())
    list(transformers.utils.logging.tqdm([1]))
"""


@pytest.mark.parametrize("imported", ["first", "later"])
def test_no_bar_is_drawn_into_a_file(imported):
    variables = {name: value for name, value in os.environ.items() if "PROGRESS_BARS" not in name}
    done = subprocess.run([sys.executable, "-c", NO_BARS, imported], env=variables, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("True True\n", "")
