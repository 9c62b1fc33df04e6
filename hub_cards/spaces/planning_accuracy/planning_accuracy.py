"""The verifiers of all planning tasks, for `evaluate.load("nextfail/planning_accuracy")`.

This file stands alone: it is what the Hub hands out. The package hf_nextfail computes the same numbers.
"""

# Copied from hf_nextfail by `python -m hf_nextfail.hub.metric_spaces`: edit the package, not this part.
import difflib
import functools
import itertools
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from numbers import Integral
from statistics import fmean
from typing import Any, ClassVar, NamedTuple, Self

import datasets
import evaluate
import numpy as np


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean ...?)` when a known word is near, else nothing.

    Example:

    ```python
    >>> did_you_mean("n_layers", ["n_embd", "n_layer"])
    " (did you mean 'n_layer'?)"

    ```
    """
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def mean_and_standard_error(values: np.ndarray, groups: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Average over rows, with a standard error that treats rows of one group as one piece of evidence.

    Rows about the same graph are not independent: a model that knows the graph gets them all right. The error is the
    cluster-robust one, the root of the summed squares of the groups' summed deviations, divided by the rows.

    Args:
        values (`np.ndarray`, shape `(rows,)` or `(rows, L)`): one or `L` numbers a row.
        groups (`np.ndarray`, shape `(rows,)`, *optional*): equal entries mark rows of one group; by default each row
            is its own.

    Returns:
        The mean and its standard error, each of shape `()` or `(L,)`; NaN when there are no rows.

    Example:

    ```python
    >>> import numpy as np
    >>> mean, error = mean_and_standard_error(np.array([1.0, 0.0, 1.0, 1.0]))
    >>> float(mean), round(float(error), 4)
    (0.75, 0.2165)
    >>> _, error = mean_and_standard_error(np.array([1.0, 0.0, 1.0, 1.0]), groups=np.array([7, 8, 9, 9]))
    >>> round(float(error), 4)
    0.2339

    ```

    Reference: Liang and Zeger, "Longitudinal data analysis using generalized linear models", Biometrika 1986.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) == 0:
        empty = np.full(values.shape[1:], np.nan)
        return empty, empty
    mean = values.mean(axis=0)
    deviations = values - mean
    if groups is not None:
        _, inverse = np.unique(groups, return_inverse=True)
        summed = np.zeros((inverse.max() + 1, *values.shape[1:]))
        np.add.at(summed, inverse, deviations)
        deviations = summed
    return mean, np.sqrt((deviations**2).sum(axis=0)) / len(values)


def coded_name(values: Mapping[str, Any], codes: Mapping[str, str], defaults: Mapping[str, Any]) -> str:
    """Write the values of fields behind their codes, in the order of the codes."""
    parts = []
    for name, code in codes.items():
        value = values[name]
        left_out = value is False or (code.startswith("_") and value == defaults[name])
        if not left_out:
            parts.append(code.removeprefix("_") + ("" if value is True else str(value)))
    return "_".join(parts)


def form_of_names(codes: Mapping[str, str], defaults: Mapping[str, Any]) -> str:
    """Write the regular expression of the configuration names of a task, of the codes and defaults of its fields."""
    if not codes:
        return "-".join(f"{name}_(?P<{name}>.+?)" for name in defaults) or "default"
    form = ""
    for name, code in codes.items():
        begin = "_" * bool(form) + code.removeprefix("_")
        if isinstance(defaults[name], bool):
            form += f"(?P<{name}>{begin})?"
        elif code.startswith("_"):  # left out by default
            form += f"(?:{begin}(?P<{name}>.+?))?"
        else:
            form += f"{begin}(?P<{name}>.+?)"
    return form


def readable(form: str) -> str:
    """Write the form of configuration names for people: `digits_<digits>`, or `l<length>[_rev][_s<seed_length>]`."""
    form = re.sub(r"\(\?P<\w+>(_\w+)\)\?", r"[\1]", form)
    form = re.sub(r"\(\?P(<\w+>)\.\+\?\)", r"\1", form)
    return re.sub(r"\(\?:(.*?)\)\?", r"[\1]", form)


def value_of(name: str, text: str, default: Any) -> Any:
    """Read the value of a field of a configuration name, of the type that its default has.

    Raises:
        ValueError: if the text is of another type, or is not how that value is written.
    """
    kind = type(default)
    if kind is bool and text in ("True", "False"):
        return text == "True"
    try:
        if kind in (int, float, str) and str(kind(text)) == text:
            return kind(text)
    except ValueError:
        pass  # not a number
    raise ValueError(f"{name} must be written like {default!r}, got {text!r}")


#: The largest label that `format_labels` writes and `read_labels` reads.
MAX_LABEL = 10**7 - 1
#: Who says a prompt, and who a completion.
ROLES = ("user", "assistant")


@dataclass(frozen=True)
class TextColumn:
    """Hold a column of strings in the memory layout of Arrow, so that it becomes a dataset column without a copy.

    Args:
        data (`np.ndarray` of `uint8`): the bytes of all rows in UTF-8, one after the other.
        offsets (`np.ndarray` of `int64`, shape `(rows + 1,)`): where each row begins, and the end of the last.
    """

    data: np.ndarray
    offsets: np.ndarray

    @classmethod
    def constant(cls, text: str, count: int) -> "TextColumn":
        """Lay out one text of ASCII, `count` times."""
        row = np.frombuffer(text.encode("ascii"), np.uint8)
        return cls(np.tile(row, count), np.arange(count + 1, dtype=np.int64) * len(row))

    @classmethod
    def of(cls, texts: "TextColumn | Sequence[str]") -> "TextColumn":
        """Take texts as they are, or lay out Python strings."""
        if isinstance(texts, TextColumn):
            return texts
        rows = [text.encode() for text in texts]
        offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
        return cls(np.frombuffer(b"".join(rows), np.uint8), offsets)

    def tolist(self) -> list[str]:
        """Return the rows as Python strings."""
        data = self.data.tobytes()
        return [data[a:b].decode() for a, b in zip(self.offsets[:-1], self.offsets[1:], strict=True)]


@dataclass(frozen=True)
class Messages:
    """Hold prompts and completions as what a user says and an assistant answers.

    Args:
        prompt (`TextColumn`), completion (`TextColumn`): of the same rows; blanks at their ends are not said.
    """

    prompt: TextColumn
    completion: TextColumn

    def tolist(self) -> list[list[dict[str, str]]]:
        """Return each row as two messages, with `role` and `content`."""
        texts = zip(self.prompt.tolist(), self.completion.tolist(), strict=True)
        return [
            [{"role": role, "content": text.rstrip()} for role, text in zip(ROLES, row, strict=True)] for row in texts
        ]


def expand(texts: TextColumn, signs: Mapping[str, str], before: str = "") -> TextColumn:
    r"""Write texts in the place of signs.

    Args:
        texts (`TextColumn`): with the signs in it.
        signs (mapping): from one character of ASCII to a text of ASCII.
        before (`str`, *optional*): a text of ASCII that every row begins with.

    Example:

    ```python
    >>> expand(TextColumn.of(["3|1", "20|5"]), {"|": " -> "}, before="path ").tolist()
    ['path 3 -> 1', 'path 20 -> 5']

    ```
    """
    codes = np.array([ord(sign) for sign in signs], np.uint8)
    lengths = np.ones(256, np.int64)
    lengths[codes] = [len(text) for text in signs.values()]
    first = np.zeros(len(texts.data) + 1, np.int64)  # where what stands for a character begins, without `before`
    np.cumsum(lengths[texts.data], out=first[1:])
    offsets = first[texts.offsets] + len(before) * np.arange(len(texts.offsets))
    row = np.repeat(np.arange(1, len(texts.offsets)), np.diff(texts.offsets))
    place = first[:-1] + len(before) * row
    data = np.empty(offsets[-1], np.uint8)
    kept = lengths[texts.data] == 1
    data[place[kept]] = texts.data[kept]
    for sign, text in [*signs.items(), (None, before)]:
        begins = offsets[:-1] if sign is None else place[texts.data == ord(sign)]
        data[begins[:, None] + np.arange(len(text))] = np.frombuffer(text.encode("ascii"), np.uint8)
    return TextColumn(data, offsets)


def label_spans(text: str, sign: str = ",") -> list[tuple[int, int]]:
    """Say where what stands between commas, or another sign, begins and ends, spaces around it left out."""
    sign = re.escape(sign)
    return [piece.span(1) for piece in re.finditer(rf"(?:^|{sign})\s*([^{sign}]*?)\s*(?={sign}|\Z)", text)]


def read_labels(text: str) -> tuple[int, ...] | None:
    """Read labels between commas; `None` if something there is no label, which has at most 7 digits."""
    pieces = [piece.strip() for piece in text.split(",")]
    return tuple(map(int, pieces)) if all(re.fullmatch(r"0|[1-9][0-9]{0,6}", piece) for piece in pieces) else None


def labels_of(text: str) -> list[int]:
    """Read labels between commas; raise `ValueError` for anything else."""
    labels = read_labels(text)
    if labels is None:
        raise ValueError(f"a prompt or completion must be labels with commas between them, got {text!r}")
    return list(labels)


def format_labels(labels: np.ndarray, separators: str | np.ndarray) -> TextColumn:
    r"""Write rows of labels as decimal text, label `j` of every row followed by `separators[j]`.

    Args:
        labels (`np.ndarray` of integers, shape `(rows, M)`): what to write; -1 is left out with its separator.
        separators (`str` of length `M`, or `np.ndarray` of `uint8`, shape `(rows, M)`): one ASCII character per label;
            `"\0"` writes nothing.

    Returns:
        `TextColumn` of `rows` strings.

    Example:

    ```python
    >>> import numpy as np
    >>> format_labels(np.array([[3, 12], [40, 5]]), ",\0").tolist()
    ['3,12', '40,5']

    ```
    """
    left_out = labels < 0
    largest = int(labels.max(initial=0))
    width = len(str(largest))
    cell = np.dtype("u4") if width < 4 else np.dtype("u8")  # one label and its separator, as one machine word
    if width >= cell.itemsize:
        raise ValueError(f"labels must have at most 7 digits, got {largest}")
    if largest < labels.size:
        values = np.arange(largest + 1)
    else:  # few of many labels occur
        values, codes = np.unique(labels, return_inverse=True)
        labels = codes.reshape(labels.shape)
    table = np.zeros((len(values), cell.itemsize), np.uint8)
    table[:, :width] = values.astype(f"S{width}").view(np.uint8).reshape(len(values), width)
    lengths = (table != 0).sum(1)

    if isinstance(separators, str):
        cells = np.empty(labels.shape, cell)
        for separator in set(separators):
            columns = [j for j, s in enumerate(separators) if s == separator]
            table[np.arange(len(values)), lengths] = ord(separator)
            cells[:, columns] = table.view(cell)[:, 0][labels[:, columns]]
    else:
        cells = table.view(cell)[:, 0][labels]
        characters = cells.reshape(-1, 1).view(np.uint8)
        characters[np.arange(labels.size), lengths[labels].reshape(-1)] = separators.reshape(-1)
    cells[left_out] = 0
    characters = cells.view(np.uint8).reshape(len(labels), labels.shape[1] * cell.itemsize)
    written = characters != 0  # cells are padded with zero bytes, which no text contains
    offsets = np.zeros(len(labels) + 1, np.int64)
    np.cumsum(written.sum(1), out=offsets[1:])
    return TextColumn(characters[written], offsets)


def mix_bits(x: np.ndarray) -> np.ndarray:
    """Scramble 64-bit integers so that each input bit flips about half of the output bits.

    Reference: the finalizer of SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators",
    OOPSLA 2014).
    """
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def hash_texts(column: TextColumn) -> np.ndarray:
    """Hash each text of a column: `np.ndarray` of `uint64`, shape `(rows,)`."""
    lengths = np.diff(column.offsets)
    places = np.arange(len(column.data)) - np.repeat(column.offsets[:-1], lengths)  # of each byte in its text
    mixed = mix_bits(places.astype(np.uint64) << np.uint64(8) | column.data.astype(np.uint64))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed, dtype=np.uint64)])  # they wrap around
    return mix_bits(sums[column.offsets[1:]] - sums[column.offsets[:-1]] + lengths.astype(np.uint64))


def hash_numbers(values: np.ndarray) -> np.ndarray:
    """Hash each row of integers in [0, 2**32), shape `(rows, M)`, in their order: `uint64`, shape `(rows,)`."""
    places = np.arange(values.shape[1], dtype=np.uint64) << np.uint64(32)
    return mix_bits(mix_bits(places | values.astype(np.uint64)).sum(axis=1, dtype=np.uint64))


class Paper(NamedTuple):
    """A paper that a task is from.

    Args:
        key (`str`): what BibTeX calls it.
        authors (`str`): as BibTeX has them: `"First Author and others"`.
        title (`str`): of the paper.
        venue (`str`): where it appeared.
        year (`int`): when.
        arxiv (`str`): its number there.
    """

    key: str
    authors: str
    title: str
    venue: str
    year: int
    arxiv: str

    @property
    def url(self) -> str:
        """Where it can be read."""
        return f"https://arxiv.org/abs/{self.arxiv}"

    @property
    def in_words(self) -> str:
        """`Bachmann & Nagarajan 2024`, or `Ye et al. 2025`."""
        first, *others = (name.split()[-1] for name in self.authors.split(" and "))
        if others == ["others"]:
            return f"{first} et al. {self.year}"
        return f"{' & '.join([first, *others])} {self.year}"

    @property
    def citation(self) -> str:
        """The paper in BibTeX."""
        at = "@inproceedings" if self.venue != "arXiv" else "@misc"
        where = "booktitle" if self.venue != "arXiv" else "howpublished"
        return (
            f"{at}{{{self.key}, title={{{self.title}}}, author={{{self.authors}}}, {where}={{{self.venue}}}, "
            f"year={{{self.year}}}}}"
        )


PITFALLS = Paper(
    "bachmann2024pitfalls",
    "Gregor Bachmann and Vaishnavh Nagarajan",
    "The Pitfalls of Next-Token Prediction",
    *("ICML", 2024, "2403.06963"),
)
SUPERVISION_ADULTERATION = Paper(
    "frydenlund2025adulteration",
    "Arvid Frydenlund",
    "Language Models, Graph Searching, and Supervision Adulteration",
    *("ACL", 2025, "2503.10542"),
)
INSERTION_LANGUAGE_MODELS = Paper(
    "patel2025insertion", "Dhruvesh Patel and others", "Insertion Language Models", "arXiv", 2025, "2505.05755"
)
BEYOND_AUTOREGRESSION = Paper(
    "ye2025beyond",
    "Jiacheng Ye and others",
    "Beyond Autoregression: Discrete Diffusion for Complex Reasoning and Planning",
    *("ICLR", 2025, "2410.14157"),
)
GEOMETRIC_MEMORY = Paper(
    "noroozizadeh2025geometric",
    "Shahriar Noroozizadeh and others",
    "Deep sequence models tend to memorize geometrically",
    *("arXiv", 2025, "2510.26745"),
)
NEXT_LATENT = Paper(
    "teoh2025nextlatent",
    "Jayden Teoh and others",
    "Next-Latent Prediction Transformers Learn Compact World Models",
    *("arXiv", 2025, "2511.05963"),
)
ROLL_THE_DICE = Paper(
    "nagarajan2025roll",
    "Vaishnavh Nagarajan and others",
    "Roll the dice \\& look before you leap: Going beyond the creative limits of next-token prediction",
    *("ICML", 2025, "2504.15266"),
)


#: One array per column, the rows along the first axis.
Columns = dict[str, np.ndarray]
NUM_BUCKETS = 16
#: The buckets of `split key mod 16` that make up each split.
SPLITS = {"train": range(12), "validation": range(12, 14), "test": range(14, 16)}
#: What stands at the end of configuration names whose answers are written from their end: see `ReversibleTask`.
REVERSED = "rev"
#: Rows are sampled in shards of this size, each from its own generator, and cut to the number asked for.
SHARD_ROWS = 10_000


def split_of(keys: np.ndarray) -> np.ndarray:
    """Say which split each problem belongs to: a function of its split key alone.

    No seed, size, query or configuration can therefore carry a problem from one split into another.

    Args:
        keys (`np.ndarray` of `uint64`, shape `(rows,)`): of `Task.split_key`.

    Returns:
        `np.ndarray` of `str`, shape `(rows,)`: `"train"`, `"validation"` or `"test"`, 12, 2 and 2 of 16 problems.

    Example:

    ```python
    >>> import numpy as np
    >>> split_of(np.array([3, 12, 31], dtype=np.uint64)).tolist()
    ['train', 'validation', 'test']

    ```
    """
    names = np.array([name for name, buckets in SPLITS.items() for _ in buckets])
    return names[keys % np.uint64(NUM_BUCKETS)]


def check_integer(name: str, value: Any, low: int, high: int | None = None, why: str = "") -> int:
    """Return an integer, also one of NumPy, as an `int`.

    Raises:
        ValueError: naming the field, its value and the allowed range, if it is no integer, or not in it.
    """
    integer = isinstance(value, Integral) and not isinstance(value, bool)
    if not integer or value < low or (high is not None and value > high):
        allowed = f"an integer >= {low}" if high is None else f"an integer from {low} to {high}"
        raise ValueError(f"{name} must be {allowed}{why}, got {value!r}")
    return int(value)


def keep_integer(config: Any, name: str, low: int, high: int | None = None, why: str = "") -> None:
    """Check an integer field of a dataclass, frozen or not, and keep it as an `int`: see `check_integer`."""
    object.__setattr__(config, name, check_integer(name, getattr(config, name), low, high, why))


@functools.lru_cache
def occupied_splits(task: "Task") -> frozenset[str]:
    """Say which splits some problems of a task fall into: as many as there are in a shard."""
    problems = task.sample(np.random.default_rng(0), SHARD_ROWS)
    return frozenset(split_of(task.split_key(problems)).tolist())


class Task(ABC):
    """Define what is asked: problems as text, a seedable sampler, and a verifier.

    A task knows nothing of tokens or models. A subclass is a frozen dataclass whose fields are the configuration,
    validated in `__post_init__`. Adding one takes a file in this folder and a line in `TASKS`; one of your own is used
    by `--task FILE.py:Class` and `load_dataset("FILE.py:Class")`.

    The columns of a row are those that `sample` returns and the two texts `prompt` and `completion`.
    """

    #: What it is called in recipes, records and tables.
    name: ClassVar[str]
    #: Changes whenever the same seed gives other rows.
    version: ClassVar[str] = "1.0.0"
    #: What it is from; `None` if it is nobody's.
    paper: ClassVar[Paper | None] = None
    #: The configurations that are published by name; the first is the default, and of none that of the defaults.
    grid: ClassVar[tuple[str, ...]] = ()
    #: Whether a prompt has one right completion. Where it has many, every row is decoded and scored.
    answers_are_unique: ClassVar[bool] = True
    #: What stands between two words of letters or digits, and is no token; empty where each character is a word.
    separator: ClassVar[str] = ""
    #: Whether all completions of a configuration have one number of words; then they do not end with an end token.
    fixed_length: ClassVar[bool] = False
    #: What stands for each field in names such as `d2_l5_n50`, that of a switch only where it is on, and one that
    #: begins with `_` only where the field has another value than by default; without codes, names are such as
    #: `degree_2-length_5`.
    codes: ClassVar[Mapping[str, str]] = {}

    def __post_init__(self):
        """Check the switches; a subclass checks its other fields, too."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, bool) and not isinstance(value, bool):
                raise ValueError(f"{field.name} must be true or false, got {value!r}")

    @property
    @abstractmethod
    def words(self) -> Sequence[str]:
        """All words that prompts and completions are made of: the vocabulary of one token a word."""

    @abstractmethod
    def sample(self, rng: np.random.Generator, count: int) -> Columns:
        """Draw `count` problems, whatever their split: arrays of numbers or of text, the rows along the first axis."""

    @abstractmethod
    def to_text(self, columns: Columns) -> Mapping[str, TextColumn | Sequence[str]]:
        """Write `prompt` and `completion`, a right one."""

    @abstractmethod
    def score(self, prediction: str, row: Mapping[str, Any]) -> float:
        """Return 1.0 when `prediction` is a right completion of `row`, else 0.0; it may be any text."""

    def read_row(self, prompt: str, completion: str) -> Mapping[str, Any]:
        """Read back from the texts of a row what `score` and `measures` look at; by default the texts themselves.

        Raises:
            ValueError: if they are not those of a row.
        """
        return {"prompt": prompt, "completion": completion}

    def measures(self, prediction: str, row: Mapping[str, Any]) -> Mapping[str, float]:
        """Count what tells more of a prediction than its score, by the name of the result; by default nothing.

        The same names for whatever a model writes. Evaluation averages them over rows.
        """
        return {}

    def split_key(self, columns: Columns) -> np.ndarray:
        """Return what decides the split, and which rows are about one problem: by default a hash of the prompt.

        Args:
            columns (`Columns`): what `sample` returns.

        Returns:
            `np.ndarray` of `uint64`, shape `(rows,)`.
        """
        return hash_texts(TextColumn.of(self.to_text(columns)["prompt"]))

    def parts(self, completion: str) -> list[tuple[int, int]] | None:
        """Divide a completion into parts that are measured each, such as nodes: where they begin and end.

        `None`, the default, where there are no such parts. Whatever a model writes can be divided.
        """
        return None

    @property
    def hard_part(self) -> int | None:
        """The index, among the parts of a completion, of the one that needs planning; `None` if there is none."""
        return None

    def hard_places(self, columns: Mapping[str, Sequence[Any]]) -> list[dict[int, float]]:
        """Say of each row which parts of its completion need planning: by default all rows' `hard_part`.

        Args:
            columns (mapping from `str` to sequences): of a dataset: the texts and what `sample` returns.

        Returns:
            For each row a `dict`, in the order of writing: the index of such a part -> what guessing gives, with all
            before it right.
        """
        guess = self.chance.get("hard_token_accuracy")
        of_all = {} if self.hard_part is None else {self.hard_part: 1.0 if guess is None else guess}
        return [of_all] * len(columns["completion"])

    @property
    def chance(self) -> dict[str, float | None]:
        """What guessing gives, by the name of a result; `None` where no guess is needed."""
        return {}

    def drawing(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """Say how to draw a row, as `hf_nextfail.reporting.pictures.plot_row` takes it; `None` for no picture."""
        return None

    def canonical(self, prediction: str) -> Hashable | None:
        """Return what all completions that mean the same have in common; `None` for one that means nothing."""
        return prediction.strip() or None

    @property
    def config_name(self) -> str:
        """The configuration as a name without spaces, which `from_config_name` reads back: its `codes`, or its fields.

        Raises:
            ValueError: if a field is a text that could not be told from the rest of the name.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in values.items():
            if isinstance(value, str) and not re.fullmatch(r"[\w.]+", value):
                raise ValueError(f"{name} must be of letters, digits, dots and underscores, got {value!r}")
        if self.codes:
            return coded_name(values, self.codes, {field.name: field.default for field in fields(self)})
        return "-".join(f"{name}_{value}" for name, value in values.items()) or "default"

    @classmethod
    def from_config_name(cls, config_name: str, **overrides: Any) -> Self:
        """Read a configuration name; an override may turn on a switch that it leaves out, such as `reverse`.

        Raises:
            ValueError: for any other text, or when an override contradicts it.
        """
        if config_name.endswith(f"_{REVERSED}") and REVERSED not in cls.codes.values():
            raise ValueError(f"{cls.name} cannot be reversed: leave _{REVERSED} out of the config {config_name!r}")
        defaults = {field.name: field.default for field in fields(cls)}
        form = form_of_names(cls.codes, defaults)
        match = re.fullmatch(form, config_name)
        if match is None:
            example = cls().config_name
            hint = did_you_mean(config_name, (*cls.grid, example)) or f", such as {example!r}"
            raise ValueError(f"unknown config {config_name!r} of {cls.name}: use {readable(form)}{hint}")
        named = {}
        for field in fields(cls):
            text = match[field.name]
            if cls.codes and isinstance(field.default, bool):
                named[field.name] = text is not None
            else:
                named[field.name] = field.default if text is None else value_of(field.name, text, field.default)
        if cls.codes and (written := coded_name(named, cls.codes, defaults)) != config_name:
            raise ValueError(f"config {config_name!r} of {cls.name} is written {written!r}")
        for name, value in overrides.items():
            turned_on = named.get(name) is False and value is True  # not 0 and 1, which are equal to these
            if named.get(name) != value and not turned_on:
                raise ValueError(
                    f"config {config_name!r} says {name}={named.get(name)}, but {name}={value!r} was given"
                )
        return cls(**(named | overrides))

    @property
    def title(self) -> str:
        """What the configuration is called in prose."""
        values = ", ".join(f"{field.name.replace('_', ' ')} {getattr(self, field.name)}" for field in fields(self))
        return self.name.replace("_", " ") + (values and f", {values}")

    def check_split(self, split: str) -> None:
        """Raise `ValueError` when the space is so small that no problem of it falls into `split`."""
        if split not in occupied_splits(self):
            raise ValueError(
                f"{self.config_name} of {self.name} has too few different problems: all {SHARD_ROWS} drawn are "
                f"outside the {split} split; choose a larger configuration, or set num_{split}=0"
            )

    def sample_shard(self, split: str, shard: int, seed: int = 0, num_rows: int = SHARD_ROWS) -> Columns:
        """Draw one shard of a split: the same rows on any machine, in any order, by any number of processes.

        Args:
            split (`str`): `"train"`, `"validation"` or `"test"`.
            shard (`int`, >= 0): which shard.
            seed (`int`, >= 0, *optional*, defaults to 0): the dataset's seed.
            num_rows (`int`, 1 to 10,000, *optional*): cut the shard to its first rows.

        Returns:
            `Columns` with `num_rows` rows. Problems may repeat within a split; none is in two.

        Raises:
            ValueError: if no problem of this configuration falls into the split, or `num_rows` is out of range.
        """
        self.check_split(split)
        if not 1 <= num_rows <= SHARD_ROWS:
            raise ValueError(f"num_rows must be from 1 to {SHARD_ROWS}, got {num_rows}")
        return self.draw_shard(split, shard, seed, num_rows)

    def draw_shard(self, split: str, shard: int, seed: int, num_rows: int) -> Columns:
        """Draw problems until there are enough of the split: what `sample_shard` returns, after its checks."""
        rng = np.random.default_rng([seed, list(SPLITS).index(split), shard])
        parts: list[Columns] = []
        found = 0
        while found < num_rows:
            # A little more than a whole shard is expected to need, whatever num_rows is: a shorter one begins alike.
            # Bounded so that the working set stays in the cache.
            draws = min(2 * SHARD_ROWS, (SHARD_ROWS - found) * NUM_BUCKETS // len(SPLITS[split]) * 21 // 20 + 100)
            columns = self.sample(rng, draws)
            if wrong := [name for name, values in columns.items() if len(values) != draws]:
                raise ValueError(
                    f"{self.name}: sample(rng, {draws}) must return {draws} rows, the column {wrong[0]} has "
                    f"{len(columns[wrong[0]])}"
                )
            kept = np.flatnonzero(split_of(self.split_key(columns)) == split)[: num_rows - found]
            parts.append({name: values[kept] for name, values in columns.items()})
            found += len(kept)
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


PROMPT = "="
#: What seeds are made of: words that no completion has.
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, kw_only=True)
class CreativeTask(Task):
    """Ask for something coherent, whatever it is: all prompts are `=`, or begin with a random seed, `k,q,a,z=`.

    A model is creative that writes what is coherent, different each time, and not a row that it was trained on. Two
    completions are the same when `canonical` returns the same for both; it returns `None` for one that is incoherent.
    What was trained on is `{task.canonical(text) for text in dataset["train"]["completion"]}`. What is the same is in
    one split, so that all that is in validation and test is new.

    A model that writes greedily still has a choice if its prompt differs: by a seed, letters that say nothing. It must
    be trained on prompts with seeds, too.

    Args:
        seed_length (`int`, 0 to 64, *optional*, defaults to 0): the letters of the seed of each row, drawn uniformly;
            `_s4` at the end of configuration names. Other rows have the same seeds to training and to evaluation.

    Reference: Nagarajan et al., "Roll the dice & look before you leap: Going beyond the creative limits of next-token
    prediction", ICML 2025 (arXiv 2504.15266): seed-conditioning. That seeds are letters is ours.
    """

    paper: ClassVar[Paper] = ROLL_THE_DICE
    separator: ClassVar[str] = ","
    fixed_length: ClassVar[bool] = True
    answers_are_unique: ClassVar[bool] = False

    seed_length: int = 0

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        if cls.codes:
            cls.codes = {**cls.codes, "seed_length": "_s"}

    def __post_init__(self):
        super().__post_init__()
        keep_integer(self, "seed_length", 0, 64)

    @property
    def prompt_words(self) -> list[str]:
        """The words of prompts."""
        return [PROMPT, *(LETTERS if self.seed_length else "")]

    @property
    def seed_in_words(self) -> str:
        """What a title says of seeds: nothing without them."""
        return f", seeds of {self.seed_length} letters" if self.seed_length else ""

    @abstractmethod
    def draw(self, rng: np.random.Generator, count: int) -> Columns:
        """Draw `count` coherent outputs: what `sample` returns, but for the seeds."""

    def sample(self, rng: np.random.Generator, count: int) -> Columns:
        """Draw `count` outputs, and for each a seed: `seed` of `int32`, `(count, seed_length)`, if there are some."""
        columns = self.draw(rng, count)
        if self.seed_length:
            columns["seed"] = rng.integers(len(LETTERS), size=(count, self.seed_length), dtype=np.int32)
        return columns

    @abstractmethod
    def canonical(self, prediction: str) -> Hashable | None:
        """Return what coherent completions that mean the same have in common; `None` for one that is incoherent."""

    @abstractmethod
    def canonical_numbers(self, columns: Columns) -> np.ndarray:
        """Return what `canonical` returns, of whole columns: integers, shape `(rows, M)`."""

    @abstractmethod
    def completions(self, columns: Columns) -> TextColumn:
        """Write the completions."""

    def to_text(self, columns: Columns) -> dict[str, TextColumn]:
        """Write `=`, behind the seed if there is one, and a coherent completion."""
        completions = self.completions(columns)
        count = len(completions.offsets) - 1
        if not self.seed_length:
            return {"prompt": TextColumn.constant(PROMPT, count), "completion": completions}
        text = np.full((count, 2 * self.seed_length), ord(self.separator), np.uint8)
        text[:, ::2] = np.frombuffer(LETTERS.encode(), np.uint8)[columns["seed"]]
        text[:, -1] = ord(PROMPT)
        prompts = TextColumn(text.reshape(-1), np.arange(count + 1, dtype=np.int64) * text.shape[1])
        return {"prompt": prompts, "completion": completions}

    def score(self, prediction: str, row: Mapping[str, Any]) -> float:
        """Return 1.0 when `prediction` is coherent, else 0.0; `row` does not matter."""
        return float(isinstance(prediction, str) and self.canonical(prediction) is not None)

    def split_key(self, columns: Columns) -> np.ndarray:
        """Hash what equal completions have in common. See [`Task.split_key`]."""
        return hash_numbers(self.canonical_numbers(columns))


class GraphTask(Task):
    """Ask for something about a graph whose nodes are labels, and whose `edges` decide the split.

    Its completions are labels separated by commas, which are their parts. A subclass has a column `edges`, shape
    `(rows, E, 2)`, or a split key of its own.
    """

    separator: ClassVar[str] = ","

    def split_key(self, columns: Columns) -> np.ndarray:
        """Hash the edges. See [`Task.split_key`]."""
        return hash_edges(columns["edges"])

    def parts(self, completion: str) -> list[tuple[int, int]]:
        """Divide a completion into its nodes. See [`Task.parts`] and [`label_spans`]."""
        return label_spans(completion)

    def canonical(self, prediction: str) -> Hashable | None:
        """Return the labels as integers; `None` if some are none. See [`Task.canonical`]."""
        return read_labels(prediction)


def hash_edges(edges: np.ndarray) -> np.ndarray:
    """Hash each row's set of directed edges; the order of the edges does not matter.

    Args:
        edges (`np.ndarray` of integers in [0, 2**31), shape `(rows, E, 2)`): source and target labels; rows of fewer
            edges are filled up with -1.

    Returns:
        `np.ndarray` of `uint64`, shape `(rows,)`.
    """
    source, target = edges[..., 0].astype(np.uint64), edges[..., 1].astype(np.uint64)
    edge_hashes = mix_bits(source << np.uint64(32) | target) * (edges[..., 0] >= 0)  # (rows, E)
    return mix_bits(edge_hashes.sum(axis=1, dtype=np.uint64))  # a sum forgets the order


def sample_without_replacement(rng: np.random.Generator, count: int, population: int, size: int) -> np.ndarray:
    """Draw `size` different integers below `population`, in random order, `count` times.

    A Fisher-Yates shuffle that stops after `size` steps, each step done for all `count` rows at once.

    Returns:
        `np.ndarray` of `int32`, shape `(size, count)`.
    """
    if population > 4 * size**2:  # then that is quicker, and a pool may not fit in memory
        return sample_few_of_many(rng, count, population, size)
    pool = np.repeat(np.arange(population, dtype=np.int32)[:, None], count, axis=1)
    columns = np.arange(count)
    for i in range(size):
        j = rng.integers(i, population, size=count)
        picked = pool[j, columns]
        pool[j, columns] = pool[i]
        pool[i] = picked
    return pool[:size]


def sample_few_of_many(rng: np.random.Generator, count: int, population: int, size: int) -> np.ndarray:
    """Draw the same numbers without a pool in memory: look up what the swaps so far left at each place."""
    places = np.stack([rng.integers(i, population, size=count, dtype=np.int64) for i in range(size)]).astype(np.int32)
    picked, displaced = places.copy(), np.arange(size, dtype=np.int32)[:, None].repeat(count, axis=1)
    for i in range(size):
        for k in range(i):  # the later swap wins
            picked[i] = np.where(places[k] == places[i], displaced[k], picked[i])
            displaced[i] = np.where(places[k] == i, displaced[k], displaced[i])
    return picked


def all_stars(num_nodes: int, degree: int, path_length: int) -> np.ndarray:
    """Enumerate the edges of every star graph once: `(graphs, E, 2)` of `int32`."""
    size, graphs = 1 + degree * (path_length - 1), []
    for start in range(num_nodes):
        others = [node for node in range(num_nodes) if node != start]
        for first in itertools.combinations(others, degree):  # sorted, so that each set of arms comes once
            rest = [node for node in others if node not in first]
            graphs += [[start, *first, *later] for later in itertools.permutations(rest, size - 1 - degree)]
    labels = np.array(graphs, dtype=np.int32).reshape(len(graphs), size)
    # Here the nodes at distance 1 come first, then the rest of arm 0, the rest of arm 1, ...
    steps = path_length - 2
    arms = [[0, 1 + a, *range(1 + degree + a * steps, 1 + degree + (a + 1) * steps)] for a in range(degree)]
    return labels[:, [edge for arm in arms for edge in itertools.pairwise(arm)]]


@dataclass(frozen=True)
class EdgeConstruction(CreativeTask):
    """Ask for the edges of a walk over different names, in any order.

    Args:
        length (`int`, 3 to 30, *optional*, defaults to 9): how many names the walk goes over.
        num_names (`int`, >= `length`, *optional*, defaults to 15): the names to choose from.
    """

    codes: ClassVar[Mapping[str, str]] = {"length": "l", "num_names": "n"}
    #: Whether the last name leads back to the first.
    closed: ClassVar[bool]

    length: int = 9
    num_names: int = 15

    def __post_init__(self):
        super().__post_init__()
        keep_integer(self, "length", 3, 30)
        keep_integer(self, "num_names", self.length, MAX_LABEL + 1, f" for {self.length} different ones")

    @property
    def title(self) -> str:
        """`Circle construction, 9 of 15 names`."""
        title = f"{self.name.replace('_', ' ').capitalize()}, {self.length} of {self.num_names} names"
        return title + self.seed_in_words

    @property
    def num_edges(self) -> int:
        """How many edges a completion has."""
        return self.length - (not self.closed)

    @property
    def words(self) -> list[str]:
        """The names, and the signs between edges and at the end of the prompt."""
        return [*map(str, range(self.num_names)), "|", *self.prompt_words]

    def draw(self, rng: np.random.Generator, count: int) -> Columns:
        """Draw `count` walks: `edges` of `int32` in random order, `(count, num_edges, 2)`."""
        names = sample_without_replacement(rng, count, self.num_names, self.length).T
        first = sample_without_replacement(rng, count, self.num_edges, self.num_edges).T
        ends = np.stack([first, (first + 1) % self.length], axis=2).reshape(count, -1)
        return {"edges": np.take_along_axis(names, ends, axis=1).reshape(count, -1, 2)}

    def completions(self, columns: Columns) -> TextColumn:
        """Write `a,b|c,d|...`."""
        edges = columns["edges"]
        return format_labels(edges.reshape(len(edges), -1), ",|" * (edges.shape[1] - 1) + ",\0")

    def drawing(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Draw the walk; numbers say where its edges stand in the text. See [`Task.drawing`]."""
        edges = [list(edge) for edge in row["edges"]]
        after = dict(edges)
        (name,) = set(after) - set(after.values()) or edges[0][:1]
        path = [name]
        while path[-1] in after and len(path) <= len(edges):
            path.append(after[path[-1]])
        note = "the numbers are the places of the edges in the text"
        return {"edges": edges, "path": path, "start": None, "goal": None, "numbered": True, "note": note}

    def canonical(self, prediction: str) -> tuple[int, ...] | None:
        """Return the resolving permutation: where the edges stand in the text, in the order of the walk.

        That of a circle begins at 0. The names do not matter. See [`CreativeTask.canonical`].
        """
        edges = [read_labels(text) for text in prediction.split("|")]
        if len(edges) != self.num_edges or any(edge is None or len(edge) != 2 for edge in edges):
            return None
        places = {source: place for place, (source, _) in enumerate(edges)}
        names, targets = {name for edge in edges for name in edge}, {target for _, target in edges}
        if len(names) != self.length or max(names) >= self.num_names or not len(places) == len(targets) == len(edges):
            return None
        name = edges[0][0] if self.closed else next(iter(names - targets))
        walk: list[int] = []
        while name in places and len(walk) < len(edges):
            walk.append(places[name])
            name = edges[walk[-1]][1]
        if len(set(walk)) < len(edges):  # there is another circle
            return None
        return tuple(walk)

    def canonical_numbers(self, columns: Columns) -> np.ndarray:
        """Return the resolving permutation of each row."""
        edges = columns["edges"]
        follows = edges[:, :, None, 1] == edges[:, None, :, 0]
        after = follows.argmax(axis=2)
        walk = np.empty(edges.shape[:2], np.int64)
        walk[:, 0] = (~follows.any(axis=1)).argmax(axis=1)  # the edge that follows none; of a circle, the first
        for step in range(1, walk.shape[1]):
            walk[:, step] = np.take_along_axis(after, walk[:, step - 1 : step], axis=1)[:, 0]
        return walk


@dataclass(frozen=True)
class CircleConstruction(EdgeConstruction):
    """Ask for the edges of any circle, in any order, such as `3,7|12,3|7,12` over three names.

    The edges are coherent when each ends where another begins, and together they close one circle over exactly
    `length` different names. An edge has a direction: `7,3` is not `3,7`. Two completions are the same when their
    edges stand in the same order, whatever the names: when their resolving permutations, which list where the edges
    stand in the text in the order of the circle, are the same, rotated to begin at 0. There are `(length - 1)!`.

    No edge is hard by itself. All must fit together, and the last ones have no choice left.

    Args:
        length (`int`, 3 to 30, *optional*, defaults to 9): the names, and the edges, of a circle.
        num_names (`int`, >= `length`, *optional*, defaults to 15): the names to choose from.

    Raises:
        ValueError: naming the field, its value and the allowed range.

    Reference: Nagarajan et al., "Roll the dice & look before you leap: Going beyond the creative limits of next-token
    prediction", ICML 2025 (arXiv 2504.15266). They train on 10,000 rows: see `num_train`. That edges have a direction
    is ours.

    Example:

    ```python
    >>> task = CircleConstruction(length=3)
    >>> task.canonical("3,7|12,3|7,12"), task.canonical("7,12|3,7|12,3"), task.canonical("1,2|2,0|0,1")
    ((0, 2, 1), (0, 2, 1), (0, 1, 2))
    >>> task.score("3,7|7,12|3,12", {})
    0.0

    ```
    """

    name: ClassVar[str] = "circle_construction"
    version: ClassVar[str] = "1.0.0"
    grid: ClassVar[tuple[str, ...]] = ("l9_n15", "l9_n10")
    closed: ClassVar[bool] = True


OPERATIONS = "+-*/"
LARGEST_NUMBER = 99
TARGETS = (10, 100)
#: No result in a row that is sampled is larger. The verifier takes any that are right.
LARGEST_RESULT = 9_999
NUMBER = r"(0|[1-9][0-9]{0,8})"
EQUATION = re.compile(rf"\s*{NUMBER}([-+*/]){NUMBER}={NUMBER}\s*")


@dataclass(frozen=True)
class Countdown(Task):
    """Ask for equations that use each of some numbers once and reach a target.

    An equation takes two of the numbers that are left, and its result takes their place; the last result is the
    target. Differences are never negative, and quotients are whole. Most prompts have many right answers; the
    completion of a row is one. `14,83,88,91,23|` is answered by `83-14=69,91-88=3,69/3=23`, or by other equations.

    What is hard is the first equation: whether it leads to the target depends on all later ones, and so a model must
    search before it writes. Each token is a character, so that no result is beyond the words.

    The numbers and equations are drawn forwards: numbers from 1 to 99, two of those left for each equation, one of the
    operations that two numbers allow; a row is kept if its target is from 10 to 100. This way of drawing, the range of
    the numbers and results of at most 9,999 are ours. Smaller targets are more frequent.

    The target decides the split, so that no target of the test split was trained on: 71 of the 91 targets are trained
    on, 10 each are held out for validation and test.

    Args:
        num_numbers (`int`, 3 to 6, *optional*, defaults to 4): how many numbers there are beside the target.

    Raises:
        ValueError: naming the field, its value and the allowed range.

    Reference: Ye et al., "Beyond Autoregression: Discrete Diffusion for Complex Reasoning and Planning" (arXiv
    2410.14157), and Teoh et al. (arXiv 2511.05963).

    Example:

    ```python
    >>> Countdown().score("83-14=69,91-88=3,69/3=23", {"numbers": [14, 83, 88, 91], "target": 23})
    1.0
    >>> Countdown().score("83-14=69,91-88=3,69*3=207", {"numbers": [14, 83, 88, 91], "target": 23})
    0.0

    ```
    """

    name: ClassVar[str] = "countdown"
    version: ClassVar[str] = "1.0.0"
    paper: ClassVar[Paper] = BEYOND_AUTOREGRESSION
    answers_are_unique: ClassVar[bool] = False
    grid: ClassVar[tuple[str, ...]] = ("n4", "n3", "n5")
    codes: ClassVar[Mapping[str, str]] = {"num_numbers": "n"}

    num_numbers: int = 4

    def __post_init__(self):
        keep_integer(self, "num_numbers", 3, 6)

    @property
    def title(self) -> str:
        """`Countdown with 4 numbers`."""
        return f"Countdown with {self.num_numbers} numbers"

    @property
    def words(self) -> tuple[str, ...]:
        """Digits and signs, one character each."""
        return tuple("0123456789" + OPERATIONS + "=,|")

    def sample(self, rng: np.random.Generator, count: int) -> Columns:
        """Draw `count` problems from all splits alike.

        Returns:
            `Columns` of `int32`: `numbers` `(count, num_numbers)`, `target` `(count,)`, and one answer: `equations`
            `(count, num_numbers - 1, 3)`, two operands and the result, and `operations` `(count, num_numbers - 1)`,
            the places of their signs in `+-*/`.
        """
        parts: list[Columns] = []
        missing = count
        while missing > 0:
            drawn = draw_equations(rng, missing * 5 // 4 + 100, self.num_numbers)
            parts.append({name: values[:missing] for name, values in drawn.items()})
            missing -= len(parts[-1]["target"])
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def to_text(self, columns: Columns) -> dict[str, TextColumn]:
        """Write `a,b,c,d,target|` and `a+b=e,c-d=f,e*f=target`."""
        numbers, equations = columns["numbers"], columns["equations"]
        prompt = np.concatenate([numbers, columns["target"][:, None]], axis=1)
        signs = np.empty(equations.shape, np.uint8)
        signs[:, :, 0] = np.frombuffer(OPERATIONS.encode(), np.uint8)[columns["operations"]]
        signs[:, :, 1:] = ord("="), ord(",")
        signs[:, -1, 2] = 0
        return {
            "prompt": format_labels(prompt, "," * self.num_numbers + "|"),
            "completion": format_labels(equations.reshape(len(equations), -1), signs.reshape(len(equations), -1)),
        }

    def split_key(self, columns: Columns) -> np.ndarray:
        """Return the place of the target among all, in the order of their hashes. See [`Task.split_key`].

        So 71, 10 and 10 of the 91 targets are those of the three splits.
        """
        targets = np.arange(TARGETS[0], TARGETS[1] + 1, dtype=np.uint64)
        places = np.searchsorted(np.sort(mix_bits(targets)), mix_bits(columns["target"].astype(np.uint64)))
        return places.astype(np.uint64)

    def drawing(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Draw an answer as a table: what each equation leaves. See [`Task.drawing`]."""
        left = list(row["numbers"])
        table = [["equation", "numbers left"], ["", ", ".join(map(str, left))]]
        for (a, b, c), operation in zip(row["equations"], row["operations"], strict=True):
            takes(left, str(a), OPERATIONS[operation], str(b), str(c))
            table.append([f"{a} {OPERATIONS[operation]} {b} = {c}", ", ".join(map(str, left))])
        return {"table": table, "note": f"Reach {row['target']}, each number used once: one answer of several"}

    def read_row(self, prompt: str, completion: str) -> dict[str, Any]:
        """Read the numbers and the target. See [`Task.read_row`]."""
        *numbers, target = labels_of(prompt.strip().removesuffix("|"))
        return {"numbers": numbers, "target": target}

    def valid_equations(self, prediction: str, row: Mapping[str, Any]) -> list[bool]:
        """Say of each equation whether it is right and uses numbers that are left.

        The result of an equation may be used once by a later one, unless it is wrong or used what was not there.

        Args:
            prediction (`str`): any text; what stands between its commas are the equations.
            row (mapping): with the `numbers`.
        """
        left = list(row["numbers"])
        valid = []
        for text in prediction.split(",") if isinstance(prediction, str) else []:
            match = EQUATION.fullmatch(text)
            valid.append(match is not None and takes(left, *match.groups()))
        return valid

    def measures(self, prediction: str, row: Mapping[str, Any]) -> dict[str, float]:
        """Return as `valid_equations` the share of equations that are valid; those that were not written are not."""
        valid = self.valid_equations(prediction, row)
        return {"valid_equations": sum(valid) / max(len(valid), len(row["numbers"]) - 1)}

    def score(self, prediction: str, row: Mapping[str, Any]) -> float:
        """Return 1.0 when every equation is valid, there are as many as needed, and the last gives the target."""
        valid = self.valid_equations(prediction, row)
        if len(valid) != len(row["numbers"]) - 1 or not all(valid):
            return 0.0
        return float(int(prediction.rpartition("=")[2]) == row["target"])


def takes(left: list[int], first: str, operation: str, second: str, result: str) -> bool:
    """Take the operands of a right equation out of the numbers that are left, and put its result there."""
    a, b, c = int(first), int(second), int(result)
    right = {"+": a + b == c, "-": a - b == c, "*": a * b == c, "/": b > 0 and b * c == a}[operation]
    there = left.count(a) > (a == b) and left.count(b) > 0
    if right and there:
        left.remove(a)
        left.remove(b)
        left.append(c)
    return right and there


def draw_equations(rng: np.random.Generator, count: int, num_numbers: int) -> Columns:
    """Draw numbers and equations `count` times, and return those that end in a target."""
    rows = np.arange(count)
    numbers = rng.integers(1, LARGEST_NUMBER + 1, size=(count, num_numbers), dtype=np.int32)
    left = numbers.copy()  # those of a row that are left are in its first columns
    equations = np.empty((count, num_numbers - 1, 3), np.int32)
    operations = np.empty((count, num_numbers - 1), np.int32)
    kept = np.ones(count, bool)
    for step, size in enumerate(range(num_numbers, 1, -1)):
        one = rng.integers(size, size=count)
        other = (one + rng.integers(1, size, size=count)) % size
        a, b = left[rows, one], left[rows, other]
        large, small = np.maximum(a, b), np.minimum(a, b)
        quotient, rest = np.divmod(large, small)
        results = np.stack([a + b, large - small, a * b, quotient])
        low, high = TARGETS if size == 2 else (1, LARGEST_RESULT)
        allowed = (results >= low) & (results <= high)
        allowed[3] &= rest == 0
        operation = np.where(allowed, rng.random((4, count), np.float32), -1).argmax(axis=0)
        kept &= allowed[operation, rows]
        ordered = operation % 2 == 1
        equations[:, step, 0] = np.where(ordered, large, a)
        equations[:, step, 1] = np.where(ordered, small, b)
        equations[:, step, 2] = result = np.where(kept, results[operation, rows], 1)
        operations[:, step] = operation
        left[rows, np.minimum(one, other)] = result
        left[rows, np.maximum(one, other)] = left[:, size - 1]
    columns = {"numbers": numbers, "target": equations[:, -1, 2], "equations": equations, "operations": operations}
    return {name: values[kept] for name, values in columns.items()}


@dataclass(frozen=True, kw_only=True)
class ReversibleTask(Task):
    """Ask for something that can be written from its beginning or from its end, such as a path.

    A reversed configuration has the same prompts, columns and splits, and other completions. Whether these still need
    a plan is a matter of the task: a path needs none where a single edge leads to each of its nodes.

    Args:
        reverse (`bool`, *optional*, defaults to `False`): write completions from the end, paths from the goal to the
            start; `_rev` at the end of configuration names.
    """

    reverse: bool = False

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        if cls.codes:
            cls.codes = {**cls.codes, "reverse": REVERSED}

    def turned(self, nodes: Sequence[Any] | np.ndarray) -> Sequence[Any] | np.ndarray:
        """Bring the nodes of an answer, or of rows of answers, `(rows, L)`, into the order of writing, or back."""
        if not self.reverse:
            return nodes
        return nodes[:, ::-1] if isinstance(nodes, np.ndarray) else nodes[::-1]


@dataclass(frozen=True, kw_only=True)
class PathTask(ReversibleTask, GraphTask):
    """Ask for the only path from a start to a goal, given the shuffled edges of a graph.

    A subclass has a field `num_nodes` and the columns of `columns_of`, which run from the start also where completions
    are reversed. Where the graphs of a configuration have several sizes, edges and paths are filled up with -1 at
    their ends.
    """

    #: After an edge in the prompt, after the last edge, and after the goal.
    signs: ClassVar[str] = "|/="
    #: What stands between two parts of a completion.
    between_parts: ClassVar[str] = ","

    @property
    def words(self) -> list[str]:
        """The labels and signs, in the order of their ids in the paper's tokenizer."""
        return [*map(str, range(self.num_nodes)), *self.signs]

    @staticmethod
    def columns_of(edges: np.ndarray, path: np.ndarray) -> Columns:
        """Return the columns `edges` `(rows, E, 2)`, `path` `(rows, L)`, and its ends `start` and `goal` `(rows,)`."""
        last = (path >= 0).sum(axis=1) - 1
        columns = {"edges": edges, "path": path, "start": path[:, 0], "goal": path[np.arange(len(path)), last]}
        return {name: np.ascontiguousarray(values) for name, values in columns.items()}

    def to_text(self, columns: Columns) -> dict[str, TextColumn]:
        """Write `a,b|c,d|.../start,goal=` and `start,...,goal` (`goal,...,start` when reversed)."""
        return {"prompt": self.prompts(columns), "completion": write_nodes(self.turned(columns["path"]), ",")}

    def prompts(self, columns: Columns) -> TextColumn:
        """Write `a,b|c,d|.../start,goal=`, with the signs of the task."""
        edges = padding_first(columns["edges"])
        problem = np.concatenate(
            [edges.reshape(len(edges), -1), columns["start"][:, None], columns["goal"][:, None]], axis=1
        )
        between, behind, ends = self.signs
        return format_labels(problem, f",{between}" * (edges.shape[1] - 1) + f",{behind}" + f",{ends}")

    def read_row(self, prompt: str, completion: str) -> dict[str, Any]:
        """Read the path. See [`Task.read_row`]."""
        return {"path": self.turned(labels_of(completion))}

    def score(self, prediction: str, row: Mapping[str, Any]) -> float:
        """Return 1.0 when `prediction` is the path of `row` in this task's direction, else 0.0."""
        return nodes_match(prediction, self.turned(written_nodes(row["path"])))

    def write_path(self, nodes: Sequence[int]) -> str:
        """Write the completion of one row whose path has these nodes, from the start to the goal."""
        return self.between_parts.join(map(str, self.turned(nodes)))

    def nodes_of(self, parts: Sequence[str]) -> list[str]:
        """Return the nodes, as texts, of the parts of whatever was written."""
        return list(parts)

    def hard_places(self, columns: Mapping[str, Sequence[Any]]) -> list[dict[int, float]]:
        """Say which parts follow a node that several edges leave, or lead to when reversed. See [`Task.hard_places`].

        Where no reversed path has such a part, it is the one that needs planning forwards.
        """
        if self.reverse and self.hard_part is not None:
            return super().hard_places(columns)
        rows = zip(columns["edges"], columns["path"], strict=True)
        return [self.choices(self.ways_on(edges), self.turned(written_nodes(path))) for edges, path in rows]

    def ways_on(self, edges: Sequence[Sequence[int]]) -> dict[int, list[int]]:
        """Return the nodes that may be written behind each node of a graph: those that edges lead to, or come from."""
        return successors_of([edge[::-1] for edge in edges] if self.reverse else edges)

    def choices(self, after: Mapping[int, Sequence[int]], path: Sequence[int]) -> dict[int, float]:
        """Return what guessing gives at the parts of a path, in the order of writing, that are one of several ways."""
        first = len(path) - len(self.parts(self.write_path(path)))  # where parts are edges, one node comes before all
        return {
            place - first: 1 / len(after[node])
            for place, node in enumerate(path[:-1], start=1)
            if len(after.get(node, ())) > 1
        }

    def drawing(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Draw the graph, with the path marked. See [`Task.drawing`]."""
        edges = [list(edge) for edge in row["edges"] if min(edge) >= 0]
        return {"edges": edges, "path": written_nodes(row["path"]), "start": row["start"], "goal": row["goal"]}


def successors_of(edges: Sequence[Sequence[int]]) -> dict[int, list[int]]:
    """Return the nodes that edges lead to, of every node of a graph; what is filled up with -1 is left out."""
    after: dict[int, list[int]] = {}
    for source, target in edges:
        if source >= 0:
            after.setdefault(int(source), []).append(int(target))
            after.setdefault(int(target), [])
    return after


def written_nodes(path: Sequence[int]) -> list[int]:
    """Return the nodes of a path without what it is filled up with."""
    return [int(node) for node in path if node >= 0]


def nodes_match(prediction: str, nodes: Sequence[int]) -> float:
    """Return 1.0 when a text is these nodes with commas between them, else 0.0; spaces around nodes do not count."""
    written = [node.strip() for node in prediction.split(",")] if isinstance(prediction, str) else []
    return float(written == [str(node) for node in nodes])


def write_nodes(nodes: np.ndarray, between: str) -> TextColumn:
    """Write rows of labels with a sign between two."""
    return format_labels(padding_first(nodes), between * (nodes.shape[1] - 1) + "\0")


def padding_first(labels: np.ndarray) -> np.ndarray:
    """Move what is filled up with -1 to the front of each row, `(rows, M)` or `(rows, M, 2)`: the last is a label."""
    written = labels.reshape(*labels.shape[:2], -1)[..., 0] >= 0
    return labels if written.all() else in_order(labels, np.argsort(written, axis=1, kind="stable"))


def in_order(values: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Reorder each row of `(rows, M, ...)` by its own order, `(rows, M)`."""
    return values[np.arange(len(values))[:, None], order]


def shuffled_edges(rng: np.random.Generator, labels: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Label the edges of a graph that all rows share, in random order.

    Args:
        labels (`np.ndarray` of `int32`, shape `(S, rows)`): of the nodes.
        pairs (`np.ndarray` of integers, shape `(E, 2)`): the edges between nodes 0 to S - 1.

    Returns:
        `np.ndarray` of `int32`, shape `(rows, E, 2)`.
    """
    count = labels.shape[1]
    order = sample_without_replacement(rng, count, len(pairs), len(pairs))  # (E, count)
    edges = np.stack([labels[pairs[order, end], np.arange(count)] for end in (0, 1)])  # (2, E, count)
    return np.ascontiguousarray(edges.transpose(2, 1, 0))


def sample_crossing_arms(
    rng: np.random.Generator, num_nodes: int, places: np.ndarray, lengths: np.ndarray, longest: int
) -> tuple[np.ndarray, np.ndarray]:
    """Label arms that have one node in common, the centre, and shuffle their edges.

    Args:
        num_nodes (`int`): the labels to draw from.
        places (`np.ndarray` of integers, shape `(rows, degree)`): where the centre stands on each arm.
        lengths (`np.ndarray` of integers, shape `(rows, degree)`): the nodes of each arm, the centre included.
        longest (`int`): the largest length there is.

    Returns:
        `edges`, `(rows, E, 2)`, and the nodes of the first arm, `(rows, longest)`: both `int32` and filled up with -1.
    """
    count, degree = places.shape
    labels = sample_without_replacement(rng, count, num_nodes, 1 + degree * (longest - 1)).T  # (rows, S)
    place = np.arange(longest)
    own = 1 + (longest - 1) * np.arange(degree)[:, None] + place  # node 0 is the centre; others are on one arm
    nodes = np.where(place < places[..., None], own, np.where(place > places[..., None], own - 1, 0))
    arms = in_order(labels, nodes.reshape(count, -1)).reshape(nodes.shape)
    arms[place >= lengths[..., None]] = -1
    edges = np.stack([arms[..., :-1], arms[..., 1:]], axis=-1).reshape(count, -1, 2)
    edges[edges[..., 1] < 0] = -1
    order = sample_without_replacement(rng, count, edges.shape[1], edges.shape[1]).T
    edges = in_order(edges, order)
    return padding_first(edges[:, ::-1])[:, ::-1], arms[:, 0]


#: The three configurations of the source, and what they are in codes.
NAMED = {"easy": "d3_l5_to5_p4_n20", "medium": "d3_l3_to6_p2_n20", "hard": "d5_l6_to12_p5_n56"}


@dataclass(frozen=True)
class CrossingStar(PathTask):
    """Ask for the path along one of several arms that cross at a centre, somewhere on each of them.

    The start is the upstream end of an arm and the goal its other end. Up to the centre, the path follows single
    edges; there `degree` edges go on, and only the goal says which is the right one. So the node that needs planning
    stands inside the path, at a place that varies from row to row, `hard_place`, and paths have several lengths.
    Reversed, a path must still be guessed at the centre wherever several arms lead there: only the start says which is
    the right one. In `easy` none does, since the centre is the start.

    Args:
        degree (`int`, >= 2, *optional*, defaults to 3): the number of arms.
        min_length (`int`, >= 2, *optional*, defaults to 3): the least nodes of an arm, both ends and the centre among
            them.
        max_length (`int`, >= `min_length`, *optional*, defaults to 6): the most. Each length is as likely.
        min_plan (`int`, 1 to `min_length - 1`, *optional*, defaults to 2): the least nodes of an arm behind the
            centre, which stands at each of the first `length - min_plan` places of an arm with equal chance.
        num_nodes (`int`, *optional*, defaults to 20): the labels to draw from, at least the nodes of the largest
            graph, `1 + degree * (max_length - 1)`.

    Raises:
        ValueError: naming the field, its value and the allowed range.

    Reference: Patel et al., "Insertion Language Models", 2025 (arXiv 2505.05755), which has `easy` (a star graph),
    `medium` and `hard`. That start and goal are on one arm, the `min_plan` of `medium`, and the text, that of
    `star_graph`, are ours.

    Example:

    ```python
    >>> import numpy as np
    >>> task = CrossingStar(degree=2, min_length=3, max_length=4, min_plan=1)
    >>> columns = task.sample(np.random.default_rng(0), count=1)
    >>> text = task.to_text(columns)
    >>> text["prompt"].tolist(), text["completion"].tolist(), columns["hard_place"].tolist()
    (['17,15|6,0|0,17|1,6|6,3|3,2/1,2='], ['1,6,3,2'], [2])

    ```
    """

    name: ClassVar[str] = "crossing_star"
    version: ClassVar[str] = "1.0.0"
    paper: ClassVar[Paper] = INSERTION_LANGUAGE_MODELS
    codes: ClassVar[Mapping[str, str]] = {
        "degree": "d",
        "min_length": "l",
        "max_length": "to",
        "min_plan": "p",
        "num_nodes": "n",
    }
    grid: ClassVar[tuple[str, ...]] = ("medium", "easy", "hard")

    degree: int = 3
    min_length: int = 3
    max_length: int = 6
    min_plan: int = 2
    num_nodes: int = 20

    def __post_init__(self):
        super().__post_init__()
        keep_integer(self, "degree", 2)
        keep_integer(self, "min_length", 2)
        keep_integer(self, "max_length", self.min_length, why=f" for min_length={self.min_length}")
        keep_integer(self, "min_plan", 1, self.min_length - 1, f" for min_length={self.min_length}")
        size = 1 + self.degree * (self.max_length - 1)
        keep_integer(self, "num_nodes", size, MAX_LABEL + 1, f" for graphs of up to {size} nodes")

    @property
    def config_name(self) -> str:
        """`easy`, `medium`, `hard`, or `d{degree}_l{min_length}_to{max_length}_p{min_plan}_n{num_nodes}`."""
        in_codes, ending, _ = super().config_name.partition(f"_{REVERSED}")
        return next((name for name, codes in NAMED.items() if codes == in_codes), in_codes) + ending

    @classmethod
    def from_config_name(cls, config_name: str, **overrides: Any) -> Self:
        """Read a configuration name; raise `ValueError` for any other text, or when an override contradicts it."""
        name = config_name.removesuffix(f"_{REVERSED}")
        return super().from_config_name(NAMED.get(name, name) + config_name[len(name) :], **overrides)

    @property
    def title(self) -> str:
        """What the configuration is called in prose."""
        lengths = f"{self.min_length} to " * (self.min_length < self.max_length) + f"{self.max_length} nodes"
        behind = f"at least {self.min_plan} behind the centre"
        return f"{self.degree} arms of {lengths} that cross, {behind}, {self.num_nodes} labels"

    @property
    def chance(self) -> dict[str, float | None]:
        """1/degree: the accuracy of guessing at the centre, and so of all.

        Reversed, it is the mean over rows of 1/arms, of the arms that lead to the centre: that of the goal, unless it
        begins there, and each other one with the probability that it begins before.
        """
        if not self.reverse:
            return {"hard_token_accuracy": 1 / self.degree, "accuracy": 1 / self.degree}
        lengths = range(self.min_length, self.max_length + 1)
        at_start = fmean(1 / (length - self.min_plan) for length in lengths)  # that an arm begins at the centre
        if at_start == 1:
            return {"hard_token_accuracy": None}
        # The mean of 1/(1 + K) over a binomial K, the number of other arms, with and without K = 0.
        alone = at_start ** (self.degree - 1)
        guessed = (1 - at_start**self.degree) / (self.degree * (1 - at_start))
        return {
            "hard_token_accuracy": (guessed - alone) / (1 - alone),
            "accuracy": at_start + (1 - at_start) * guessed,
        }

    def sample(self, rng: np.random.Generator, count: int) -> Columns:
        """Draw `count` problems from all splits alike.

        Returns:
            `Columns` of `int32`: `edges` `(count, degree * (max_length - 1), 2)` in random order and `path`
            `(count, max_length)`, both filled up with -1; `start`, `goal` and `hard_place` `(count,)`, the index in
            `path` of the node behind the centre.
        """
        lengths = rng.integers(self.min_length, self.max_length + 1, size=(count, self.degree))
        places = rng.integers(lengths - self.min_plan)
        # Arms are exchangeable, so the path may as well be along the first.
        edges, path = sample_crossing_arms(rng, self.num_nodes, places, lengths, self.max_length)
        return self.columns_of(edges, path) | {"hard_place": (places[:, 0] + 1).astype(np.int32)}


#: The kinds of rows, and the sign behind the node that is asked about.
PATH, FORWARD, BACKWARD = range(3)
KINDS = "=><"
ARMS_DRAWN = 4  # of thousands


@dataclass(frozen=True)
class InWeightsStar(ReversibleTask, GraphTask):
    """Ask for the path from the root of one fixed star graph to a leaf, such as `17....=`, answered by `3,9,17`.

    No prompt shows the graph. Its edges are training rows of their own, in both directions: `9>` is answered by `17`,
    and `17<` by `9`. The paths to three of four leaves are training rows, too; those to the others are held out for
    validation and test. The first step away from the root needs planning, as in a star graph whose edges are in the
    prompt; here the graph must be read from the weights. Reversed, from the leaf to the root, a path needs no plan:
    one edge leads to each node. The rows of edges are the same.

    Training rows are all edges and paths in random order, and again in another, until there are as many as asked for;
    validation and test rows are their paths in the same way. From the root, an edge leads to each arm: any is right.

    Args:
        degree (`int`, >= 2, *optional*, defaults to 5,000): the number of arms.
        path_length (`int`, >= 2, *optional*, defaults to 5): the nodes on an arm, the root included.
        num_pauses (`int`, 0 to 100, *optional*, defaults to 4): the tokens `.` between a leaf and its path, in which a
            model may think.
        graph_seed (`int`, >= 0, *optional*, defaults to 0): the seed of the labels, and so of the graph.

    Raises:
        ValueError: naming the field, its value and the allowed range.

    Reference: Noroozizadeh et al., "Deep sequence models tend to memorize geometrically", 2025 (arXiv 2510.26745). The
    number of pauses, and the shares of 12, 2 and 2 of 16 leaves are ours.

    Example:

    ```python
    >>> task = InWeightsStar(degree=50, path_length=3)
    >>> for split in ("train", "test"):
    ...     text = task.to_text(task.sample_shard(split, shard=0, num_rows=3))
    ...     print(text["prompt"].tolist(), text["completion"].tolist())
    ['83>', '4<', '83>'] ['57', '83', '45']
    ['30....=', '14....=', '14....='] ['83,15,30', '83,58,14', '83,58,14']

    ```
    """

    name: ClassVar[str] = "in_weights_star"
    version: ClassVar[str] = "1.0.0"
    paper: ClassVar[Paper] = GEOMETRIC_MEMORY
    answers_are_unique: ClassVar[bool] = False
    codes: ClassVar[Mapping[str, str]] = {"degree": "d", "path_length": "l", "num_pauses": "p", "graph_seed": "g"}
    grid: ClassVar[tuple[str, ...]] = ("d5000_l5_p4_g0", "d100_l5_p4_g0", "d1000_l5_p4_g0", "d10000_l6_p4_g0")

    degree: int = 5000
    path_length: int = 5
    num_pauses: int = 4
    graph_seed: int = 0

    def __post_init__(self):
        super().__post_init__()
        keep_integer(self, "path_length", 2)
        keep_integer(self, "degree", 2, MAX_LABEL // (self.path_length - 1), f" for path_length={self.path_length}")
        keep_integer(self, "num_pauses", 0, 100)
        keep_integer(self, "graph_seed", 0)

    @property
    def title(self) -> str:
        """What the configuration is called in prose."""
        return f"G({self.degree},{self.path_length}) in the weights, {self.num_pauses} pauses, graph {self.graph_seed}"

    @property
    def words(self) -> list[str]:
        """The labels, the signs of the kinds of rows, and the pause."""
        return [*map(str, range(1 + self.degree * (self.path_length - 1))), *KINDS, "."]

    @property
    def hard_part(self) -> int:
        """The place of the node next to the root, the one that needs planning."""
        return self.path_length - 2 if self.reverse else 1

    @property
    def chance(self) -> dict[str, float | None]:
        """1/degree: the accuracy of guessing among the arms. A reversed path needs no guess."""
        return {"hard_token_accuracy": None if self.reverse else 1 / self.degree}

    def hard_places(self, columns: Mapping[str, Sequence[Any]]) -> list[dict[int, float]]:
        """Say which rows ask for a path, whose first step needs a plan. See [`Task.hard_places`]."""
        of_paths = super().hard_places(columns)
        return [choice if kind == PATH else {} for kind, choice in zip(columns["kind"], of_paths, strict=True)]

    def sample(self, rng: np.random.Generator, count: int) -> Columns:
        """Draw `count` rows, whatever their split and kind.

        Returns:
            `Columns` of `int32`: `kind` `(count,)`, 0 for a path, 1 for an edge and 2 for an edge backwards; `node`
            `(count,)`, which is asked about; `answer` `(count, path_length)`, the nodes from the root to the leaf, or
            one node, filled up with -1.
        """
        rows = all_rows(self)
        return taken(rows, rng.integers(len(rows["kind"]), size=count))

    def check_split(self, split: str) -> None:
        """Raise `ValueError` when there are so few leaves that none is in `split`."""
        if not len(rows_of_split(self, split)):
            raise ValueError(
                f"{self.config_name} has no leaf in the {split} split; raise degree, or set num_{split}=0"
            )

    def draw_shard(self, split: str, shard: int, seed: int, num_rows: int) -> Columns:
        """Take the rows of a split in random order, all of them before one comes again: a training sees each edge."""
        rows = rows_of_split(self, split)
        rounds, places = np.divmod(shard * SHARD_ROWS + np.arange(num_rows), len(rows))
        chosen = [
            np.random.default_rng([seed, list(SPLITS).index(split), round_]).permutation(rows)[
                places[rounds == round_]
            ]
            for round_ in range(rounds[0], rounds[-1] + 1)
        ]
        return taken(all_rows(self), np.concatenate(chosen))

    def split_key(self, columns: Columns) -> np.ndarray:
        """Hash the leaf of a path. The keys of edges end in the bits of the first bucket of train, which has all."""
        node, answer = (values.astype(np.uint64) for values in (columns["node"], columns["answer"][:, 0]))
        edges = mix_bits(node << np.uint64(32) | answer) // np.uint64(NUM_BUCKETS) * np.uint64(NUM_BUCKETS)
        return np.where(columns["kind"] == PATH, mix_bits(node), edges + np.uint64(SPLITS["train"][0]))

    def to_text(self, columns: Columns) -> dict[str, TextColumn]:
        """Write `leaf....=` and `root,...,leaf` (`leaf,...,root` when reversed) for a path.

        For the edge from a to b write `a>` and `b`, and `b<` and `a`.
        """
        ends = ["." * self.num_pauses + KINDS[PATH], KINDS[FORWARD], KINDS[BACKWARD]]
        asked = zip(columns["node"].tolist(), columns["kind"].tolist(), strict=True)
        prompts = TextColumn.of([f"{node}{ends[kind]}" for node, kind in asked])
        return {"prompt": prompts, "completion": write_nodes(self.turned(columns["answer"]), ",")}

    def read_row(self, prompt: str, completion: str) -> dict[str, Any]:
        """Read the kind, the node that is asked about, and the answer. See [`Task.read_row`]."""
        asked = prompt.strip().rstrip(".=><")
        kind = KINDS.find(prompt.strip()[-1:] or "?")
        if kind < 0 or not asked.isdecimal():
            raise ValueError(f"a prompt must be a node and one of {KINDS}, pauses between them, got {prompt!r}")
        return {"kind": kind, "node": int(asked), "answer": self.turned(labels_of(completion))}

    def score(self, prediction: str, row: Mapping[str, Any]) -> float:
        """Return 1.0 when `prediction` is the path or the node at the other end of an edge, else 0.0."""
        if (row["kind"], row["node"]) != (FORWARD, arms_of_graph(self)[0, 0]):
            return nodes_match(prediction, self.turned(written_nodes(row["answer"])))
        nodes = read_labels(prediction) if isinstance(prediction, str) else None
        return float(nodes is not None and len(nodes) == 1 and nodes[0] in arms_of_graph(self)[:, 1])

    def drawing(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Draw the arm that is asked about, and some others. See [`Task.drawing`]."""
        arms = arms_of_graph(self)
        on_one_arm = row["answer"][0] if row["kind"] == FORWARD else row["node"]  # not the root
        own = int(np.nonzero((arms == on_one_arm).any(axis=1))[0][0])
        others = [arm for arm in range(min(self.degree, ARMS_DRAWN + 1)) if arm != own][: ARMS_DRAWN - 1]
        shown = arms[[own, *others]]
        answer = [node for node in row["answer"] if node >= 0]
        path = answer if row["kind"] == PATH else [row["node"], *answer]
        rest = self.degree - len(shown)
        return {
            "edges": np.stack([shown[:, :-1], shown[:, 1:]], axis=-1).reshape(-1, 2).tolist(),
            "path": path[::-1] if row["kind"] == BACKWARD else path,
            "start": path[0] if row["kind"] == PATH else row["node"],
            "goal": row["node"] if row["kind"] == PATH else answer[0],
            "note": f"{rest:,} more arms are not drawn; no prompt shows the graph" if rest else None,
        }


@functools.lru_cache(maxsize=4)
def arms_of_graph(task: InWeightsStar) -> np.ndarray:
    """Return the nodes of each arm from the root, `(degree, path_length)`: a function of sizes and `graph_seed`."""
    size = 1 + task.degree * (task.path_length - 1)
    labels = np.random.default_rng(task.graph_seed).permutation(size).astype(np.int32)
    return np.insert(labels[1:].reshape(task.degree, -1), 0, labels[0], axis=1)


@functools.lru_cache(maxsize=4)
def all_rows(task: InWeightsStar) -> Columns:
    """Return each row there is once: the paths, the edges, and the edges backwards."""
    arms = arms_of_graph(task)
    edges = np.stack([arms[:, :-1], arms[:, 1:]], axis=-1).reshape(-1, 2)
    counts = [len(arms), len(edges), len(edges)]
    answer = np.full((sum(counts), task.path_length), -1, np.int32)
    answer[: len(arms)] = arms
    answer[len(arms) :, 0] = np.concatenate([edges[:, 1], edges[:, 0]])
    return {
        "kind": np.repeat(np.array([PATH, FORWARD, BACKWARD], np.int32), counts),
        "node": np.concatenate([arms[:, -1], edges[:, 0], edges[:, 1]]),
        "answer": answer,
    }


@functools.lru_cache(maxsize=16)
def rows_of_split(task: InWeightsStar, split: str) -> np.ndarray:
    """Return which of all rows are in a split."""
    return np.flatnonzero(split_of(task.split_key(all_rows(task))) == split)


def taken(columns: Columns, places: np.ndarray) -> Columns:
    """Return some rows."""
    return {name: values[places] for name, values in columns.items()}


@dataclass(frozen=True)
class LineConstruction(EdgeConstruction):
    """Ask for the edges of any line, in any order, such as `12,4|3,7|7,12` over four names.

    The edges are coherent when together they make one line over exactly `length` different names. An edge has a
    direction: `7,3` is not `3,7`. Two completions are the same when their edges stand in the same order, whatever the
    names: when their resolving permutations, which list where the edges stand in the text in the order of the line,
    are the same. They are not rotated as those of circles, for a line has a beginning. There are `(length - 1)!`.

    No edge is hard by itself. All must fit together, and the last ones have no choice left.

    Args:
        length (`int`, 3 to 30, *optional*, defaults to 9): the names of a line, which has one edge less.
        num_names (`int`, >= `length`, *optional*, defaults to 15): the names to choose from.

    Raises:
        ValueError: naming the field, its value and the allowed range.

    Reference: Nagarajan et al., "Roll the dice & look before you leap: Going beyond the creative limits of next-token
    prediction", ICML 2025 (arXiv 2504.15266). They train on 10,000 rows: see `num_train`. That edges have a direction
    is ours.

    Example:

    ```python
    >>> task = LineConstruction(length=4)
    >>> task.canonical("12,4|3,7|7,12"), task.canonical("0,1|2,3|3,0"), task.canonical("3,7|7,12|12,4")
    ((1, 2, 0), (1, 2, 0), (0, 1, 2))
    >>> task.score("12,4|7,12|3,7", {}), task.score("12,4|7,12|4,7", {})
    (1.0, 0.0)

    ```
    """

    name: ClassVar[str] = "line_construction"
    version: ClassVar[str] = "1.0.0"
    grid: ClassVar[tuple[str, ...]] = ("l9_n15", "l9_n10")
    closed: ClassVar[bool] = False


@dataclass(frozen=True)
class MinimalPlanning(PathTask):
    """Ask for the edges of the path along one of two streams that have one node in common, at the same place of both.

    Up to the crossing, each edge follows from the one before; there two edges go on, and only the goal says which is
    the right one. The farther the goal is from there, the more steps must be planned. So accuracy is a matter of
    `crossing`: the place of the common node in the path, and of the edge that needs planning among the edges.

    Reversed, edges run from the goal to the start, each backwards: `goal,b/b,a/...`. At the crossing, a path must
    still be guessed wherever both streams lead there: unless they begin there.

    Args:
        path_length (`int`, >= 2, *optional*, defaults to 7): the nodes of each stream.
        num_nodes (`int`, *optional*, defaults to 14): the labels to draw from, at least the nodes of the graph,
            `2 * path_length - 1`.

    Raises:
        ValueError: naming the field, its value and the allowed range.

    Reference: Ye et al., "Beyond Autoregression: Discrete Diffusion for Complex Reasoning and Planning", ICLR 2025
    (arXiv 2410.14157), minimal planning. That streams never cross at their last node, where both would have the same
    goal, and that a prompt ends with `=`, are ours.

    Example:

    ```python
    >>> import numpy as np
    >>> task = MinimalPlanning(path_length=3, num_nodes=9)
    >>> columns = task.sample(np.random.default_rng(0), count=1)
    >>> text = task.to_text(columns)
    >>> text["prompt"].tolist(), text["completion"].tolist(), columns["crossing"].tolist()
    (['0,5/5,3/4,5/5,2-0,3='], ['0,5/5,3'], [1])

    ```
    """

    name: ClassVar[str] = "minimal_planning"
    version: ClassVar[str] = "1.0.0"
    paper: ClassVar[Paper] = BEYOND_AUTOREGRESSION
    fixed_length: ClassVar[bool] = True
    signs: ClassVar[str] = "/-="
    between_parts: ClassVar[str] = "/"
    codes: ClassVar[Mapping[str, str]] = {"path_length": "l", "num_nodes": "n"}
    grid: ClassVar[tuple[str, ...]] = ("l7_n14", "l4_n14", "l5_n10", "l7_n50", "l10_n20")

    path_length: int = 7
    num_nodes: int = 14

    def __post_init__(self):
        super().__post_init__()
        keep_integer(self, "path_length", 2)
        size = 2 * self.path_length - 1
        keep_integer(self, "num_nodes", size, MAX_LABEL + 1, f" for the {size} nodes of two streams that cross")

    @property
    def title(self) -> str:
        """What the configuration is called in prose."""
        return f"two streams of {self.path_length} nodes, {self.num_nodes} labels"

    @property
    def chance(self) -> dict[str, float | None]:
        """1/2: the accuracy of guessing at the crossing, and so of all.

        Reversed, a path that begins at the crossing needs no guess, so that more of the whole answers are right.
        """
        if not self.reverse:
            return {"hard_token_accuracy": 1 / 2, "accuracy": 1 / 2}
        if self.path_length == 2:  # all begin there
            return {"hard_token_accuracy": None}
        unguessed = 1 / (self.path_length - 1)
        return {"hard_token_accuracy": 1 / 2, "accuracy": unguessed + (1 - unguessed) / 2}

    def sample(self, rng: np.random.Generator, count: int) -> Columns:
        """Draw `count` problems from all splits alike.

        Returns:
            `Columns` of `int32`: `edges` `(count, 2 * (path_length - 1), 2)` in random order, `path`
            `(count, path_length)`, `start`, `goal` and `crossing` `(count,)`, the index in `path` of the common node.
        """
        crossing = rng.integers(self.path_length - 1, size=count, dtype=np.int32)
        places = np.stack([crossing, crossing], axis=1)
        lengths = np.full_like(places, self.path_length)
        edges, path = sample_crossing_arms(rng, self.num_nodes, places, lengths, self.path_length)
        return self.columns_of(edges, path) | {"crossing": crossing}

    def to_text(self, columns: Columns) -> dict[str, TextColumn]:
        """Write `a,b/c,d/...-start,goal=` and the edges of the path, `start,b/b,c/...` or `goal,b/b,a/...`."""
        path = self.turned(columns["path"])
        edges = np.stack([path[:, :-1], path[:, 1:]], axis=-1).reshape(len(path), -1)
        return {
            "prompt": self.prompts(columns),
            "completion": format_labels(edges, ",/" * (path.shape[1] - 2) + ",\0"),
        }

    def read_row(self, prompt: str, completion: str) -> dict[str, Any]:
        """Read the path. See [`Task.read_row`]."""
        edges = self.canonical(completion)
        if edges is None:
            raise ValueError(f"a completion must be edges with slashes between them, got {completion!r}")
        return {"path": self.turned([edges[0][0], *(target for _, target in edges)])}

    def score(self, prediction: str, row: Mapping[str, Any]) -> float:
        """Return 1.0 when `prediction` are the edges of the path of `row` in this task's direction, else 0.0."""
        return float(self.canonical(prediction) == tuple(itertools.pairwise(self.turned(row["path"]))))

    def write_path(self, nodes: Sequence[int]) -> str:
        """Write the edges of a path. See [`PathTask.write_path`]."""
        return self.between_parts.join(
            f"{source},{target}" for source, target in itertools.pairwise(self.turned(nodes))
        )

    def nodes_of(self, parts: Sequence[str]) -> list[str]:
        """Return the nodes of edges; one where an edge ends and the next begins, once. See [`PathTask.nodes_of`]."""
        nodes: list[str] = []
        for part in parts:
            source, *target = (text.strip() for text in part.split(","))
            nodes += ([] if nodes[-1:] == [source] else [source]) + target
        return nodes

    def parts(self, completion: str) -> list[tuple[int, int]]:
        """Divide a completion into its edges: what stands between slashes. See [`Task.parts`]."""
        return label_spans(completion, self.between_parts)

    def canonical(self, prediction: str) -> Hashable | None:
        """Return the edges as pairs of integers; `None` if some are none. See [`Task.canonical`]."""
        edges = [read_labels(edge) for edge in prediction.split("/")] if isinstance(prediction, str) else [None]
        return tuple(edges) if all(edge is not None and len(edge) == 2 for edge in edges) else None


MAX_CHILDREN = 100_000
SIBLINGS_DRAWN = 4  # beside the two


@dataclass(frozen=True)
class SiblingDiscovery(ReversibleTask, CreativeTask):
    """Ask for any two siblings and their parent, such as `731,89,2`, in a hidden graph.

    The graph is the same in all rows: every parent has as many children, and every child one parent. It stands in no
    prompt; a model learns it from the rows. Two completions are the same when they name the same two siblings.

    The hard part is the second sibling: the parent that both share is written after them, so that a model must choose
    it before it writes the first. Reversed, the parent comes first, and no plan is needed.

    Args:
        num_parents (`int`, >= 1, *optional*, defaults to 5): their labels are the first, `0` to `num_parents - 1`.
        num_children (`int`, *optional*, defaults to 2,500): of all parents together, at most 100,000, at least two
            each, and of each as many; their labels come after those of the parents.
        graph_seed (`int`, >= 0, *optional*, defaults to 0): which children each parent has.

    Raises:
        ValueError: naming the field, its value and what is allowed.

    Reference: Nagarajan et al., "Roll the dice & look before you leap: Going beyond the creative limits of next-token
    prediction", ICML 2025 (arXiv 2504.15266). They train on 10,000 or 50,000 rows: see `num_train`. Which labels
    parents and children have is ours.

    Example:

    ```python
    >>> import numpy as np
    >>> task = SiblingDiscovery(num_parents=2, num_children=6)
    >>> text = task.to_text(task.sample(np.random.default_rng(0), count=1))
    >>> text["prompt"].tolist(), text["completion"].tolist()
    (['='], ['4,2,1'])
    >>> task.canonical("2,4,1"), task.canonical("2,4,0"), task.canonical("4,4,1")
    ((1, 2, 4), None, None)

    ```
    """

    name: ClassVar[str] = "sibling_discovery"
    version: ClassVar[str] = "1.0.0"
    grid: ClassVar[tuple[str, ...]] = ("p5_c2500_g0", "p5_c500_g0", "p5_c2500_g0_rev", "p5_c500_g0_rev")
    codes: ClassVar[Mapping[str, str]] = {"num_parents": "p", "num_children": "c", "graph_seed": "g"}

    num_parents: int = 5
    num_children: int = 2500
    graph_seed: int = 0

    def __post_init__(self):
        super().__post_init__()
        keep_integer(self, "num_parents", 1, MAX_CHILDREN // 2)
        why = f" for the {self.num_parents} parents"
        keep_integer(self, "num_children", 2 * self.num_parents, MAX_CHILDREN, why)
        if self.num_children % self.num_parents:
            raise ValueError(
                f"num_children must be a multiple of num_parents={self.num_parents}, got {self.num_children}"
            )
        keep_integer(self, "graph_seed", 0)

    @property
    def title(self) -> str:
        """`Sibling discovery, 5 parents, 2500 children, graph 0`."""
        size = f"{self.num_parents} parents, {self.num_children} children, graph {self.graph_seed}"
        return f"Sibling discovery, {size}{self.seed_in_words}"

    @property
    def words(self) -> list[str]:
        """The labels of parents and children, and the prompt."""
        return [*map(str, range(self.num_parents + self.num_children)), *self.prompt_words]

    @property
    def children(self) -> np.ndarray:
        """The graph: the labels of the children of each parent, shape `(num_parents, num_children / num_parents)`."""
        return children_of(self.num_parents, self.num_children, self.graph_seed)

    def draw(self, rng: np.random.Generator, count: int) -> Columns:
        """Draw `count` pairs of siblings: `siblings` of `int32`, `(count, 2)`, and their `parent`, `(count,)`."""
        parent = rng.integers(self.num_parents, size=count, dtype=np.int32)
        places = sample_without_replacement(rng, count, self.children.shape[1], 2)
        return {"siblings": self.children[parent, places].T.copy(), "parent": parent}

    def completions(self, columns: Columns) -> TextColumn:
        """Write `child,child,parent` (`parent,child,child` when reversed)."""
        labels = self.turned([columns["siblings"], columns["parent"][:, None]])
        return format_labels(np.concatenate(labels, axis=1), ",,\0")

    def drawing(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Draw the siblings below their parent, with some of the others. See [`Task.drawing`]."""
        parent, siblings = row["parent"], list(row["siblings"])
        own = self.children[parent].tolist()
        others = [child for child in own if child not in siblings][:SIBLINGS_DRAWN]
        rest = len(own) - 2 - len(others)
        return {
            "edges": [[parent, child] for child in (*siblings, *others)],
            "path": [siblings[0], parent, siblings[1]],
            "start": parent,
            "goal": None,
            "note": f"{rest:,} more children of {parent}, and other parents, are not drawn; no prompt shows the graph",
        }

    def canonical(self, prediction: str) -> tuple[int, int, int] | None:
        """Return the parent and its two children in the order of their labels. See [`CreativeTask.canonical`]."""
        labels = read_labels(prediction)
        if labels is None or len(labels) != 3:
            return None
        parent, *siblings = labels if self.reverse else (labels[2], *labels[:2])
        one, other = sorted(siblings)
        children = children_sets(self.num_parents, self.num_children, self.graph_seed)
        there = parent < self.num_parents and one != other and {one, other} <= children[parent]
        return (parent, one, other) if there else None

    def canonical_numbers(self, columns: Columns) -> np.ndarray:
        """Return the parent and its two children in the order of their labels."""
        return np.concatenate([columns["parent"][:, None], np.sort(columns["siblings"], axis=1)], axis=1)


@functools.lru_cache(maxsize=8)
def children_of(num_parents: int, num_children: int, graph_seed: int) -> np.ndarray:
    """Deal out the children to the parents: labels, shape `(num_parents, num_children / num_parents)`."""
    order = sample_without_replacement(np.random.default_rng(graph_seed), 1, num_children, num_children)[:, 0]
    return num_parents + order.reshape(num_parents, -1)


@functools.lru_cache(maxsize=8)
def children_sets(num_parents: int, num_children: int, graph_seed: int) -> tuple[frozenset[int], ...]:
    """Return the children of each parent as sets, to look up."""
    return tuple(map(frozenset, children_of(num_parents, num_children, graph_seed).tolist()))


ARROW = " -> "
#: What a prompt says between its edges, by the direction of the answer.
BEFORE_EDGES = "A directed graph has these edges:\n"
QUESTIONS = {
    False: (
        "\nFind the path from node ",
        " to node ",
        ". Answer with the nodes of the path in order and nothing else, in the form ",
    ),
    True: (
        "\nFind the path that leads to node ",
        " from node ",
        ". Answer with its nodes backwards, from the last one to the first, and nothing else, in the form ",
    ),
}
BETWEEN_ENDS = " -> ... -> "
BEHIND = ".\n"
#: Signs that stand for these texts until labels are written, which takes one character behind each.
SIGNS = "\x01\x02\x03\x04\x05\x06\x07"
WORD = re.compile(r"[^\W_]+(?:[.'][^\W_]+)*")
NODE_NUMBER = re.compile(r"0|[1-9][0-9]{0,6}")
#: What may stand between two nodes of one path, beside signs.
JOINING = re.compile(r"\\[a-z]*arrow|\\to\b|\b(?:and|then|nodes?)\b", re.IGNORECASE)
#: What makes a number a negative one: a sign that does not stand between two words.
SIGNED = re.compile(r"(?:\A|[^\w])[-\u2212]\Z")
#: Where one statement ends: a sentence, a colon, an equals sign that is no arrow, an ellipsis, a fence, a blank line.
ENDS = re.compile(r"[.!?](?=\s|\Z)|:|(?<!=)=(?![=>])|\.\.|…|`{3,}|~{3,}|#|\n\s*\n")


