"""The record of a run: the one class of a `results.json`."""

import copy
import dataclasses
import json
import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Self

from hf_nextfail.data.registration import task_called
from hf_nextfail.errors import UsageError
from hf_nextfail.files import write_whole
from hf_nextfail.own_code import is_reference, references_in, without_folder
from hf_nextfail.reporting.provenance import versions
from hf_nextfail.reporting.schema import SCHEMA_VERSION, check_parts, check_values, filled, upgraded
from hf_nextfail.tasks import Task

SUMMARY = "summary"  # the folder in which a grid collects copies of its records
#: Options that say where a run goes, not what it is.
PLACES = (
    "hub_always_push",
    "hub_model_id",
    "hub_private_repo",
    "hub_revision",
    "hub_strategy",
    "hub_token",
    "logging_dir",
    "output_dir",
    "push_to_hub",
    "report_to",
    "resume_from_checkpoint",
    "run_name",
)
#: What records of version 0.1.0 say of every run, although nobody had given it.
NOT_GIVEN = {"include_num_input_tokens_seen": False}


def without_paths(value: Any) -> Any:
    """Shorten every string that names a file or folder of this machine to its last part, however deep it stands."""
    if isinstance(value, dict):
        return {key: without_paths(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [without_paths(entry) for entry in value]
    if isinstance(value, str) and value and is_local(value):
        return Path(value).name
    return value


def is_local(name: str) -> bool:
    """Say whether a name is a path of this machine, not one on the Hub."""
    try:
        return Path(name).expanduser().is_absolute() or Path(name).exists()
    except (OSError, RuntimeError, ValueError):  # too long for a path, or no path at all
        return False


@dataclass(frozen=True)
class Record:
    """What a run was asked for, what came out, and what that depends on: the content of a `results.json`.

    A file also says its `schema_version`, 2, which changes whenever a key here changes its meaning. Every key is
    always there, and `None` (`null` in the file) where it is unknown or does not apply, so that nobody who reads a
    record needs a default. Version 1, which did not say how a model decodes, can be read.

    Args:
        run (`dict`): what was run:

            - `name`: what was run, such as `star_graph/teacherless/d2_l3_n20-gpt2`; an evaluation is named after its
              model. `started_from`: the recipe of ours that the run is of, perhaps with other options.
            - `task`: the name of the task, `None` for other data. `dataset_name` (of a task of somebody's own its
              reference, such as `sums.py:Sums`), `dataset_config`, `split` (the one that `results` are on, `"all"`
              for every row of data that have one split), `rows_sha256` (of the texts of these rows: numbers with
              the same one are on the same rows), `title` (the data in words),
              `dataset_seed` (of generated rows), `hard_node` (where the token that needs planning stands).
            - `model`: a family, or the checkpoint that was measured or fine-tuned; `num_parameters`,
              `num_trainable_parameters`, `weights_sha256` (of the safetensors of the checkpoint; `None` where nobody
              looked).
            - `objective`: how the model was trained; `None` where nobody knows; `objective_options`, and
              `num_head_parameters` that were trained beside the model. `decoding`: how it writes, a name in
              `DECODINGS` or of one of your own. `sampling`: of a creative task, the `num_samples`, `temperature` and
              `seed` of the outputs that were drawn; `None` where none were.
            - `seed`, `steps`, `epochs`, `examples` (rows seen, an epoch's last batch counted as a full one),
              `stopped_at_accuracy`: `None` where nothing was trained.
            - `precision`, `fast_path` (see `hf_nextfail.models.fast_path`), `device`, `device_name`, `num_threads`,
              `num_processes`: what rounding depends on. `sources`: whose code was run that is not ours: `objective`
              and `task`, each `class`, `file` and `sha256`.
            - `diagnosis_absent`: why there is no diagnosis; `None` if there is one, or nobody knows.
            - `prompting`: how a model was asked in plain English: `num_shots`, `chat`, `max_new_tokens`; or `None`.
        results (`dict`): name -> `{value, standard_error, n, num_graphs}`, or `None` where the number does not exist;
            see `hf_nextfail.evaluate`. Names without a prefix are on `split`, the test split after training;
            `train_...` on the first training rows; `test_file_...` on the file of `--test_file`. Which names
            there are depends on the data: `estimate` looks one up.
        chance (`dict`): what guessing gives, by the name of a result, `None` where no guess is needed. Always with
            `hard_token_accuracy`: of the star graph, guessing an arm; so is `choice_accuracy`, in plain English.
        test_file (`dict`, *optional*): `path`, and `seen_share`: how many of its graphs stand in the rows that the run
            trained on; `None` where nobody knows.
        diagnosis (`dict`, *optional*): why the model fails, on the first 2,000 rows of `split`; see
            `hf_nextfail.diagnose`. `None` without a diagnosis.
        history (list of `dict`): the evaluations on the validation split: `step`, `accuracy`, `loss`, and
            `diagnosis` of its first rows: name -> number, or one a node, and `errors`: kind -> share; or `None`.
        recipe (`dict`, *optional*): every option that differs from its default; `None` without training.
        versions (`dict`): of the package (with `revision`, the commit, in a checkout), the task, the metrics, Python
            and the libraries.
        timings (`dict`): `train_seconds` (validation and diagnoses included) and `examples_per_second` of the last
            command, `evaluation_seconds`: the one part that differs between equal runs.
    """

    run: dict[str, Any]
    results: dict[str, Any]
    chance: dict[str, Any]
    test_file: dict[str, Any] | None
    diagnosis: dict[str, Any] | None
    history: list[dict[str, Any]]
    recipe: dict[str, Any] | None
    versions: dict[str, str]
    timings: dict[str, float | None]

    @classmethod
    def build(
        cls,
        task: Task | None,
        run: dict[str, Any],
        results: dict[str, Any],
        *,
        test_file: dict[str, Any] | None = None,
        diagnosis: dict[str, Any] | None = None,
        history: Sequence[dict[str, Any]] = (),
        recipe: dict[str, Any] | None = None,
        timings: dict[str, float | None] | None = None,
    ) -> Self:
        """Build the record of what was just run here.

        Args:
            task (`Task`, *optional*): what the rows are of; `None` for the user's own data.
            run (`dict`): what is known of `run`; the title, the hard node and all that is not given are filled in.
            results (`dict`): from `hf_nextfail.evaluate`; empty as long as nothing is measured.
            test_file, diagnosis, history, recipe, timings: as in the record.
        """
        dataset_name = run.get("dataset_name")
        if task is not None:
            of_task = {"task": task.name, "title": task.title, "hard_node": task.hard_part}
        else:
            of_task = {"title": dataset_name and Path(dataset_name).name}
        parts = {
            "run": of_task | run,
            "results": results,
            "chance": {} if task is None else task.chance,
            "test_file": test_file,
            "diagnosis": diagnosis,
            "history": list(history),
            "recipe": recipe,
            "versions": versions(task),
            "timings": timings or {},
        }
        return cls(**filled(parts))

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Take what stands in a `results.json` of version 1 or 2.

        Raises:
            ValueError: in one line, if it is of another version, or cannot be what a run writes.
        """
        version = data.get("schema_version") if isinstance(data, dict) else None
        if isinstance(version, bool) or version not in range(1, SCHEMA_VERSION + 1):
            raise ValueError(f"schema_version must be 1 or {SCHEMA_VERSION}, got {reprlib.repr(version)}")
        check_values(data)
        parts = copy.deepcopy(data)
        parts = filled(upgraded(parts) if version == 1 else parts)
        check_parts(parts)
        return cls(**parts)

    @classmethod
    def read(cls, path: str | PathLike) -> Self:
        """Read a `results.json`.

        Raises:
            UsageError: in one line that names the file, if it cannot be read, is of another version, or holds
                something else than a record.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise UsageError(f"{path}: cannot be read as JSON: {error}") from None
        try:
            return cls.from_dict(data)
        except ValueError as error:
            raise UsageError(f"{path}: {error}") from None

    def as_dict(self) -> dict[str, Any]:
        """Return what stands in the file: a copy, ready for JSON."""
        return {"schema_version": SCHEMA_VERSION, **dataclasses.asdict(self)}

    def as_json(self) -> str:
        """Return the text of the file."""
        return json.dumps(self.as_dict(), indent=2) + "\n"

    def write(self, path: str | PathLike) -> None:
        """Write a `results.json`, whole or not at all."""
        write_whole(Path(path), self.as_json())

    def estimate(self, name: str) -> dict[str, Any] | None:
        """Return a number of `results` with its standard error; `None` where it does not exist or was not measured."""
        return self.results.get(name)

    @property
    def guessed_accuracy(self) -> float | None:
        """What guessing gives of whole answers; where nobody says, what it gives at the hard token."""
        return self.chance.get("accuracy", self.chance["hard_token_accuracy"])

    def public(self) -> Self:
        """Return the record for other people to read: no place on this machine in it, no token."""
        run, recipe = self.run, self.recipe or {}
        model = without_paths(run["model"])
        name = model if run["name"] == run["model"] else run["name"]  # an evaluation is named after its model
        if "test_file" in recipe:  # a path, also where it does not lead anywhere from here
            recipe = recipe | {"test_file": Path(recipe["test_file"]).name}
        dataset_name = run["dataset_name"]
        if dataset_name is not None and is_reference(dataset_name):
            dataset_name = without_folder(dataset_name)
        elif dataset_name is not None and task_called(dataset_name) is None:
            dataset_name = without_paths(dataset_name)
        kept = {key: value for key, value in recipe.items() if key not in PLACES}
        kept = {key: value for key, value in kept.items() if key not in NOT_GIVEN or value != NOT_GIVEN[key]}
        recipe = {key: without_paths(value) for key, value in kept.items()}
        recipe |= {option: without_folder(name) for option, name in references_in(recipe).items()}
        if "dataset_name" in recipe:
            recipe["dataset_name"] = dataset_name
        run = run | {"name": name, "model": model, "dataset_name": dataset_name}
        return dataclasses.replace(self, run=run, recipe=recipe or None)


def is_record(path: Path) -> bool:
    """Say whether a file begins as a record does, whatever its name: grids and this package keep theirs by name."""
    if not path.is_file():  # a folder may be called so, too
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return '"schema_version"' in file.read(100)


def records_below(folder: Path) -> list[Path]:
    """Find the records in a folder and below it, whatever they are called.

    Checkpoints of a run that goes on and the summary of a grid whose runs are found themselves hold copies.
    """
    found = sorted(path for path in folder.rglob("*.json") if path.name == "results.json" or is_record(path))
    grids = {parent for path in found if path.name == "results.json" for parent in path.parents}

    def is_copy(path: Path) -> bool:
        above = path.relative_to(folder).parts[:-1]
        in_summary = above[-1:] == (SUMMARY,) and path.name != "results.json" and path.parent.parent in grids
        return in_summary or any(part.startswith("checkpoint-") for part in above)

    return [path for path in found if not is_copy(path)]


def find_results(places: Iterable[str | PathLike]) -> list[Path]:
    """Find the results.json files of runs, and records of other names, each once.

    Args:
        places (iterable of paths): files, folders of a run, or folders of several.

    Raises:
        UsageError: if there is none at a place.
    """
    found: dict[Path, Path] = {}
    for place in map(Path, places):
        if place.is_file():
            files = [place]
        elif place.is_dir():
            files = records_below(place)
        else:
            raise UsageError(f"there is no file or folder {place}")
        if not files:
            raise UsageError(
                f"{place} holds no results.json: name the folder of a run, such as "
                "runs/star_graph/teacherless/d2_l3_n20-gpt2, or files that are called otherwise"
            )
        found |= {file.resolve(): file for file in files if file.resolve() not in found}
    if not found:
        raise UsageError("name a run: nextfail report RUN_DIR ...")
    return list(found.values())
