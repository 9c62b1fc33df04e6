"""The benchmarks run; what they measure is no test."""

import importlib
import json
from pathlib import Path

import pytest
from small_tokenizers import with_special_tokens
from tiny_models import learning, mean_loss, tiny_gpt2
from tiny_rows import even_rows
from torch.utils.flop_counter import FlopCounterMode

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.objectives import OBJECTIVES, build_objective

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_a_quick_run_writes_every_figure(fresh, tmp_path):
    file = tmp_path / "figures.json"
    argv = [BENCHMARKS, "--quick", "--repeat", "2", "--only", "scan", "memory", "--output", file]
    done = fresh(argv, TMPDIR=str(tmp_path))
    record = json.loads(file.read_text())
    assert record["options"] == {"only": ["memory", "scan"], "repeat": 2, "threads": 1, "quick": True}
    assert {"cpu", "cores", "threads", "load", "torch", "transformers"} <= set(record["machine"])
    assert list(record["parts"]) == ["memory", "scan"]
    memory, scan = (record["parts"][name]["tables"] for name in ("memory", "scan"))
    assert [row["after"] for row in memory[0]["rows"]] == ["imports", "load_dataset", "tokenize_dataset"]
    peaks = [row["peak MB"]["median"] for row in memory[0]["rows"]]
    assert peaks == sorted(peaks)
    for row in scan[0]["rows"]:
        figure = row["processor ms a step"]
        assert 0 < figure["lowest"] <= figure["median"] <= figure["highest"]
        assert figure["rounds"] == 2
    assert [row["of ours"]["median"] for row in scan[0]["rows"] if row["way"] == "Mamba, our scan"] == [1]
    assert all(table["title"] in done.stdout for table in [*memory, *scan])
    assert "round 2 of 2" in done.stderr
    assert not list(tmp_path.glob("hf_nextfail-benchmarks-*"))  # no cache is left behind


def test_help_names_every_part_and_option(fresh):
    done = fresh([BENCHMARKS, "--help"])
    for word in ("training", "evaluation", "data", "memory", "scan", "objectives", "grids"):
        assert f"\n  {word} " in done.stdout
    for option in ("--only", "--repeat", "--threads", "--quick", "--output"):
        assert option in done.stdout


@pytest.fixture
def arithmetic(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("objectives")


def test_arithmetic_is_counted_as_by_hand(arithmetic):
    sizes = arithmetic.Sizes(layers=2, width=1, vocabulary=3, prompt=2, completion=2)
    first, last = 3 * 12 + 2 * (1 + 2 + 3), 3 * 2 + 2 * 10 + 2 * (2 + 3)
    assert arithmetic.NEEDED["teacher_forced"](None, sizes) == first + last + 2 * 3
    first, last = 4 * 12 + 2 * (1 + 2 + 3 + 3), 4 * 2 + 3 * 10 + 2 * (2 + 3 + 3)  # one dummy, which sees the prompt
    assert arithmetic.NEEDED["hybrid"](None, sizes) == first + last + 3 * 3


@pytest.mark.parametrize("name", OBJECTIVES)
def test_no_objective_does_with_less_arithmetic_than_it_needs_or_takes_twice_as_much(arithmetic, name):
    tokenizer = with_special_tokens(numeral_tokenizer(num_nodes=10))
    objective, model = build_objective(name, tokenizer), tiny_gpt2(tokenizer, "eager")
    objective.check(model)
    rows = even_rows(tokenizer)
    batch = objective.encode(rows)
    with learning(objective, model) as heads, FlopCounterMode(display=False) as done:
        mean_loss(objective, model, batch, heads=heads).backward()
    prompt, completion = rows.lengths[0].tolist()
    config = model.config
    sizes = arithmetic.Sizes(config.n_layer, config.n_embd, config.vocab_size, prompt, completion)
    needed = arithmetic.NEEDED[name](objective, sizes) * len(rows) * 3  # forward and backward
    assert needed < done.get_total_flops() / 2 < 2 * needed


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--only", "scna"], "invalid choice: 'scna' (choose from"),
        (["--repeat", "0"], "must be an integer of at least 1, got '0'"),
        (["--threads", "100000"], "the usable cores, got 100000"),
        (["--output", "figures.txt"], "must be a .json file"),
        (["--output", "nowhere/figures.json"], "there is no folder"),
        (["--quik"], "unrecognized arguments: --quik"),
    ],
)
def test_a_bad_option_is_one_line_and_code_2(fresh, argv, words):
    done = fresh([BENCHMARKS, *argv], check=False)
    assert done.returncode == 2
    assert words in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