def write_prompts(columns: Columns, reverse: bool) -> TextColumn:
    """Ask for the paths of rows in plain English.

    Args:
        columns (`Columns`): `edges`, `start` and `goal`.
        reverse (`bool`): ask for the path from the goal to the start.

    Returns:
        `TextColumn` of `rows` texts, each of which ends with a line break.
    """
    edges = padding_first(columns["edges"])
    ends = [columns["goal"], columns["start"]] if reverse else [columns["start"], columns["goal"]]
    labels = np.concatenate([edges.reshape(len(edges), -1), np.stack(ends * 2, axis=1)], axis=1)
    arrow, comma, find, to, answer, between, behind = SIGNS
    signs = (arrow + comma) * (edges.shape[1] - 1) + arrow + find + to + answer + between + behind
    texts = (ARROW, ", ", *QUESTIONS[reverse], BETWEEN_ENDS, BEHIND)
    return expand(format_labels(labels, signs), dict(zip(SIGNS, texts, strict=True)), before=BEFORE_EDGES)


def write_paths(path: np.ndarray) -> TextColumn:
    """Write rows of labels, `(rows, L)` and filled up with -1, with an arrow between two."""
    signs = SIGNS[0] * (path.shape[1] - 1) + "\0"
    return expand(format_labels(padding_first(path), signs), {SIGNS[0]: ARROW})


