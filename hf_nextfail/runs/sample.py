"""One row of a task to look at: as text, as tokens, and as each objective sees it."""

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from rich.cells import cell_len
from rich.text import Text
from transformers import PreTrainedTokenizerBase

from hf_nextfail.data.builder import TaskConfig
from hf_nextfail.data.tokenization import COMPLETION_IDS, PROMPT_IDS, load_tokenizer, tokenize_dataset
from hf_nextfail.data.word_tokenizer import task_tokenizer
from hf_nextfail.errors import UsageError, did_you_mean
from hf_nextfail.evaluation.parts import part_of_each_token, part_texts
from hf_nextfail.models.completion_logits import IGNORED
from hf_nextfail.models.masks import added_to_scores
from hf_nextfail.objectives import OBJECTIVES, build_objective
from hf_nextfail.own_code import is_reference, load_class
from hf_nextfail.tasks import SPLITS, TASKS, PathTask, ReversibleTask, StarGraph, Task
from hf_nextfail.tasks.paths import written_nodes
from hf_nextfail.tasks.star_graph_text import arms_of
from hf_nextfail.training.collator import CompletionCollator

INDENT = 12  # what headings take of each line
NOTHING = "."  # a label where nothing is predicted
ONE_WAY_BACK = "one edge leads back"
RIGHT, HARD, QUIET = "bold blue", "bold red", "bright_black"


@dataclass(frozen=True)
class Sample:
    """A row of a split, and its tokens.

    Args:
        task (`Task`): what the row is of.
        row (`dict`): the columns of `load_dataset("nextfail/<task>")`, `prompt_ids` and `completion_ids`.
        title (`str`): which row it is.
        tokenizer (`PreTrainedTokenizerBase`): what made the ids.
        tokenizer_name (`str`): what it is called.
    """

    task: Task
    row: dict[str, Any]
    title: str
    tokenizer: PreTrainedTokenizerBase
    tokenizer_name: str

    @property
    def path(self) -> list[int]:
        """The nodes from the start to the goal, of a path task."""
        return written_nodes(self.row["path"])

    @property
    def hard(self) -> dict[int, float]:
        """The index of each part that needs planning -> what guessing gives."""
        return self.task.hard_places({name: [value] for name, value in self.row.items()})[0]


def which_task(task: str, config_name: str | None) -> tuple[type[Task], str]:
    """Read what was asked for: a task and one of its configurations, or a configuration of the star graph alone.

    Raises:
        UsageError: in one line, if there is no such task.
    """
    if config_name is None and re.fullmatch(r"d\d.*", task):
        return StarGraph, task
    try:
        kind = load_class(task, Task) if is_reference(task) else TASKS.get(task)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if kind is None:
        raise UsageError(f"there is no task {task!r}, only {', '.join(TASKS)}{did_you_mean(task, TASKS)}")
    return kind, config_name or kind().config_name


def load_sample(
    config_name: str = StarGraph.grid[0],
    split: str = "test",
    index: int = 0,
    seed: int = 0,
    tokenizer_name: str | None = None,
    kind: type[Task] = StarGraph,
) -> Sample:
    """Generate one row alone, `load_dataset("nextfail/<task>", config_name, seed=seed)[split][index]`, and tokens.

    Args:
        config_name (`str`, *optional*): such as `d2_l5_n50`, with `_rev` for reversed paths.
        split (`str`, *optional*, defaults to `"test"`): `"train"`, `"validation"` or `"test"`.
        index (`int`, from 0 to the rows of the split less 1, *optional*, defaults to 0): which row.
        seed (`int`, >= 0, *optional*, defaults to 0): of the dataset.
        tokenizer_name (`str`, *optional*): a checkpoint on the Hub, or a folder; by default one token a word.
        kind (`type[Task]`, *optional*, defaults to `StarGraph`): the task.

    Raises:
        UsageError: if there is no such configuration, split, row or tokenizer, or the tokenizer lacks a label.
    """
    if split not in SPLITS:
        raise UsageError(f"split must be {' or '.join(SPLITS)}, got {split!r}{did_you_mean(split, SPLITS)}")
    try:
        # Small graphs need not have rows of every split.
        others = {f"num_{other}": 0 for other in SPLITS if other != split}
        config = TaskConfig.resolve(kind, config_name, seed=seed, **others)
        row = config.row(split, index)
        if tokenizer_name is None:
            name = "numeral tokenizer" if kind is StarGraph else "one token a word"
            tokenizer, tokenizer_name = task_tokenizer(config.task), name
        else:
            tokenizer = load_tokenizer(tokenizer_name)
        # As a stream it makes no progress bar.
        (row,) = tokenize_dataset(Dataset.from_list([row]).to_iterable_dataset(), tokenizer)
    except ValueError as error:
        raise UsageError(str(error)) from error
    direction = ", reversed paths" if isinstance(config.task, ReversibleTask) and config.task.reverse else ""
    title = f"{config.task.title}{direction}: row {index} of the {split} split, seed {seed}"
    return Sample(config.task, row, title, tokenizer, tokenizer_name)


