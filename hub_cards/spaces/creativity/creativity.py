"""Different outputs that are coherent and new, for `evaluate.load("nextfail/creativity")`.

This file stands alone: it is what the Hub hands out. The package hf_nextfail computes the same numbers.
"""

# Copied from hf_nextfail by `python -m hf_nextfail.hub.metric_spaces`: edit the package, not this part.
import difflib
import functools
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral
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


#: One number: `value` and `standard_error` (lists when there is one per position), `n` rows, `num_graphs` different.
Estimate = dict[str, Any]


def summarise(values: np.ndarray, groups: np.ndarray | None) -> Estimate:
    """Average one number (or `L` of them) a row, with the standard error over groups: the hashes of graphs."""
    mean, error = mean_and_standard_error(values, groups)
    num_graphs = len(values) if groups is None else len(np.unique(groups))
    return {"value": mean.tolist(), "standard_error": error.tolist(), "n": len(values), "num_graphs": num_graphs}


#: What each number of `creativity` is.
CREATIVITY = {
    "creativity": "different outputs that are coherent and were not trained on, of all outputs asked for: the product "
    "of the three shares below",
    "coherent_share": "outputs that are coherent, of all",
    "new_share": "outputs that were not trained on, of the coherent ones",
    "different_share": "different ones, of those outputs that are coherent and new: 1 where all are different",
}


def creativity(forms: Sequence[Hashable | None], trained: Collection[Hashable] | None) -> dict[str, Estimate | None]:
    """Count the different outputs that are coherent and new, and say why there are no more.

    Standard errors are over the outputs, which are drawn independently of each other. Those of numbers of different
    outputs are of the jackknife: an output counts for what is lost without it, 1 if no other is the same, else 0. It
    has a closed form, draws nothing, and on average is not too small (Efron and Stein, "The Jackknife Estimate of
    Variance", 1981). A bootstrap would repeat outputs, and so count too few different ones.

    Args:
        forms (sequence): of each output that was asked for what `CreativeTask.canonical` returns: equal for those that
            mean the same, `None` for one that is incoherent.
        trained (collection, *optional*): the forms that were trained on; `None` where nobody knows.

    Returns:
        `dict` from the names in `CREATIVITY` to estimates; `None` for a share of nothing, and where nobody knows.

    Example:

    ```python
    >>> numbers = creativity([(1, 2), (1, 2), (3, 4), None], trained={(3, 4)})
    >>> {name: round(number["value"], 3) for name, number in numbers.items()}
    {'creativity': 0.25, 'coherent_share': 0.75, 'new_share': 0.667, 'different_share': 0.5}

    ```

    Reference: Nagarajan et al., "Roll the dice & look before you leap: Going beyond the creative limits of next-token
    prediction", ICML 2025 (arXiv 2504.15266).
    """
    coherent = [form for form in forms if form is not None]
    numbers: dict[str, Estimate | None] = dict.fromkeys(CREATIVITY)
    numbers["coherent_share"] = share_of([form is not None for form in forms])
    if trained is not None:
        new = [form for form in coherent if form not in trained]
        numbers["creativity"] = share_of_different(new, len(forms))
        numbers["new_share"] = share_of([form not in trained for form in coherent])
        numbers["different_share"] = share_of_different(new, len(new))
    return numbers


def share_of(values: Sequence[bool]) -> Estimate | None:
    """Return the share of what is true; `None` of nothing."""
    return summarise(np.array(values, dtype=np.float64), None) if values else None


def share_of_different(forms: Sequence[Hashable], count: int) -> Estimate | None:
    """Return how many different forms there are, of `count`, with the standard error of the jackknife."""
    if not count:
        return None
    once = sum(times == 1 for times in Counter(forms).values())
    variance = once * (1 - once / count) / (count * max(count - 1, 1))
    return {"value": len(set(forms)) / count, "standard_error": variance**0.5, "n": count, "num_graphs": count}


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


def read_labels(text: str) -> tuple[int, ...] | None:
    """Read labels between commas; `None` if something there is no label, which has at most 7 digits."""
    pieces = [piece.strip() for piece in text.split(",")]
    return tuple(map(int, pieces)) if all(re.fullmatch(r"0|[1-9][0-9]{0,6}", piece) for piece in pieces) else None


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


# End of what is copied.


TASKS = {kind.name: kind for kind in (SiblingDiscovery, TriangleDiscovery, CircleConstruction, LineConstruction)}

_DESCRIPTION = """
How creative a model is: how many different outputs it writes that are coherent and that it was not trained on, of all
that it was asked for. For the tasks sibling_discovery, triangle_discovery, circle_construction and line_construction.
"""

_INPUTS = """
Args:
    predictions (list of str): what a model wrote, each drawn anew; without top-k or top-p, which change the number.
    trained (list of str): the completions that it was trained on.
    task (str): "sibling_discovery", "triangle_discovery", "circle_construction" or "line_construction".
    config (str, optional): the configuration of the rows, such as "p5_c2500_g0"; by default that of the task.
Returns:
    creativity (float): the different outputs that are coherent and new, of all: the product of the three shares.
    coherent_share (float): the outputs that are coherent, of all.
    new_share (float): those that were not trained on, of the coherent ones; None if there are none.
    different_share (float): the different ones, of those that are coherent and new; None if there are none.
    creativity_standard_error, ... (float): of each, over outputs.
Examples:
    >>> metric = evaluate.load("nextfail/creativity")
    >>> numbers = metric.compute(
    ...     predictions=["3,7|12,3|7,12", "0,1|2,0|1,2", "0,1|1,2|2,0", "0,1|1,2|0,2"],
    ...     trained=["5,6|6,7|7,5"],
    ...     task="circle_construction",
    ...     config="l3_n15",
    ... )
    >>> [numbers[name] for name in ("creativity", "coherent_share", "different_share")]
    [0.25, 0.75, 0.5]
"""

_CITATION = """
@inproceedings{nagarajan2025roll,
  title={Roll the dice \\& look before you leap: Going beyond the creative limits of next-token prediction},
  author={Vaishnavh Nagarajan and Chen Henry Wu and Charles Ding and Aditi Raghunathan},
  booktitle={International Conference on Machine Learning},
  year={2025}
}
"""


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _INPUTS)
class Creativity(evaluate.Metric):
    """Different outputs that are coherent and new."""

    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": datasets.Value("string")}),
            reference_urls=["https://arxiv.org/abs/2504.15266"],
        )

    def _compute(self, predictions, trained, task, config=None):
        if task not in TASKS:
            raise ValueError(f"task must be one of {', '.join(TASKS)}, got {task!r}{did_you_mean(str(task), TASKS)}")
        asked = TASKS[task].from_config_name(config) if config else TASKS[task]()
        numbers = creativity([asked.canonical(text) for text in predictions], set(map(asked.canonical, trained)))
        errors = {name: number and number["standard_error"] for name, number in numbers.items()}
        return {name: number and number["value"] for name, number in numbers.items()} | {
            f"{name}_standard_error": error for name, error in errors.items()
        }