def in_symbols(text: str, reverse: bool) -> str:
    """Write prompt and completion of a problem in English as `a,b|c,d|.../start,goal=node,...,node`.

    Raises:
        ValueError: if the text has not the form of such a problem.
    """
    find, to, answer = QUESTIONS[reverse]
    parts = (BEFORE_EDGES, r"(?P<edges>[0-9 ,>-]+)", find, "(?P<first>[0-9]+)", to, "(?P<last>[0-9]+)", answer)
    parts += ("(?P=first)", BETWEEN_ENDS, "(?P=last)", BEHIND, "(?P<path>[0-9 >-]+)")
    form = "".join(part if part.startswith("(") else re.escape(part) for part in parts)
    match = re.fullmatch(form, text)
    if match is None:
        raise ValueError(f"not of the form {BEFORE_EDGES.strip()!r} with edges, question and path behind it")
    edges = "|".join(edge.replace(ARROW, ",") for edge in match["edges"].split(", "))
    ends = (match["last"], match["first"]) if reverse else (match["first"], match["last"])
    return f"{edges}/{','.join(ends)}={match['path'].replace(ARROW, ',')}"


@dataclass(frozen=True)
class Statement:
    """What one statement of a text says: its labels in order, those that stand together, and whether it has words.

    Args:
        runs (sequences of `(node, span)`): labels that follow each other with nothing but signs, `and`, `then` or
            `node` between two; a number that is no label is the node `None`.
        words (`bool`): whether other words stand in it.
    """

    runs: Sequence[Sequence[tuple[int | None, tuple[int, int]]]]
    words: bool

    @property
    def path(self) -> Sequence[tuple[int | None, tuple[int, int]]] | None:
        """The last run of several nodes, or of labels alone; `None` if the statement names no path.

        A statement that names other nodes beside it has a path that is right of no graph: `(None, span)` stands in it.
        """
        paths = [run for run in self.runs if len(run) > 1 or not self.words]
        if not paths:
            return None
        last = paths[-1]
        nodes = {node for node, _ in last}
        others = [(None, span) for run in self.runs for node, span in run if node not in nodes]
        return [*last, *others]


