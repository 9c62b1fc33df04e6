"""Tasks as Arrow: the `datasets` builder behind `load_dataset("nextfail/<task>", ...)`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets.builder import Key

from hf_nextfail.data.room import check_disk
from hf_nextfail.tasks import SPLITS, Task
from hf_nextfail.tasks.base import SHARD_ROWS, Columns, check_integer, keep_integer
from hf_nextfail.tasks.text import ROLES, Messages, TextColumn

#: How many pieces a split is divided into at most, for workers and processes to share.
MAX_PIECES = 1024


def to_arrow_text(texts: TextColumn | Sequence[str]) -> pa.Array:
    """View a text column as an Arrow array of strings, without a copy of the text; Python strings are copied."""
    column = TextColumn.of(texts)
    offsets, data = pa.py_buffer(column.offsets.astype(np.int32)), pa.py_buffer(column.data)
    return pa.StringArray.from_buffers(len(column.offsets) - 1, offsets, data)


def to_arrow_lists(values: np.ndarray) -> pa.Array:
    """View an array of shape `(rows, ...)` as an Arrow array of (nested) lists, without a copy of the numbers."""
    array = pa.array(values.reshape(-1))
    for length in reversed(values.shape[1:]):
        array = pa.ListArray.from_arrays(np.arange(0, len(array) + 1, length, dtype=np.int32), array)
    return array


def to_arrow_messages(messages: Messages) -> pa.Array:
    """Turn prompts and completions into an Arrow array of lists of messages."""
    said = [to_arrow_text(column) for column in (messages.prompt, messages.completion)]
    count = len(said[0])
    in_turn = pa.array(np.arange(2 * count).reshape(2, count).T.reshape(-1))
    content = pc.utf8_rtrim_whitespace(pa.concat_arrays(said).take(in_turn))
    role = pa.array(ROLES).take(pa.array(np.tile([0, 1], count)))
    turns = pa.StructArray.from_arrays([role, content], ["role", "content"])
    return pa.ListArray.from_arrays(pa.array(np.arange(0, 2 * count + 1, 2, dtype=np.int32)), turns)


def to_arrow_table(task: Task, columns: Columns) -> pa.Table:
    """Turn sampled columns into the table that users see: the two texts first, then the structured columns."""
    table = {
        name: to_arrow_messages(column) if isinstance(column, Messages) else to_arrow_text(column)
        for name, column in task.to_text(columns).items()
    }
    return pa.table(table | {name: to_arrow_lists(values) for name, values in columns.items()})


def task_features(task: Task) -> datasets.Features:
    """Derive the features of a task's rows from a row of it."""
    return datasets.Features.from_arrow_schema(
        to_arrow_table(task, task.sample(np.random.default_rng(0), count=1)).schema
    )


@dataclass
class TaskConfig(datasets.BuilderConfig):
    """Say what to generate: a task, how many rows of each split, and the seed.

    Args:
        task (`Task`): the configured task.
        num_train (`int`, >= 0, *optional*, defaults to 200,000): rows of the train split.
        num_validation (`int`, >= 0, *optional*, defaults to 5,000): rows of the validation split.
        num_test (`int`, >= 0, *optional*, defaults to 20,000): rows of the test split. A split of no rows is left out.
        seed (`int`, >= 0, *optional*, defaults to 0): the seed of all rows. The first rows do not depend on the sizes.

    Raises:
        ValueError: naming the field, its value and the allowed range.
    """

    task: Task | None = None
    num_train: int = 200_000
    num_validation: int = 5_000
    num_test: int = 20_000
    seed: int = 0

    def __post_init__(self):
        super().__post_init__()
        for split in SPLITS:
            keep_integer(self, f"num_{split}", 0)
            if self.num_rows(split):
                self.task.check_split(split)
        if not any(self.num_rows(split) for split in SPLITS):
            raise ValueError("num_train, num_validation and num_test are all 0: nothing to generate")
        keep_integer(self, "seed", 0)

    def num_rows(self, split: str) -> int:
        """Return the number of rows asked of a split."""
        return getattr(self, f"num_{split}")

    @classmethod
    def resolve(cls, task_class: type[Task], name: str | None, **options: Any) -> "TaskConfig":
        """Build a configuration from a name such as `d2_l5_n50`, from keywords, or from both.

        Args:
            task_class (`type[Task]`): the task.
            name (`str`, *optional*): a configuration name; by default the task's own defaults.
            options: fields of the task and of this class.

        Raises:
            TypeError: if an option is a field of neither.
            ValueError: if there is no such name, a value is out of range, or the name and an option contradict
                each other.
        """
        task_fields = [field.name for field in fields(task_class)]
        own_fields = [field.name for field in fields(cls) if field.name.startswith("num_") or field.name == "seed"]
        if unknown := sorted(set(options) - {*task_fields, *own_fields}):
            raise TypeError(
                f"nextfail/{task_class.name} has no option {', '.join(unknown)}; "
                f"it takes {', '.join(task_fields + own_fields)}"
            )
        task_options = {key: value for key, value in options.items() if key in task_fields}
        task = task_class.from_config_name(name, **task_options) if name else task_class(**task_options)
        sizes = {key: value for key, value in options.items() if key in own_fields}
        return cls(name=task.config_name, version=datasets.Version(task.version), task=task, **sizes)

    def row(self, split: str, index: int) -> dict[str, Any]:
        """Generate one row alone: what `load_dataset` gives at this place of the split.

        Args:
            split (`str`): `"train"`, `"validation"` or `"test"`.
            index (`int`, from 0 to the rows of the split less 1): which row.

        Raises:
            ValueError: if there is no such row.
        """
        num_rows = self.num_rows(split)
        index = check_integer("index", index, 0, num_rows - 1, f" for the {num_rows} rows of the {split} split")
        shard, place = divmod(index, SHARD_ROWS)
        columns = self.task.sample_shard(split, shard, self.seed, place + 1)
        columns = {name: values[-1:] for name, values in columns.items()}
        texts = {
            name: (column if isinstance(column, Messages) else TextColumn.of(column)).tolist()[0]
            for name, column in self.task.to_text(columns).items()
        }
        return texts | {name: values[0].tolist() for name, values in columns.items()}

    def cache_options(self) -> dict[str, int]:
        """Return the options that the name leaves out and that differ from their defaults."""
        defaults = {field.name: field.default for field in fields(self)}
        names = [*(f"num_{split}" for split in SPLITS), "seed"]
        return {name: getattr(self, name) for name in names if getattr(self, name) != defaults[name]}


