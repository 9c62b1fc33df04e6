from pathlib import Path

import pytest
import yaml
from run_folders import CONTRAST

from hf_nextfail.errors import UsageError
from hf_nextfail.files import shipped_folder
from hf_nextfail.runs.recipes import DEFAULT_RECIPES, find_recipe, parse_runs

RECIPES = sorted(
    path.relative_to(shipped_folder("recipes")).as_posix()
    for path in shipped_folder("recipes").glob("star_graph/*/*.yaml")
)
SMOKE = "star_graph/teacherless/smoke.yaml"


def write(folder: Path, **options) -> str:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(options, sort_keys=False))
    return str(path)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_parses(recipe):
    (run,) = parse_runs(["--config", recipe])
    assert run.started_from == recipe.removesuffix(".yaml")
    assert run.name.startswith(f"star_graph/{run.training.objective}/{run.data.dataset_config}-")
    assert run.folder == Path("runs") / run.name


def test_no_two_recipes_share_a_name():
    names = [parse_runs(["--config", recipe])[0].name for recipe in RECIPES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_folder_of_a_recipe_says_how_it_trains(recipe):
    (run,) = parse_runs(["--config", recipe])
    training = recipe.split("/")[1]
    assert run.data.config.task.reverse == (training == "reversed")
    assert run.training.objective == ("teacher_forced" if training == "reversed" else training)


def test_without_config_the_contrast_is_run():
    runs = parse_runs([])
    assert [f"{run.started_from}.yaml" for run in runs] == list(DEFAULT_RECIPES)
    assert [run.name for run in runs] == list(CONTRAST.values())


def test_the_recipes_of_the_contrast_differ_in_the_training_alone():
    recipes = [run.recipe for run in parse_runs([])]
    for key in ("objective", "dataset_config", "max_steps"):
        for recipe in recipes:
            recipe.pop(key, None)
    assert recipes[0] == recipes[1] == recipes[2]


def test_the_command_line_wins_over_the_recipe_wherever_it_stands():
    before = parse_runs(["--learning_rate", "0.5", "--config", SMOKE])
    after = parse_runs(["--config", SMOKE, "--learning_rate", "0.5"])
    assert before[0].training.learning_rate == after[0].training.learning_rate == 0.5


def test_other_data_than_the_recipes_comes_without_its_configuration_and_sizes():
    options = ["--config", SMOKE, "--dataset_name", "somebody/sums", "--model_name_or_path", "gpt2"]
    (run,) = parse_runs(options)
    assert (run.data.dataset_config, run.data.num_validation, run.data.generated) == (None, None, None)
    (run,) = parse_runs([*options, "--dataset_config", "small", "--num_test", "7"])
    assert (run.data.dataset_config, run.data.sizes()) == ("small", {"num_test": 7})
    (run,) = parse_runs(["--config", SMOKE, "--dataset_name", "nextfail/star_graph"])
    assert run.data.dataset_config == "d2_l3_n20"


def test_options_apply_to_all_recipes():
    runs = parse_runs(["--seed", "7", "--num_test", "30", "--output_dir", "elsewhere"])
    assert {run.training.seed for run in runs} == {7}
    assert {run.data.config.num_test for run in runs} == {30}
    assert {run.folder.parts[0] for run in runs} == {"elsewhere"}


def test_a_recipe_holds_lists_mappings_booleans_and_nulls(tmp_path):
    recipe = write(
        tmp_path,
        model_type="gpt2",
        config_overrides={"n_layer": 2},
        report_to=["tensorboard", "none"],
        streaming=True,
        stop_at_accuracy=None,
        learning_rate="5e-4",  # YAML reads it as a string
        lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr": 1.0e-5},
    )
    (run,) = parse_runs(["--config", recipe])
    assert run.model.overrides == {"n_layer": 2}
    assert run.training.report_to == ["tensorboard", "none"]
    assert run.training.learning_rate == 5e-4
    assert run.training.lr_scheduler_kwargs == {"min_lr": 1.0e-5}
    assert run.training.stop_at_accuracy is None
    assert run.data.streaming


def test_the_recipe_as_run_gives_the_same_run_again(tmp_path):
    (run,) = parse_runs(["--config", SMOKE, "--seed", "3", "--num_train", "500"])
    assert run.recipe["seed"] == 3
    assert run.recipe["config_overrides"] == run.model.overrides != {}
    (again,) = parse_runs(["--config", write(tmp_path, **run.recipe)])
    assert again.recipe == run.recipe
    assert (again.data, again.model) == (run.data, run.model)


def test_the_recipe_as_run_holds_no_token():
    (run,) = parse_runs(["--config", SMOKE, "--hub_token", "hf_secret"])
    assert run.training.hub_token == "hf_secret"
    assert "hf_secret" not in str(run.recipe)


def test_another_model_on_the_command_line_replaces_all_that_the_recipe_says_of_its_own(tmp_path):
    (run,) = parse_runs(["--config", SMOKE, "--model_name_or_path", str(tmp_path)])
    assert (run.model.model_name_or_path, run.model.model_type, run.model.overrides) == (str(tmp_path), None, {})
    (run,) = parse_runs(["--config", SMOKE, "--model_type", "llama", "--config_overrides", '{"hidden_size": 64}'])
    assert (run.model.model_type, run.model.overrides) == ("llama", {"hidden_size": 64})


def test_recipes_are_found_from_any_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = shipped_folder("recipes") / SMOKE
    for name in (SMOKE, SMOKE.removesuffix(".yaml"), f"recipes/{SMOKE}"):
        assert find_recipe(name) == expected


def test_recipes_of_another_clone_are_called_the_same(tmp_path):
    for training in ("teacherless", "reversed"):
        path = tmp_path / f"recipes/star_graph/{training}/smoke.yaml"
        path.parent.mkdir(parents=True)
        path.write_bytes((shipped_folder("recipes") / f"star_graph/{training}/smoke.yaml").read_bytes())
    paths = sorted(map(str, tmp_path.rglob("*.yaml")))
    names = [run.started_from for run in parse_runs(["--config", *paths])]
    assert names == ["star_graph/reversed/smoke", "star_graph/teacherless/smoke"]


def test_help_lists_our_options(capsys):
    with pytest.raises(SystemExit) as exit:
        parse_runs(["--help"])
    assert exit.value.code == 0
    text = capsys.readouterr().out
    for option in ("--config", "--dataset_config", "--model_name_or_path", "--stop_at_accuracy", "--learning_rate"):
        assert option in text


BAD_COMMAND_LINES = {
    "unknown option": (["--learning_rat", "1"], "there is no option --learning_rat .*'learning_rate'"),
    "abbreviation": (["--learning", "1"], "there is no option --learning "),
    "stray word": (["smoke"], "unexpected argument 'smoke'"),
    "stray recipe": (["mine.yaml"], "unexpected argument 'mine.yaml'; recipes stand behind --config"),
    "fraction for an integer": (["--num_test", "2.5"], "--num_test.*invalid int value: '2.5'"),
    "word for a number": (["--learning_rate", "fast"], "--learning_rate.*invalid float value: 'fast'"),
    "word for a boolean": (["--streaming", "perhaps"], "--streaming"),
    "unknown choice": (["--eval_strategy", "often"], "--eval_strategy.*'no', 'steps', 'epoch'"),
    "unknown objective": (["--objective", "forced"], "objective must be .*teacherless.*, got 'forced'"),
    "negative batch": (
        ["--per_device_train_batch_size", "-3"],
        "per_device_train_batch_size must be above 0 and finite, got -3",
    ),
    "no steps": (["--max_steps", "0"], "max_steps must be at least 1, or -1"),
    "threshold": (["--stop_at_accuracy", "1.5"], "stop_at_accuracy must be above 0 and at most 1, got 1.5"),
    "precision": (["--precision", "int4"], "precision must be one of auto, bf16, fp32, got 'int4'"),
    "dataset": (["--dataset_name", "nextfail/stars"], "no dataset nextfail/stars, only nextfail/star_graph"),
    "own data": (["--dataset_name", "rows.json"], "rows.json needs a tokenizer: give model_name_or_path"),
    "stream of own data": (
        ["--dataset_name", "rows.json", "--streaming", "true"],
        "streaming goes with rows that are",
    ),
    "two tokenizers": (
        ["--model_name_or_path", "gpt2", "--tokenizer_name_or_path", "gpt2"],
        "a checkpoint brings its own tokenizer",
    ),
    "config": (["--dataset_config", "G(2,5)"], "unknown config 'G\\(2,5\\)'.*'d2_l5_n50'"),
    "labels": (["--dataset_config", "d2_l5_n8"], "num_nodes must be an integer from 9 .*got 8"),
    "no rows": (["--num_validation", "0"], "num_validation must be at least 1"),
    "negative rows": (["--num_train", "-1"], "num_train must be at least 1, got -1"),
    "test file": (["--test_file", "nowhere.txt"], "test_file: there is no file nowhere.txt"),
    "family": (["--model_type", "gpt22"], "model_type 'gpt22'.*'gpt2'"),
    "model folder": (["--model_name_or_path", "./nowhere"], "there is no folder ./nowhere"),
    "two models": (["--model_type", "gpt2", "--model_name_or_path", "gpt2"], "give either model_name_or_path"),
    "overrides not JSON": (["--config_overrides", "n_layer=2"], "config_overrides must be JSON"),
    "overrides no object": (["--config_overrides", "[2]"], "config_overrides must be a JSON object"),
    "overrides typo": (["--config_overrides", '{"n_layers": 2}'], "gpt2 has no 'n_layers' .*'n_layer'"),
    "vocabulary": (["--config_overrides", '{"vocab_size": 2}'], "the tokenizer decides vocab_size"),
    "recipe typo": (["--config", "star_graph/teacherless/smok"], "no recipe star_graph/teacherless/smok .*smoke.yaml"),
    "recipe unknown": (["--config", "zzz"], "no recipe zzz; ours are .*star_graph/teacherless/smoke.yaml"),
    "recipe twice": (["--config", SMOKE, SMOKE], "two recipes are star_graph/teacherless/d2_l3_n20-gpt2"),
}


@pytest.mark.parametrize("case", BAD_COMMAND_LINES)
def test_bad_command_lines_end_in_one_line(case):
    argv, message = BAD_COMMAND_LINES[case]
    with pytest.raises(UsageError, match=message) as error:
        parse_runs(argv)
    assert "\n" not in str(error.value)


BAD_RECIPES = {
    "unknown key": ("learning_rat: 1", "recipe.yaml: there is no option learning_rat .*'learning_rate'"),
    "list for one value": (
        "num_test: [2, 3]",
        r"recipe.yaml: num_test must have one value and no list, got \['2', '3'",
    ),
    "empty list": ("fast_path: []", r"recipe.yaml: fast_path must have one value or more, got \[\]"),
    "nested": (f"model_type: gpt2\nconfig_overrides: '{'[' * 200_000}'", "^recipe: "),
    "recipe in a recipe": ("config: other.yaml", "recipe.yaml: there is no option config"),
    "bad value": ("num_test: 2.5", "recipe.yaml: --num_test.*invalid int value: '2.5'"),
    "list": ("- num_test", "recipe.yaml: a recipe is a mapping"),
    "empty": ("", "recipe.yaml: a recipe is a mapping"),
    "no YAML": ("a: [1", "recipe.yaml: cannot be read as YAML"),
    "no model": ("num_test: 5", "give either model_name_or_path, a checkpoint, or model_type"),
}


@pytest.mark.parametrize("case", BAD_RECIPES)
def test_bad_recipes_end_in_one_line_that_names_the_file(case, tmp_path):
    text, message = BAD_RECIPES[case]
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(UsageError, match=message) as error:
        parse_runs(["--config", str(tmp_path / "recipe.yaml")])
    assert "\n" not in str(error.value)


def test_a_recipe_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / "recipe.yaml").write_bytes(b"model_type: \xff\xfe")
    with pytest.raises(UsageError, match="cannot be read as YAML"):
        parse_runs(["--config", str(tmp_path / "recipe.yaml")])