def statements(text: str) -> list[Statement]:
    """Divide a text into statements."""
    bounds = [0, *itertools.chain(*(end.span() for end in ENDS.finditer(text))), len(text)]
    found = []
    for begin, end in zip(bounds[::2], bounds[1::2], strict=True):
        runs, words, joined = [], False, None  # joined: where what stands before a label begins, if it may join
        for word in WORD.finditer(text, begin, end):
            if not any(character.isdecimal() for character in word.group()):
                continue
            signed = SIGNED.search(text[max(0, word.start() - 2) : word.start()])
            label = int(word.group()) if NODE_NUMBER.fullmatch(word.group()) and not signed else None
            between = JOINING.sub(" ", text[begin if joined is None else joined : word.start()])
            strange = WORD.search(between) is not None
            words |= strange
            if joined is None or strange:
                runs.append([])
            runs[-1].append((label, word.span()))
            joined = word.end()
        words |= WORD.search(JOINING.sub(" ", text[begin if joined is None else joined : end])) is not None
        found.append(Statement(runs, words))
    return found


def read_path(text: str) -> list[tuple[int | None, tuple[int, int]]]:
    """Find the path that a text in plain English ends with: the one reader of such answers.

    People write paths in many ways: `17 -> 13 -> 11`, `[17, 13, 11]`, `17 13 11`, `17, 13 and 11`, in a sentence, a
    code fence, or behind their reasoning. The text is divided into statements, and the last statement that names a
    path decides: its last two or more labels in a row, or labels without any word beside them. Where it names other
    nodes too, as in `17, 13, 11 or 8`, it names no one path, and a node of it is `None`.

    Args:
        text (`str`): whatever was written.

    Returns:
        The nodes, each with where it stands in the text; empty if there is no path.

    Example:

    ```python
    >>> [node for node, _ in read_path("7 leads to 8, a dead end. So the path is **17 -> 13 -> 11**.")]
    [17, 13, 11]
    >>> [node for node, _ in read_path("17, 13, 11 or 8")]
    [17, 13, 11, None]
    >>> read_path("From 17 to 11? I do not know.")
    []

    ```
    """
    paths = [path for statement in statements(text) if (path := statement.path) is not None and path]
    return list(paths[-1]) if paths else []


