"""The word problem of a group of permutations: keep track of a product."""

import functools
import itertools
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from hf_nextfail.tasks.base import Columns, Task, keep_integer
from hf_nextfail.tasks.papers import NEXT_LATENT, Paper
from hf_nextfail.tasks.text import TextColumn, format_labels, label_spans, labels_of, read_labels

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