class DefaultConfigName(str):
    """Mark the name that `datasets` fills in when the user gives none: only that one yields to keywords."""


class TaskBuilder(datasets.ArrowBasedBuilder):
    """Generate a task, that of its configurations, as whole columns, shard by shard."""

    BUILDER_CONFIG_CLASS = TaskConfig

    def _create_builder_config(self, config_name=None, custom_features=None, config_id=None, **options):
        # The stock method overrides fields behind `__post_init__` and keeps the name of another configuration.
        if isinstance(config_name, DefaultConfigName):
            config_name = None
        options = {key: value for key, value in options.items() if value is not None}
        config = TaskConfig.resolve(type(self.BUILDER_CONFIGS[0].task), config_name, **options)
        return config, config_id or config.create_config_id(config.cache_options(), custom_features)

    def _info(self) -> datasets.DatasetInfo:
        task = self.config.task
        description = (type(task).__doc__ or "").partition("\n")[0]
        of_paper = {}
        if task.paper is not None:
            of_paper = {"citation": task.paper.citation, "homepage": task.paper.url, "license": "apache-2.0"}
        return datasets.DatasetInfo(description=description, features=task_features(task), **of_paper)

    def _split_generators(self, dl_manager) -> list[datasets.SplitGenerator]:
        generators = []
        for split in SPLITS:
            if num_rows := self.config.num_rows(split):
                num_shards = -(-num_rows // SHARD_ROWS)
                step = -(-num_shards // MAX_PIECES)
                # `datasets` deals out the entries of a list to its workers.
                pieces = [(first, min(first + step, num_shards)) for first in range(0, num_shards, step)]
                generators.append(datasets.SplitGenerator(name=split, gen_kwargs={"split": split, "pieces": pieces}))
        return generators

    def _download_and_prepare(self, *args: Any, **kwargs: Any) -> None:
        # Called where the rows are not in the cache; a stream needs no room.
        num_rows = sum(map(self.config.num_rows, SPLITS))
        few = to_arrow_table(self.config.task, self.config.task.sample(np.random.default_rng(0), count=100))
        what = f"{num_rows:,} rows of {self.config.task.name} {self.config.task.config_name}"
        check_disk(what, few.nbytes / len(few) * num_rows, Path(self._cache_dir_root))
        super()._download_and_prepare(*args, **kwargs)

    def _generate_tables(self, split: str, pieces: list[tuple[int, int]]) -> Iterator[tuple[Key, pa.Table]]:
        config = self.config
        for piece, (first, end) in enumerate(pieces):
            for shard in range(first, end):
                num_rows = min(SHARD_ROWS, config.num_rows(split) - shard * SHARD_ROWS)
                columns = config.task.sample_shard(split, shard, config.seed, num_rows)
                yield Key(piece, shard - first), to_arrow_table(config.task, columns)