def line_breaks(widths: Sequence[int], room: int) -> list[tuple[int, int]]:
    """Break a line of cells, one space apart, into lines that fit; returns where each begins and ends."""
    breaks, used = [0], 0
    for cell, width in enumerate(widths):
        if used and used + width > room:
            breaks.append(cell)
            used = 0
        used += width + 1
    return list(pairwise([*breaks, len(widths)]))


def aligned(lines: dict[str, Sequence[str]], width: int, hard: Sequence[int] = ()) -> list[Text]:
    """Lay out lines of cells below each other, cell under cell, in as many pieces as the width asks for.

    Args:
        lines (`dict` from `str` to sequences of `str`): headings and as many cells in each line.
        width (`int`): of the terminal.
        hard (sequence of `int`, *optional*): the cells that belong to the hard token, which are pointed at.
    """
    widths = [max(2, *map(cell_len, cells)) for cells in zip(*lines.values(), strict=True)]  # 2: most labels
    texts = []
    for first, end in line_breaks(widths, width - INDENT):
        shown = {heading: cells[first:end] for heading, cells in lines.items()}
        if any(first <= cell < end for cell in hard):
            shown["hard token"] = ["^" * widths[cell] if cell in hard else "" for cell in range(first, end)]
        for heading, cells in shown.items():
            text = Text(f"{heading if first == 0 or heading == 'hard token' else '':{INDENT}}")
            for place, cell in enumerate(cells, start=first):
                style = HARD if place in hard else QUIET if heading == "ids" else ""
                text.append(" " * (widths[place] - cell_len(cell)))
                text.append(cell, QUIET if cell == NOTHING else style)
                text.append(" ")
            text.rstrip()
            texts.append(text)
    return texts


def drawn_arms(sample: Sample, width: int) -> list[Text]:
    """Write the arms of a star graph from the start, in the order of their first edges; of other tasks nothing."""
    if not isinstance(sample.task, StarGraph):
        return []
    texts = []
    path = sample.path
    for arm in arms_of(sample.row["edges"], sample.row["start"]):
        right = arm[: len(path)] == path
        cells = [*(f"{node} →" for node in arm[:-1]), str(arm[-1]), *(["(to the goal)"] if right else [])]
        for first, end in line_breaks(list(map(len, cells)), width - INDENT):
            text = Text("" if texts else "arms").append(" " * (INDENT - (0 if texts else 4)))
            texts.append(text.append(" ".join(cells[first:end]), RIGHT if right else ""))
    return texts


def hard_token_lines(sample: Sample) -> list[Text]:
    """Say which parts are hard tokens, where they stand and what guessing them gives."""
    if isinstance(sample.task, StarGraph):
        return [hard_token_of_star(sample)]
    backwards = isinstance(sample.task, ReversibleTask) and sample.task.reverse
    if isinstance(sample.task, PathTask) and backwards and not sample.hard:
        return [Text(f"{'hard token':{INDENT}}none in this row, {ONE_WAY_BACK}")]
    parts = part_texts(sample.task, sample.row["completion"]) if sample.hard else []
    return [
        Text(f"{'hard token':{INDENT}}")
        .append(parts[place], HARD)
        .append(f", part {place + 1} of {len(parts)} in the completion: ")
        .append(f"no guess, {ONE_WAY_BACK}" if backwards and chance == 1 else f"guessing gives {chance:.3g}")
        for place, chance in sample.hard.items()
    ]


def hard_token_of_star(sample: Sample) -> Text:
    """Say which node is the hard token of a star graph, where it stands and what guessing it gives."""
    task = sample.task
    node = sample.path[1]
    text = Text(f"{'hard token':{INDENT}}").append(str(node), HARD)
    text.append(f", node {task.hard_part + 1} of {len(sample.path)} in the completion: ")
    if task.reverse:
        return text.append(f"no guess, {ONE_WAY_BACK}")
    if task.goal == "any" and len(sample.path) == 2:
        return text.append("no guess, it is the goal")
    return text.append(f"guessing gives 1/{task.degree} = {1 / task.degree:.3g}")