LABEL = r"(?:0|[1-9][0-9]*)"
UNANSWERED = re.compile(rf"(?P<edges>{LABEL},{LABEL}(?:\|{LABEL},{LABEL})*)/(?P<start>{LABEL}),(?P<goal>{LABEL})=")
PROBLEM = re.compile(rf"{UNANSWERED.pattern}(?P<path>{LABEL}(?:,{LABEL})+)")


def arms_of(edges: Sequence[Sequence[int]], start: int) -> list[list[int]]:
    """Follow the edges of a star graph from its start.

    Args:
        edges (sequence of `(source, target)`): in any order.
        start (`int`): the node that the arms share.

    Returns:
        `list` of arms, each a list of nodes that begins with the start, in the order of their first edges.

    Raises:
        ValueError: with the reason, if these are not the edges of a star graph.

    Example:

    ```python
    >>> arms_of([(17, 13), (13, 11), (17, 7), (7, 8)], start=17)
    [[17, 13, 11], [17, 7, 8]]

    ```
    """
    after: dict[int, int] = {}
    for source, target in edges:
        if source != start and source in after:
            raise ValueError(f"node {source} has two outgoing edges, and only the start {start} may have several")
        if source != start:
            after[source] = target
    targets = {target for _, target in edges}
    if len(targets) < len(edges) or start in targets:
        raise ValueError("two edges lead to one node, or an edge leads to the start")
    arms = []
    for source, target in edges:
        if source == start:
            arms.append([start, target])
            while arms[-1][-1] in after:
                arms[-1].append(after[arms[-1][-1]])
    if sum(len(arm) - 1 for arm in arms) != len(edges):
        raise ValueError(f"some edges are not connected to the start {start}")
    if len({len(arm) for arm in arms}) > 1:
        raise ValueError(f"the arms have different lengths: {sorted(len(arm) for arm in arms)} nodes")
    return arms


