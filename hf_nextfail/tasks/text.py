"""Text columns in the memory layout of Arrow, and labels as text."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

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
