"""A model that somebody leads into a wrong arm, to what it writes from there."""

from typing import NamedTuple

import torch
from datasets import Dataset
from torch import nn
from transformers import PreTrainedTokenizerBase

from hf_nextfail.data.row_store import RowStore
from hf_nextfail.data.tokenization import in_plain_python
from hf_nextfail.decoding import Decoding, find_decoding
from hf_nextfail.diagnoses import NoDiagnosis, StarGraphDiagnosis
from hf_nextfail.diagnoses.star_graph import why_absent
from hf_nextfail.evaluation.inference import Inference
from hf_nextfail.evaluation.parts import part_texts
from hf_nextfail.metrics import path_kind
from hf_nextfail.models.checks import check_fits

#: How many nodes a model is shown: the first one, and the next one of a wrong arm.
NUM_SHOWN = 2


class Led(NamedTuple):
    """What a model writes behind the first step into a wrong arm.

    Args:
        arm (list of `str`): the wrong arm, in the direction in which paths are written.
        path (list of `str`): the two nodes of it that the model was shown, and those that it wrote behind them.
        kind (`str`): what `path` is, one of `hf_nextfail.metrics.KINDS`: `"wrong arm"` where the model follows edges.
    """

    arm: list[str]
    path: list[str]
    kind: str


def lead_astray(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    dataset: Dataset,
    decoding: Decoding | str | None = None,
    batch_size: int = 256,
) -> list[list[Led]]:
    """Show a model the first step into each wrong arm of star graphs, and let it go on greedily.

    `counterfactual_accuracy` of [`hf_nextfail.diagnose`] says how often a model follows a wrong arm; this says what it
    writes.

    Args:
        model, tokenizer, dataset, decoding, batch_size: as of [`hf_nextfail.diagnose`]; star graphs alone.

    Returns:
        For each row what the model does in each of its wrong arms.

    Raises:
        ValueError: if the rows hold other things than star graphs of one shape; a `NoDiagnosis` if paths end with the
            first step, or the decoding does not show the model the nodes before the one that it writes.
    """
    decoding = find_decoding(decoding, model, tokenizer)
    dataset = in_plain_python(dataset)
    diagnosis = StarGraphDiagnosis({name: dataset[name][:] for name in dataset.column_names})
    task = diagnosis.task
    reasons = why_absent(task, decoding.name, decoding.shows_true_tokens, decoding.scores_tokens)
    if reason := reasons.get("accuracy_given_first_step"):
        raise NoDiagnosis(reason)
    arms = [(row, arm) for row, arms in enumerate(diagnosis.graphs) for arm in arms[1:]]
    found: list[list[Led]] = [[] for _ in diagnosis.graphs]
    if not arms:
        return found
    begins = [",".join([*arm[:NUM_SHOWN], ""]) for _, arm in arms]
    texts = {
        "prompt": [diagnosis.rows[row]["prompt"] + begin for (row, _), begin in zip(arms, begins, strict=True)],
        "completion": [",".join(arm[NUM_SHOWN:]) for _, arm in arms],
    }
    rows = RowStore.of(Dataset.from_dict(texts), tokenizer)
    check_fits(model, rows.longest, rows.largest_id)
    inference = Inference(model, decoding, tokenizer, batch_size, None, False)
    written = tokenizer.batch_decode(inference.write(rows, torch.arange(len(rows))), skip_special_tokens=True)
    for (row, arm), text in zip(arms, written, strict=True):
        path = arm[:NUM_SHOWN] + part_texts(task, text)
        found[row].append(Led(arm, path, path_kind(path, diagnosis.graphs[row], diagnosis.graphs[row][0])))
    return found