@dataclass(frozen=True)
class Problem:
    """A problem that was read, with its answer.

    Args:
        edges (`np.ndarray` of `int32`, shape `(E, 2)`): in the order of the text.
        path (`list[int]`): from the start to the goal.
        path_length (`int`): the nodes of an arm.
        reverse (`bool`): whether the text writes the path from the goal to the start.
    """

    edges: np.ndarray
    path: list[int]
    path_length: int
    reverse: bool

    @property
    def degree(self) -> int:
        """The number of arms."""
        return len(self.edges) // (self.path_length - 1)

    @property
    def way(self) -> str:
        """From where to where the text writes the path."""
        return "goal to the start" if self.reverse else "start to the goal"


def reason_of_form(text: str) -> str:
    """Say what is strange about a text that has not the form of a problem; nothing if only its order is."""
    if not text:
        return ": it is empty"
    if strange := re.search(r"[^0-9,|/=]", text):
        return f": character {strange.start() + 1} is {strange.group()!a}"
    if padded := re.search(r"\b0[0-9]{1,6}", text):
        return f": the label {padded.group()} begins with 0"
    return ""


def read_form(form: re.Pattern, text: str, in_words: str) -> re.Match:
    """Match a whole text; raises `ValueError` with the reason if it has not the form, or a label is too large."""
    match = form.fullmatch(text)
    if match is None:
        raise ValueError(f"not of the form {in_words!r}{reason_of_form(text)}")
    if longest := max((digits for digits in re.findall(LABEL, text) if len(digits) > 7), key=len, default=None):
        raise ValueError(f"the label {longest[:20]} is larger than {MAX_LABEL}")
    return match


def solve(match: re.Match, goals: str) -> Problem:
    """Find the path to the goal of a problem that was matched, from the start; raises as `parse_prompt` does."""
    edges = np.array([edge.split(",") for edge in match["edges"].split("|")], dtype=np.int32)
    start, goal = int(match["start"]), int(match["goal"])
    arms = arms_of(edges.tolist(), start)
    ends = [arm[-1:] if goals == "end" else arm[1:] for arm in arms]
    path = next((arm[: arm.index(goal) + 1] for arm, nodes in zip(arms, ends, strict=True) if goal in nodes), None)
    if path is None:
        raise ValueError(f"the goal {goal} is not the end of an arm" if goals == "end" else f"no arm leads to {goal}")
    return Problem(edges, path, len(arms[0]), False)