def objective_lines(sample: Sample, name: str, width: int, hard: Sequence[int]) -> list[Text]:
    """Show what a model gets and must predict under an objective; the prompt is one cell.

    Returns:
        `list` of `rich.text.Text`, one a line.
    """
    tokenizer = copy.deepcopy(sample.tokenizer)
    tokenizer.add_tokens(list(OBJECTIVES[name].special_tokens), special_tokens=True)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)  # what an objective draws
        batch = CompletionCollator(build_objective(name, tokenizer))([sample.row])
    # Beside `labels`, an objective may add labels of its own.
    keys = [key for key in batch if key.endswith("labels")]
    begin = len(sample.row[PROMPT_IDS])
    end = 1 + max(place for key in keys for place, label in enumerate(batch[key][0].tolist()) if label != IGNORED)
    places = [place for place in range(begin, end) if batch["labels"][0, place] != IGNORED]
    # Where an objective writes something else before the hard token, this stands elsewhere, or nowhere.
    own = sample.row[COMPLETION_IDS]
    marked = [places[token] - begin + 1 for token in hard if batch["labels"][0, places[token]] == own[token]]
    if "weights" in batch:
        batch["labels"] = batch["labels"].masked_fill(batch["weights"] == 0, IGNORED)
    lines = {"inputs": ["(prompt)", *tokenizer.convert_ids_to_tokens(batch["input_ids"][0, begin:end])]}
    for key in keys:
        labels = batch[key][0, begin:end].tolist()
        written = [NOTHING if label == IGNORED else tokenizer.convert_ids_to_tokens(label) for label in labels]
        lines[key.removesuffix("_labels")] = [NOTHING, *written]
    if "gaps" in batch:
        gaps = zip(batch["gaps"][0, begin:end].tolist(), batch["labels"][0, begin:end].tolist(), strict=True)
        lines["in gap"] = [NOTHING, *(NOTHING if label == IGNORED else str(gap) for gap, label in gaps)]
    shown = aligned(lines, width, marked)
    mask = batch["attention_mask"]
    if mask.dim() == 4 and added_to_scores(mask)[0, 0, 0, 1] == 0:
        shown.append(Text("Each position sees all others.", style=QUIET))
    return shown


def all_objectives_lines(sample: Sample, width: int, hard: Sequence[int]) -> list[Text]:
    """Show every objective, those together that differ in nothing but what heads learn."""
    names: dict[str, list[str]] = {}
    shown = {}
    for name in OBJECTIVES:
        lines = objective_lines(sample, name, width, hard)
        text = "\n".join(line.plain for line in lines)
        names.setdefault(text, []).append(name)
        shown.setdefault(text, lines)
    return [line for text in shown for line in [Text(), Text(", ".join(names[text]), style="bold"), *shown[text]]]


def sample_lines(sample: Sample, width: int) -> list[Text]:
    """Write all there is to see of a row.

    Args:
        sample (`Sample`): of `load_sample`.
        width (`int`): of the terminal. The two texts of the row are never broken.

    Returns:
        `list` of `rich.text.Text`, one a line.
    """
    row, tokenizer = sample.row, sample.tokenizer
    hard = []
    if tokenizer.is_fast and sample.hard:  # slow ones do not say where their tokens come from
        nodes = part_of_each_token(tokenizer, [row["completion"]], len(row[COMPLETION_IDS]), sample.task)[0]
        hard = np.isin(nodes, list(sample.hard)).nonzero()[0].tolist()
    tokens = []
    for name, ids, marked in (("prompt", row[PROMPT_IDS], []), ("completion", row[COMPLETION_IDS], hard)):
        cells = {name: tokenizer.convert_ids_to_tokens(ids), "ids": list(map(str, ids))}
        tokens += aligned(cells, width, marked)
    return [
        Text(f"{'prompt':{INDENT}}{row['prompt']}"),
        Text(f"{'completion':{INDENT}}{row['completion']}"),
        Text(),
        *drawn_arms(sample, width),
        *(said := hard_token_lines(sample)),
        *[Text()] * bool(said),
        Text(f"{sample.tokenizer_name}, {len(tokenizer)} tokens", style="bold"),
        *tokens,
        *all_objectives_lines(sample, width, hard),
        Text("Each label is predicted from the inputs before it, or, where said, from all.", style=QUIET),
    ]
