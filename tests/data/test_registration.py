import dis
import inspect
import subprocess
import sys
from dataclasses import fields

import datasets
import datasets.inspect
import datasets.load
import pytest
from datasets import get_dataset_config_names, get_dataset_default_config_name, get_dataset_split_names, load_dataset
from datasets.load import BuilderConfigsParameters, DatasetModule

from hf_nextfail import TASKS, StarGraph, register, unregister
from hf_nextfail.data.registration import SEAMS, builder_module

NAME = "nextfail/star_graph"
TINY = {"num_train": 3, "num_validation": 2, "num_test": 2}


@pytest.fixture
def registered():
    yield
    register()


def run_python(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def globals_read_by(function) -> set[str]:
    return {step.argval for step in dis.get_instructions(inspect.unwrap(function)) if step.opname == "LOAD_GLOBAL"}


def test_import_registers_every_task():
    for name, task in TASKS.items():
        assert load_dataset(f"nextfail/{name}", **TINY)["train"].info.config_name == task.grid[0]


def test_config_names_are_the_grid():
    assert get_dataset_config_names(NAME) == list(StarGraph.grid)
    assert get_dataset_default_config_name(NAME) == StarGraph.grid[0] == "d2_l5_n50"
    assert get_dataset_split_names(NAME, "d5_l5_n50") == ["train", "validation", "test"]


def test_unregister_hands_the_name_back_to_the_hub(registered, tmp_path):
    unregister()
    for seam in SEAMS:
        assert seam.dataset_module_factory.__module__ == "datasets.load"
        assert not hasattr(seam.dataset_module_factory, "nextfail_original")
    with pytest.raises(ConnectionError, match="Couldn't reach 'nextfail/star_graph' on the Hub"):
        load_dataset(NAME, **TINY, cache_dir=str(tmp_path))


def test_register_and_unregister_may_be_repeated(registered, tmp_path):
    ours = datasets.load.dataset_module_factory
    register()
    assert all(seam.dataset_module_factory is ours for seam in SEAMS)
    unregister()
    original = datasets.load.dataset_module_factory
    unregister()
    assert all(seam.dataset_module_factory is original for seam in SEAMS)
    assert original is ours.nextfail_original
    register()
    assert len(load_dataset(NAME, **TINY, cache_dir=str(tmp_path))["train"]) == 3


@pytest.mark.parametrize(
    ("path", "options"),
    [
        (NAME, {"revision": "main"}),
        (NAME, {"data_files": "train.parquet"}),
        (NAME, {"data_files": {"train": ["train.parquet"]}}),
        (NAME, {"data_dir": "d2_l5_n50"}),
        (f"hf://datasets/{NAME}", {}),
        ("nextfail/a_task_that_is_not_ours", {}),
        ("somebody/star_graph", {}),
        (f"{NAME}_2", {}),
    ],
)
@pytest.mark.parametrize("name", [None, "d2_l5_n50"])
def test_files_on_the_hub_are_left_to_datasets(registered, tmp_path, path, options, name):
    errors = []
    for _ in ("registered", "unregistered"):
        # The folder is empty: offline, `datasets` would otherwise answer with what was generated before.
        with pytest.raises(ConnectionError, match="on the Hub") as caught:
            load_dataset(path, name, cache_dir=str(tmp_path), **options)
        errors.append(str(caught.value))
        unregister()
    assert errors[0] == errors[1]


def test_local_files_are_left_to_datasets(tmp_path):
    load_dataset(NAME, **TINY)["test"].to_json(tmp_path / "rows.jsonl")
    rows = load_dataset("json", data_files=str(tmp_path / "rows.jsonl"), split="train")
    assert rows.to_list() == load_dataset(NAME, **TINY)["test"].to_list()


def test_load_dataset_imported_before_us_finds_our_rows():
    code = f"""
from datasets import get_dataset_config_names, load_dataset
import hf_nextfail
print(load_dataset({NAME!r}, **{TINY!r})["train"].num_rows, get_dataset_config_names({NAME!r})[0])
"""
    assert run_python(code).split() == ["3", "d2_l5_n50"]


def test_import_does_not_load_torch():
    heavy = ["torch", "transformers", "matplotlib", "accelerate"]
    code = f"""
import hf_nextfail, sys
loaded = [name for name in {heavy!r} if name in sys.modules]
assert not loaded, loaded
dataset = hf_nextfail.data.registration.datasets.load_dataset({NAME!r}, **{TINY!r})
print(len(dataset["train"]), hf_nextfail.__version__)
"""
    assert run_python(code).split()[0] == "3"


def test_unknown_attribute_of_the_package_is_an_attribute_error():
    import hf_nextfail

    with pytest.raises(AttributeError, match="module 'hf_nextfail' has no attribute 'star_grph'"):
        _ = hf_nextfail.star_grph
    assert set(hf_nextfail.__all__) <= set(dir(hf_nextfail))


# The canary: what `registration` relies on inside `datasets`. When one of these fails, read `register` again.


@pytest.mark.parametrize(
    "caller", [datasets.load.load_dataset_builder, get_dataset_config_names, get_dataset_default_config_name]
)
def test_datasets_looks_the_factory_up_as_a_global(caller):
    assert "dataset_module_factory" in globals_read_by(caller)
    assert sys.modules[inspect.unwrap(caller).__module__] in SEAMS


def test_load_dataset_goes_through_load_dataset_builder():
    assert "load_dataset_builder" in globals_read_by(load_dataset)


def test_no_other_module_of_datasets_holds_the_factory():
    holders = {
        name
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] == "datasets" and "dataset_module_factory" in vars(module)
    }
    assert holders == {seam.__name__ for seam in SEAMS}


def test_factory_takes_what_our_wrapper_passes_on():
    parameters = inspect.signature(datasets.load.dataset_module_factory.nextfail_original).parameters
    assert list(parameters)[:2] == ["path", "revision"]
    for name in ("data_dir", "data_files"):
        assert parameters[name].default is None
        assert parameters[name].kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def test_dataset_module_has_the_fields_we_fill():
    assert [field.name for field in fields(DatasetModule)][:4] == [
        "module_path",
        "hash",
        "builder_kwargs",
        "builder_configs_parameters",
    ]
    names = {field.name for field in fields(BuilderConfigsParameters)}
    assert {"builder_configs", "default_config_name"} <= names


def test_cache_folder_depends_on_the_source():
    first, second = builder_module(StarGraph), builder_module(StarGraph)
    assert first.hash == second.hash
    assert len(first.hash) == 64
    assert first.builder_kwargs is not second.builder_kwargs  # `load_dataset_builder` empties it