def parse_problem(text: str, goals: str = "end") -> Problem:
    """Read a problem and its completion as text and make sure that they are a star graph and the path through it.

    Args:
        text (`str`): `a,b|c,d|.../start,goal=start,...,goal`, the edges in any order, or the same with the path from
            the goal to the start.
        goals (`str`, *optional*, defaults to `"end"`): where the goal may stand: at the `"end"` of an arm, or `"any"`
            where behind the start.

    Raises:
        ValueError: with the reason, when the text is not of that form, its edges are not arms of one length around
            the start, or the path does not run along them.

    Example:

    ```python
    >>> problem = parse_problem("3,1|3,5|1,2|5,4/3,2=3,1,2")
    >>> problem.path, problem.reverse
    ([3, 1, 2], False)
    >>> problem = parse_problem("3,1|3,5|1,2|5,4/3,2=2,1,3")
    >>> problem.path, problem.reverse
    ([3, 1, 2], True)
    >>> parse_problem("3,1|3,5|1,2|5,4/3,2=3,5,2")
    Traceback (most recent call last):
    ...
    ValueError: the path 3,5,2 does not follow the edges; the path to the goal is 3,1,2

    ```
    """
    match = read_form(PROBLEM, text, "a,b|c,d|.../start,goal=node,...,node")
    problem = solve(match, goals)
    written = [int(node) for node in match["path"].split(",")]
    reverse = written[0] == problem.path[-1]
    right = problem.path[::-1] if reverse else problem.path
    if written != right:
        raise ValueError(
            f"the path {match['path']} does not follow the edges; the path {'from' if reverse else 'to'} the goal is "
            f"{','.join(map(str, right))}"
        )
    return replace(problem, reverse=reverse)


#: A space with fewer graphs than this is enumerated, to learn whether each split owns a graph at all.
ENUMERABLE_GRAPHS = 10_000
CONFIG_NAME = re.compile(
    r"d(?P<degree>\d+)_l(?P<path_length>\d+)_n(?P<num_nodes>\d+)(?P<goal>_any)?(?P<reverse>_rev)?(?P<style>_instruct)?",
    re.ASCII,
)
GOALS = ("end", "any")
STYLES = ("symbols", "instruct")


@dataclass(frozen=True)
class StarGraph(PathTask):
    """Ask for the path from the start of a star graph G(degree, path_length) to the end of one of its arms.

    `degree` arms share the start; only the first step needs planning, since every later one follows the single edge
    that leaves the node before it. Labels are drawn from `num_nodes` without replacement and the edges are shuffled.

    Args:
        degree (`int`, >= 1, *optional*, defaults to 2): the number of arms.
        path_length (`int`, >= 2, *optional*, defaults to 5): the nodes on an arm, the start included.
        num_nodes (`int`, *optional*, defaults to 50): the labels to draw from, at least the nodes of the graph,
            `1 + degree * (path_length - 1)`.
        goal (`str`, *optional*, defaults to `"end"`): `"end"`, the goal is the end of an arm, or `"any"`, it is any
            node of an arm but the start, each as likely, and the path stops there; not together with `reverse`.
        style (`str`, *optional*, defaults to `"symbols"`): how a problem is written: `"symbols"` as in the paper,
            `"instruct"` in plain English, with a column `messages`, for models that were never trained on it. The
            graphs are the same.

    Raises:
        ValueError: naming the field, its value and the allowed range.

    Reference: Bachmann and Nagarajan, "The Pitfalls of Next-Token Prediction", ICML 2024 (arXiv 2403.06963).

    Example:

    ```python
    >>> import numpy as np
    >>> task = StarGraph(degree=2, path_length=3, num_nodes=20)
    >>> columns = task.sample(np.random.default_rng(0), count=1)
    >>> text = task.to_text(columns)
    >>> text["prompt"].tolist(), text["completion"].tolist()
    (['17,13|13,11|17,7|7,8/17,11='], ['17,13,11'])
    >>> task.score("17,13,11", task.parse("17,13|13,11|17,7|7,8/17,11=17,13,11"))
    1.0

    ```
    """

    name: ClassVar[str] = "star_graph"
    version: ClassVar[str] = "1.0.0"
    paper: ClassVar[Paper] = PITFALLS
    grid: ClassVar[tuple[str, ...]] = (
        "d2_l5_n50",
        "d2_l2_n50",
        "d2_l3_n20",
        "d2_l3_n50",
        "d2_l10_n50",
        "d2_l20_n50",
        "d3_l3_n50",
        "d5_l3_n50",
        "d5_l5_n50",
        "d10_l5_n50",
        "d20_l5_n100",
    )

    degree: int = 2
    path_length: int = 5
    num_nodes: int = 50
    goal: str = "end"
    style: str = "symbols"

    def __post_init__(self):
        super().__post_init__()
        keep_integer(self, "degree", 1)
        keep_integer(self, "path_length", 2)
        why = f" for the {self.graph_size} nodes of G({self.degree},{self.path_length})"
        keep_integer(self, "num_nodes", self.graph_size, MAX_LABEL + 1, why)
        if self.goal not in GOALS:
            raise ValueError(f"goal must be 'end' or 'any', got {self.goal!r}")
        if self.style not in STYLES:
            raise ValueError(f"style must be 'symbols' or 'instruct', got {self.style!r}")
        if self.reverse and self.goal == "any":
            raise ValueError("reverse must be false where goal is 'any', got True")

    @property
    def fixed_length(self) -> bool:
        """Whether all paths have one length: unless the goal is any node."""
        return self.goal == "end"

    @property
    def answers_are_unique(self) -> bool:
        """Whether a path is written in one way only: not in plain English."""
        return self.style == "symbols"

    @property
    def words(self) -> list[str]:
        """The labels and signs; raises `ValueError` for plain English, which has no vocabulary of its own."""
        if self.style == "instruct":
            raise ValueError(
                f"{self.config_name} is plain English, which takes the tokenizer of a pretrained model: give "
                "model_name_or_path or a tokenizer, or leave _instruct out"
            )
        return super().words

    @property
    def graph_size(self) -> int:
        """The number of nodes of one graph."""
        return 1 + self.degree * (self.path_length - 1)

    @property
    def config_name(self) -> str:
        """`d{degree}_l{path_length}_n{num_nodes}`, with `_any`, `_rev` and `_instruct` where these are chosen."""
        shape = f"d{self.degree}_l{self.path_length}_n{self.num_nodes}"
        return shape + "_any" * (self.goal == "any") + "_rev" * self.reverse + "_instruct" * (self.style == "instruct")

    @classmethod
    def from_config_name(cls, config_name: str, **overrides: Any) -> "StarGraph":
        """Read a configuration name such as `d2_l5_n50_rev`.

        Raises:
            ValueError: if it is not such a name, a value is out of range, or `overrides` says something else.
        """
        match = CONFIG_NAME.fullmatch(config_name)
        if match is None:
            raise ValueError(
                f"unknown config {config_name!r}: use d<degree>_l<path_length>_n<num_nodes>, with _rev for reversed "
                f"paths, _any for goals anywhere, _instruct for plain English, e.g. {cls.grid[0]!r}"
            )
        numbers = {name: int(match[name]) for name in ("degree", "path_length", "num_nodes")}
        named = numbers | {"reverse": bool(match["reverse"]), "goal": GOALS[bool(match["goal"])]}
        named["style"] = STYLES[bool(match["style"])]
        switches = (("reverse", True), ("goal", "any"), ("style", "instruct"))
        for field, value in overrides.items():
            if named.get(field) != value and (field, value) not in switches:
                raise ValueError(
                    f"config {config_name!r} says {field}={named.get(field)}, but {field}={value!r} was given"
                )
        return cls(**(named | overrides))

    @property
    def title(self) -> str:
        """`G(2,3), 20 labels`."""
        shape = f"G({self.degree},{self.path_length}), {self.num_nodes} labels"
        return shape + ", any goal" * (self.goal == "any") + ", in English" * (self.style == "instruct")

    @property
    def hard_part(self) -> int:
        """The place of the node next to the start, the one that needs planning."""
        return self.path_length - 2 if self.reverse else 1

    @property
    def chance(self) -> dict[str, float | None]:
        """1/degree: the accuracy of guessing among the arms. A reversed path needs no guess.

        Where the goal is any node, a goal next to the start needs none, so that more of the whole answers are right.
        """
        guess = None if self.reverse else 1 / self.degree
        chances = {"hard_token_accuracy": guess}
        if self.goal == "any":
            unguessed = 1 / (self.path_length - 1)
            chances["accuracy"] = unguessed + (1 - unguessed) / self.degree
        if self.style == "instruct":
            chances["choice_accuracy"] = None if self.reverse else chances.get("accuracy", guess)
        return chances

    def hard_places(self, columns: Mapping[str, Sequence[Any]]) -> list[dict[int, float]]:
        """Say of each row whether the node next to the start needs a plan. See [`Task.hard_places`].

        Where the goal is any node, it needs none if it is the goal, which stands in the prompt.
        """
        if self.goal == "end":
            return super(PathTask, self).hard_places(columns)
        return [
            {} if len(written_nodes(path)) == 2 else choices
            for path, choices in zip(columns["path"], super().hard_places(columns), strict=True)
        ]

    @property
    def num_graphs(self) -> int:
        """N!/((N-S)! d!) graphs of S nodes over N labels: the d arms have no order."""
        return math.perm(self.num_nodes, self.graph_size) // math.factorial(self.degree)

    def all_graphs(self) -> np.ndarray:
        """Enumerate the edges of every graph once, shape `(num_graphs, E, 2)`."""
        return all_stars(self.num_nodes, self.degree, self.path_length)

    def check_split(self, split: str) -> None:
        """Raise `ValueError` when the space is so small that no graph of it falls into `split`."""
        if self.num_graphs < ENUMERABLE_GRAPHS and split not in enumerated_splits(self):
            raise ValueError(
                f"{self.config_name} has only {self.num_graphs} graphs, all of them outside the {split} split; "
                f"raise num_nodes, or set num_{split}=0"
            )

    def sample(self, rng: np.random.Generator, count: int) -> Columns:
        """Draw `count` problems from all splits alike.

        Args:
            rng (`np.random.Generator`): where the randomness comes from.
            count (`int`): the number of rows.

        Returns:
            `Columns` of `int32`: `edges` `(count, E, 2)` in random order, `path` `(count, path_length)` from the
            start to the goal (also when reversed), filled up with -1 behind it, `start` and `goal` `(count,)`.
        """
        labels = sample_without_replacement(rng, count, self.num_nodes, self.graph_size)  # (S, count)
        arms = 1 + np.arange(self.graph_size - 1).reshape(self.degree, -1)
        arms = np.insert(arms, 0, 0, axis=1)  # (degree, path_length), node 0 being the start
        pairs = np.stack([arms[:, :-1], arms[:, 1:]], axis=-1).reshape(-1, 2)  # (E, 2)
        edges, path = shuffled_edges(rng, labels, pairs), labels[arms[0]].T  # labels are exchangeable: take arm 0
        if self.goal == "any":
            lengths = rng.integers(2, self.path_length + 1, size=count)
            path = np.where(np.arange(self.path_length) < lengths[:, None], path, np.int32(-1))
        return self.columns_of(edges, path)

    def to_text(self, columns: Columns) -> dict[str, TextColumn | Messages]:
        """Write `a,b|c,d|.../start,goal=` and `start,...,goal` (`goal,...,start` when reversed), as in the paper.

        In plain English there are `messages`, too: what a user asks and an assistant answers.
        """
        if self.style == "symbols":
            return super().to_text(columns)
        completions = write_paths(self.turned(columns["path"]))
        texts = {"prompt": write_prompts(columns, self.reverse), "completion": completions}
        return texts | {"messages": Messages(**texts)}

    def parse(self, text: str) -> dict[str, Any]:
        """Read `prompt + completion` of this configuration back into a row.

        Raises:
            ValueError: with the reason, unless it is a problem of this configuration with its right completion.
        """
        instruct = self.style == "instruct"
        problem = parse_problem(in_symbols(text, self.reverse) if instruct else text, self.goal)
        if problem.reverse != self.reverse:
            raise ValueError(f"the path runs from the {problem.way}, but {self.config_name} writes it the other way")
        if (problem.degree, problem.path_length) != (self.degree, self.path_length):
            raise ValueError(
                f"this is G({problem.degree},{problem.path_length}), not G({self.degree},{self.path_length})"
            )
        if problem.edges.max() >= self.num_nodes:
            raise ValueError(f"the label {problem.edges.max()} is not below num_nodes={self.num_nodes}")
        ends = text.rindex("\n" if instruct else "=") + 1
        texts = {"prompt": text[:ends], "completion": text[ends:]}
        if instruct:
            texts["messages"] = Messages(*(TextColumn.of([said]) for said in texts.values())).tolist()[0]
        return texts | {
            "edges": problem.edges.tolist(),
            "path": problem.path + [-1] * (self.path_length - len(problem.path)),
            "start": problem.path[0],
            "goal": problem.path[-1],
        }

    def read_row(self, prompt: str, completion: str) -> dict[str, Any]:
        """Read the row. See [`StarGraph.parse`]."""
        return self.parse(prompt + completion)

    def score(self, prediction: str, row: Mapping[str, Any]) -> float:
        """Return 1.0 when `prediction` is the path of `row` in this task's direction, else 0.0.

        In plain English the path may stand in a sentence, in brackets, behind reasoning: see [`read_path`].
        """
        if self.style == "symbols":
            return super().score(prediction, row)
        return float(self.canonical(prediction) == tuple(self.turned(written_nodes(row["path"]))))

    def parts(self, completion: str) -> list[tuple[int, int]]:
        """Divide a completion into its nodes: in plain English those of the path that it ends with."""
        if self.style == "symbols":
            return super().parts(completion)
        return [span for _, span in read_path(completion)]

    def canonical(self, prediction: str) -> Hashable | None:
        """Return the nodes that are written as integers; `None` where there is no one path."""
        if self.style == "symbols":
            return super().canonical(prediction)
        nodes = tuple(node for node, _ in read_path(prediction)) if isinstance(prediction, str) else ()
        return None if None in nodes else nodes or None


@functools.lru_cache
def enumerated_splits(task: StarGraph) -> frozenset[str]:
    """Enumerate the graphs of a task with a small space and say which splits they fall into."""
    return frozenset(split_of(hash_edges(task.all_graphs())).tolist())


@dataclass(frozen=True)
class TreeStar(PathTask):
    """Ask for the path from the root of a tree to one of its leaves, which are all equally deep.

    The root has `degree` children, each node of the next `splits` levels has `branching`, and each later one has a
    single child. The first `1 + splits` nodes behind the root therefore need planning: only the leaf, at the other end
    of the path, says which child is the right one. The nodes after them follow the single edge that leaves the node
    before. In a star graph one choice decides everything; here a choice near the leaf is easier than one at the root.
    Reversed, from the leaf to the root, a path needs no plan: one edge leads to each node.

    Args:
        degree (`int`, >= 2, *optional*, defaults to 2): the children of the root.
        branching (`int`, >= 2, *optional*, defaults to 2): the children of a node that splits again.
        splits (`int`, 1 to `path_length - 2`, *optional*, defaults to 2): the levels behind the root that split again.
        path_length (`int`, >= 3, *optional*, defaults to 5): the nodes from the root to a leaf, both included.
        num_nodes (`int`, *optional*, defaults to 50): the labels to draw from, at least the nodes of the tree.

    Raises:
        ValueError: naming the field, its value and the allowed range.

    Reference: Frydenlund, "Language Models, Graph Searching, and Supervision Adulteration", ACL 2025
    (arXiv 2503.10542), which has trees in the place of the star. That splits stand directly behind the root, all sizes
    and the text are ours.

    Example:

    ```python
    >>> import numpy as np
    >>> task = TreeStar(splits=1, path_length=3, num_nodes=10)
    >>> text = task.to_text(task.sample(np.random.default_rng(0), count=1))
    >>> text["prompt"].tolist(), text["completion"].tolist()
    (['8,6|8,1|1,2|1,3|6,4|6,5/8,4='], ['8,6,4'])

    ```
    """

    name: ClassVar[str] = "tree_star"
    version: ClassVar[str] = "1.0.0"
    paper: ClassVar[Paper] = SUPERVISION_ADULTERATION
    fixed_length: ClassVar[bool] = True
    codes: ClassVar[Mapping[str, str]] = {
        "degree": "d",
        "branching": "b",
        "splits": "s",
        "path_length": "l",
        "num_nodes": "n",
    }
    grid: ClassVar[tuple[str, ...]] = (
        "d2_b2_s2_l5_n50",
        "d2_b2_s1_l3_n20",
        "d2_b2_s1_l5_n50",
        "d2_b2_s3_l5_n50",
        "d2_b2_s3_l7_n100",
        "d2_b3_s1_l5_n50",
        "d3_b2_s1_l5_n50",
        "d5_b2_s1_l5_n50",
    )

    degree: int = 2
    branching: int = 2
    splits: int = 2
    path_length: int = 5
    num_nodes: int = 50

    def __post_init__(self):
        super().__post_init__()
        keep_integer(self, "degree", 2)
        keep_integer(self, "branching", 2)
        keep_integer(self, "path_length", 3)
        keep_integer(self, "splits", 1, self.path_length - 2, f" for paths of {self.path_length} nodes")
        size = sum(self.level_sizes)
        keep_integer(self, "num_nodes", size, MAX_LABEL + 1, f" for the {size} nodes of the tree")

    @property
    def level_sizes(self) -> list[int]:
        """The number of nodes at each distance from the root."""
        splitting = [self.degree * self.branching**level for level in range(self.splits + 1)]
        return [1, *splitting, *splitting[-1:] * (self.path_length - 2 - self.splits)]

    @property
    def title(self) -> str:
        """What the configuration is called in prose."""
        more = f"{self.splits} more split{'s' * (self.splits != 1)} of {self.branching}"
        return f"tree of degree {self.degree}, {more}, {self.path_length} nodes a path, {self.num_nodes} labels"

    @property
    def hard_parts(self) -> tuple[int, ...]:
        """The places of the nodes behind a split, which need planning. A reversed path has none."""
        return () if self.reverse else tuple(range(1, self.splits + 2))

    @property
    def hard_part(self) -> int:
        """The place of the node next to the root, the first that needs planning forwards."""
        return self.path_length - 2 if self.reverse else 1

    @property
    def chance(self) -> dict[str, float | None]:
        """1/degree for the first choice, and one of the leaves for the whole path. A reversed path needs no guess."""
        if self.reverse:
            return {"hard_token_accuracy": None}
        return {"hard_token_accuracy": 1 / self.degree, "accuracy": 1 / self.level_sizes[-1]}

    def sample(self, rng: np.random.Generator, count: int) -> Columns:
        """Draw `count` problems from all splits alike.

        Returns:
            `Columns` of `int32`: `edges` `(count, E, 2)` in random order, `path` `(count, path_length)`, `start` (the
            root) and `goal` (a leaf) `(count,)`.
        """
        sizes = np.array(self.level_sizes)
        first = np.cumsum(sizes) - sizes  # of each level, whose nodes are numbered one after the other
        labels = sample_without_replacement(rng, count, self.num_nodes, sizes.sum())
        children = [np.arange(size) for size in sizes[1:]]
        parents = [
            begin + nodes // (size // above)
            for begin, nodes, size, above in zip(first, children, sizes[1:], sizes, strict=False)
        ]
        pairs = np.stack([np.concatenate(parents), np.arange(1, sizes.sum())], axis=1)
        # Labels are exchangeable, so the goal may as well be the first leaf.
        return self.columns_of(shuffled_edges(rng, labels, pairs), labels[first].T)