# YAML: words and numbers are what they look like


@pytest.mark.parametrize("option", ["eval_strategy", "save_strategy", "logging_strategy"])
@pytest.mark.parametrize("word", ["no", "'no'", "No"])
def test_no_is_a_word(option, word, tmp_path):
    # Reported in public: YAML 1.1 reads `no` as false.
    path = tmp_path / "recipe.yaml"
    path.write_text(f"model_type: gpt2\n{option}: {word.lower()}\nload_best_model_at_end: false\n")
    (run,) = parse_runs(["--config", str(path)])
    assert getattr(run.training, option) == "no"


@pytest.mark.parametrize("word", ["no", "none", "[no]", "[none]"])
def test_nobody_is_reported_to_by_either_word(word, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(f"model_type: gpt2\nreport_to: {word}\n")
    (run,) = parse_runs(["--config", str(path)])
    assert run.training.report_to in ([], ["none"])


@pytest.mark.parametrize(
    ("written", "option", "value"),
    [
        ("run_name: 007", "run_name", "007"),
        ("run_name: 1e5", "run_name", "1e5"),
        ("run_name: on", "run_name", "on"),
        ("run_name: 2026-01-01", "run_name", "2026-01-01"),
        ("learning_rate: 1e-5", "learning_rate", 1e-5),
        ("seed: 010", "seed", 10),
        ("disable_tqdm: yes", "disable_tqdm", True),
        ("include_num_input_tokens_seen: non_padding", "include_num_input_tokens_seen", "non_padding"),
        (
            "lr_scheduler_kwargs: {min_lr: 1e-5, names: [no, 1.0]}",
            "lr_scheduler_kwargs",
            '{"min_lr": 1e-05, "names": ["no", 1.0]}',
        ),
    ],
)
def test_a_value_is_what_its_option_makes_of_it(tmp_path, written, option, value):
    path = tmp_path / "recipe.yaml"
    path.write_text(f"model_type: gpt2\n{written}\n")
    (run,) = parse_runs(["--config", str(path)])
    assert run.recipe[option] == value


def test_only_what_was_given_stands_in_the_recipe():
    (run,) = parse_runs(["--model_type", "gpt2", "--config", SMOKE])
    shipped = yaml.safe_load((shipped_folder("recipes") / SMOKE).read_text())
    assert set(run.recipe) <= set(shipped)


# Repeats: what is a list is collected


def test_lists_that_are_given_apart_are_one():
    separate = ["--config", DEFAULT_RECIPES[0], "--config", DEFAULT_RECIPES[1]]
    assert [f"{run.started_from}.yaml" for run in parse_runs(separate)] == list(DEFAULT_RECIPES[:2])
    (run,) = parse_runs(["--config", SMOKE, "--fast_path", "gelu", "--fast_path=attention"])
    assert run.model.fast_path == ["gelu", "attention"]
    (run,) = parse_runs(["--config", SMOKE, "--report_to", "tensorboard", "--report_to", "trackio"])
    assert run.training.report_to == ["tensorboard", "trackio"]


def test_a_list_on_the_command_line_takes_the_place_of_that_of_the_recipe(tmp_path):
    recipe = write(tmp_path, model_type="gpt2", fast_path=["gelu", "attention"])
    (run,) = parse_runs(["--config", recipe, "--fast_path", "last_mlp"])
    assert run.model.fast_path == ["last_mlp"]


def test_what_is_done_anyway_may_be_asked_for():
    (run,) = parse_runs(["--config", SMOKE, "--do_train", "--do_eval", "true"])
    assert run.recipe["do_train"] is True