@dataclass(frozen=True)
class TriangleDiscovery(CreativeTask):
    """Ask for any triangle, such as `17,4,101`, of a hidden graph.

    The graph is the same in all rows, and undirected. It stands in no prompt; a model learns it from the rows, which
    are triangles, drawn uniformly, their nodes in any order. Two completions are the same when they name the same
    three nodes.

    The hard part is the third node, which must be a neighbour of both others: a model that looks no further than the
    next node may write a second one that shares no neighbour with the first, or a third that is connected to one.

    The recipe of the paper's graph was not found. Ours has `num_nodes * degree / 2` edges, rounded down, every such
    graph being as likely. By default there are about 36,000 triangles, and an edge is in 18 of them, so that
    nearly every edge of a triangle that is held out is in others that are trained on.

    Args:
        num_nodes (`int`, 3 to 300, *optional*, defaults to 200): of the graph.
        degree (`int`, 2 to `num_nodes - 1`, *optional*, defaults to 60): the mean number of neighbours of a node.
        graph_seed (`int`, >= 0, *optional*, defaults to 0): which graph.

    Raises:
        ValueError: naming the field, its value and the allowed range, or if the graph has no triangle.

    Reference: Nagarajan et al., "Roll the dice & look before you leap: Going beyond the creative limits of next-token
    prediction", ICML 2025 (arXiv 2504.15266).

    Example:

    ```python
    >>> import numpy as np
    >>> task = TriangleDiscovery(num_nodes=6, degree=3)
    >>> text = task.to_text(task.sample(np.random.default_rng(0), count=1))
    >>> text["prompt"].tolist(), text["completion"].tolist()
    (['='], ['3,4,1'])
    >>> task.canonical("1,3,4"), task.canonical("3,4,3")
    ((1, 3, 4), None)

    ```
    """

    name: ClassVar[str] = "triangle_discovery"
    version: ClassVar[str] = "1.0.0"
    grid: ClassVar[tuple[str, ...]] = ("n200_d60_g0", "n100_d40_g0")
    codes: ClassVar[Mapping[str, str]] = {"num_nodes": "n", "degree": "d", "graph_seed": "g"}

    num_nodes: int = 200
    degree: int = 60
    graph_seed: int = 0

    def __post_init__(self):
        super().__post_init__()
        keep_integer(self, "num_nodes", 3, 300)
        keep_integer(self, "degree", 2, self.num_nodes - 1, f" for {self.num_nodes} nodes")
        keep_integer(self, "graph_seed", 0)
        if not len(self.triangles):
            raise ValueError(
                f"degree must be larger: with degree={self.degree} the graph {self.graph_seed} of {self.num_nodes} "
                "nodes has no triangle"
            )

    @property
    def title(self) -> str:
        """`Triangle discovery, 200 nodes, degree 60, graph 0`."""
        size = f"{self.num_nodes} nodes, degree {self.degree}, graph {self.graph_seed}"
        return f"Triangle discovery, {size}{self.seed_in_words}"

    @property
    def words(self) -> list[str]:
        """The nodes, and the prompt."""
        return [*map(str, range(self.num_nodes)), *self.prompt_words]

    @property
    def adjacency(self) -> np.ndarray:
        """The graph: which nodes are neighbours, `bool`, shape `(num_nodes, num_nodes)`."""
        return adjacency_of(self.num_nodes, self.degree, self.graph_seed)

    @property
    def triangles(self) -> np.ndarray:
        """All triangles of the graph, each once and sorted, shape `(triangles, 3)`."""
        return triangles_of(self.num_nodes, self.degree, self.graph_seed)

    def draw(self, rng: np.random.Generator, count: int) -> Columns:
        """Draw `count` triangles: `nodes` of `int32`, `(count, 3)`."""
        drawn = self.triangles[rng.integers(len(self.triangles), size=count)]
        order = sample_without_replacement(rng, count, 3, 3).T
        return {"nodes": np.take_along_axis(drawn, order, axis=1)}

    def completions(self, columns: Columns) -> TextColumn:
        """Write `node,node,node`."""
        return format_labels(columns["nodes"], ",,\0")

    def drawing(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Draw the triangle alone. See [`Task.drawing`]."""
        a, b, c = row["nodes"]
        note = f"one of {len(self.triangles):,} triangles; no prompt shows the graph"
        path = {"edges": [[a, b], [b, c], [c, a]], "path": [a, b, c, a], "start": None, "goal": None}
        return path | {"directed": False, "note": note}

    def canonical(self, prediction: str) -> tuple[int, int, int] | None:
        """Return the nodes in the order of their labels. See [`CreativeTask.canonical`]."""
        labels = read_labels(prediction)
        if labels is None or len(labels) != 3 or max(labels) >= self.num_nodes:
            return None
        a, b, c = sorted(labels)  # a node is not its own neighbour
        return (a, b, c) if self.adjacency[a, b] and self.adjacency[b, c] and self.adjacency[a, c] else None

    def canonical_numbers(self, columns: Columns) -> np.ndarray:
        """Return the nodes in the order of their labels."""
        return np.sort(columns["nodes"], axis=1)


@functools.lru_cache(maxsize=8)
def adjacency_of(num_nodes: int, degree: int, graph_seed: int) -> np.ndarray:
    """Draw the graph: which nodes are neighbours."""
    sources, targets = np.triu_indices(num_nodes, 1)
    num_edges = num_nodes * degree // 2
    drawn = sample_without_replacement(np.random.default_rng(graph_seed), 1, len(sources), num_edges)[:, 0]
    adjacency = np.zeros((num_nodes, num_nodes), bool)
    adjacency[sources[drawn], targets[drawn]] = True
    return adjacency | adjacency.T


@functools.lru_cache(maxsize=8)
def triangles_of(num_nodes: int, degree: int, graph_seed: int) -> np.ndarray:
    """Enumerate the triangles of the graph: `int32`, each row sorted."""
    later = np.triu(adjacency_of(num_nodes, degree, graph_seed))
    found = []
    for first in range(num_nodes):
        neighbours = np.flatnonzero(later[first])
        second, third = later[np.ix_(neighbours, neighbours)].nonzero()
        found.append(np.stack([np.full(len(second), first), neighbours[second], neighbours[third]], axis=1))
    return np.concatenate(found).astype(np.int32)


GROUPS = ("a5", "s5")


@dataclass(frozen=True)
class WordProblem(Task):
    """Ask for the running products of a sequence of permutations of five things.

    In A5, `3,17,42=` is answered by `3,22,27`: the first permutation, the first two one after the other, then all
    three. Permutations are numbers: their places in lexicographic order among the 60 even ones (A5) or all 120 (S5),
    so that 0 changes nothing.

    A control: it needs state tracking, and no planning. Every word follows from the one before it and a word of the
    prompt, so that there is no hard part. Train on one length and evaluate on a longer one, such as `a5_l12` and
    `a5_l36`: their words are the same.

    Args:
        group (`str`, *optional*, defaults to `"a5"`): `"a5"` or `"s5"`.
        length (`int`, 1 to 64, *optional*, defaults to 12): how many permutations a prompt has.

    Raises:
        ValueError: naming the field, its value and what is allowed.

    Reference: Teoh et al. (arXiv 2511.05963). How permutations are written, and to write every running product, is
    ours.

    Example:

    ```python
    >>> import numpy as np
    >>> task = WordProblem(length=3)
    >>> text = task.to_text({"elements": np.array([[3, 17, 42]]), "products": np.array([[3, 22, 27]])})
    >>> text["prompt"].tolist(), text["completion"].tolist()
    (['3,17,42='], ['3,22,27'])
    >>> products_of("a5", np.array([[3, 17, 42]])).tolist()
    [[3, 22, 27]]

    ```
    """

    name: ClassVar[str] = "word_problem"
    version: ClassVar[str] = "1.0.0"
    paper: ClassVar[Paper] = NEXT_LATENT
    separator: ClassVar[str] = ","
    fixed_length: ClassVar[bool] = True
    grid: ClassVar[tuple[str, ...]] = ("a5_l12", "a5_l36", "s5_l12", "s5_l36")
    codes: ClassVar[Mapping[str, str]] = {"group": "", "length": "l"}

    group: str = "a5"
    length: int = 12

    def __post_init__(self):
        if self.group not in GROUPS:
            raise ValueError(f"group must be one of {', '.join(GROUPS)}, got {self.group!r}")
        keep_integer(self, "length", 1, 64)

    @property
    def title(self) -> str:
        """`Word problem of A5, 12 permutations`."""
        return f"Word problem of {self.group.upper()}, {self.length} permutations"

    @property
    def words(self) -> list[str]:
        """The permutations, and the sign that ends a prompt."""
        return [*map(str, range(len(multiplication_table(self.group)))), "="]

    def sample(self, rng: np.random.Generator, count: int) -> Columns:
        """Draw `count` problems from all splits alike: `elements` and `products` of `int32`, `(count, length)`."""
        order = len(multiplication_table(self.group))
        elements = rng.integers(order, size=(count, self.length), dtype=np.int32)
        return {"elements": elements, "products": products_of(self.group, elements)}

    def to_text(self, columns: Columns) -> dict[str, TextColumn]:
        """Write `x,y,z=` and `x,xy,xyz`."""
        commas = "," * (columns["elements"].shape[1] - 1)
        return {
            "prompt": format_labels(columns["elements"], commas + "="),
            "completion": format_labels(columns["products"], commas + "\0"),
        }

    def read_row(self, prompt: str, completion: str) -> dict[str, Any]:
        """Read the products. See [`Task.read_row`]."""
        return {"products": labels_of(completion)}

    def score(self, prediction: str, row: Mapping[str, Any]) -> float:
        """Return 1.0 when `prediction` is all of the running products, else 0.0."""
        return float(isinstance(prediction, str) and read_labels(prediction) == tuple(row["products"]))

    def drawing(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Draw the running products as a table. See [`Task.drawing`]."""
        images = permutations_of(self.group)
        table = [["step", "then", "moves 01234 to", "product", "moves 01234 to"]]
        for step, (element, product) in enumerate(zip(row["elements"], row["products"], strict=True), start=1):
            texts = ("".join(map(str, images[number])) for number in (element, product))
            moved, all_moved = texts
            table.append([str(step), str(element), moved, str(product), all_moved])
        return {"table": table, "note": f"Permutations of {self.group.upper()}, and the product of all so far"}

    def parts(self, completion: str) -> list[tuple[int, int]]:
        """Divide a completion into its products. See [`Task.parts`]."""
        return label_spans(completion)

    def canonical(self, prediction: str) -> Hashable | None:
        """Return the products as integers; `None` if some are none. See [`Task.canonical`]."""
        return read_labels(prediction)


def permutations_of(group: str) -> list[tuple[int, ...]]:
    """List the permutations of a group in lexicographic order: where each moves 0 to 4."""
    return [
        permutation
        for permutation in itertools.permutations(range(5))
        if group == "s5" or sum(a > b for a, b in itertools.combinations(permutation, 2)) % 2 == 0
    ]


@functools.lru_cache
def multiplication_table(group: str) -> np.ndarray:
    """Tabulate the products of a group: the entry `[x, y]` is the permutation that applies `x`, and then `y`."""
    permutations = permutations_of(group)
    places = {permutation: place for place, permutation in enumerate(permutations)}
    return np.array([[places[tuple(y[i] for i in x)] for y in permutations] for x in permutations], np.int32)


def products_of(group: str, elements: np.ndarray) -> np.ndarray:
    """Multiply up permutations along the rows of `elements`, `(rows, length)`: the products after each."""
    table = multiplication_table(group)
    products = elements.copy()
    for step in range(1, elements.shape[1]):
        products[:, step] = table[products[:, step - 1], elements[:, step]]
    return products


TASKS: dict[str, type[Task]] = {
    "star_graph": StarGraph,
    "tree_star": TreeStar,
    "crossing_star": CrossingStar,
    "minimal_planning": MinimalPlanning,
    "in_weights_star": InWeightsStar,
    "countdown": Countdown,
    "word_problem": WordProblem,
    "sibling_discovery": SiblingDiscovery,
    "triangle_discovery": TriangleDiscovery,
    "circle_construction": CircleConstruction,
    "line_construction": LineConstruction,
}


# End of what is copied.


_DESCRIPTION = """
How many completions of planning tasks are right, by the verifier of the task: star graphs and other graphs, countdown,
word problems, and creative tasks, where whatever is coherent is right.
"""

_INPUTS = """
Args:
    predictions (list of str): what a model wrote.
    references (list of str): a right completion of each row, its column `completion`; others may be right, too.
    prompts (list of str): what was asked, its column `prompt`.
    task (str, optional, defaults to "star_graph"): whose rows these are, such as "countdown".
    config (str, optional): the configuration of the rows, such as "d2_l5_n50"; by default that of the task.
Returns:
    planning_accuracy (float): the share of predictions that are right.
    planning_accuracy_standard_error (float): of that share, over rows.
    valid_equations (float): of countdown alone, the share of equations that are valid.
Examples:
    >>> metric = evaluate.load("nextfail/planning_accuracy")
    >>> metric.compute(
    ...     predictions=["83-14=69,91-88=3,69/3=23"],
    ...     references=["91-88=3,83-14=69,69/3=23"],
    ...     prompts=["14,83,88,91,23|"],
    ...     task="countdown",
    ... )
    {'planning_accuracy': 1.0, 'planning_accuracy_standard_error': 0.0, 'valid_equations': 1.0}
"""

_CITATION = """
@inproceedings{bachmann2024pitfalls,
  title={The Pitfalls of Next-Token Prediction},
  author={Gregor Bachmann and Vaishnavh Nagarajan},
  booktitle={International Conference on Machine Learning},
  year={2024}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class PlanningAccuracy(evaluate.Metric):
    """Accuracy by the verifier of a task."""

    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(
                {name: datasets.Value("string") for name in ("predictions", "references", "prompts")}
            ),
            reference_urls=["https://arxiv.org/abs/2403.06963"],
        )

    def _compute(self, predictions, references, prompts, task="star_graph", config=None):
        if task not in TASKS:
            raise ValueError(f"task must be one of {', '.join(TASKS)}, got {task!r}{did_you_mean(str(task), TASKS)}")
        asked = TASKS[task].from_config_name(config) if config else TASKS[task]()
        rows = [asked.read_row(prompt, right) for prompt, right in zip(prompts, references, strict=True)]
        scores = [asked.score(written, row) for written, row in zip(predictions, rows, strict=True)]
        further = [asked.measures(written, row) for written, row in zip(predictions, rows, strict=True)]
        mean, error = mean_and_standard_error(np.array(scores))
        return {
            "planning_accuracy": float(mean),
            "planning_accuracy_standard_error": float(error),
            **{name: float(np.mean([numbers[name] for numbers in further])) for name in further[0]},
        }
