"""A model, rows and a diagnosis to what the diagnosis says: the model is run here."""

import logging
from typing import Any

from datasets import Dataset
from torch import nn
from transformers import PreTrainedTokenizerBase

from hf_nextfail.data.problem_keys import problem_keys
from hf_nextfail.data.row_store import RowStore
from hf_nextfail.data.tokenization import in_plain_python
from hf_nextfail.decoding import Decoding, find_decoding
from hf_nextfail.diagnoses import Answer, Diagnosis, NoDiagnosis, diagnosis_of
from hf_nextfail.evaluation.inference import Inference, Scores
from hf_nextfail.evaluation.parts import part_of_each_token, part_texts
from hf_nextfail.models.checks import check_fits
from hf_nextfail.tasks import StarGraph

logger = logging.getLogger(__name__)

#: The rows that are diagnosed unless somebody says otherwise: the first ones.
NUM_DIAGNOSED = 2_000


def read_diagnosis(dataset: Dataset, task_name: str = StarGraph.name) -> Diagnosis:
    """Let the diagnosis of a task read rows.

    Raises:
        NoDiagnosis: if the task has no diagnosis, or the rows do not fit it.
    """
    return diagnosis_of(task_name, {name: dataset[name][:] for name in dataset.column_names})


def diagnose(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    dataset: Dataset,
    decoding: Decoding | str | None = None,
    batch_size: int = 256,
    description: str | None = None,
    shared: bool = False,
    task_name: str = StarGraph.name,
) -> dict[str, Any]:
    """Find out why a model fails on the paths of graphs, or that it does not.

    Every arm of every star graph is shown to the model, the true one and the wrong ones, so the cost is about `degree`
    passes over the rows (twice as many on reversed paths), and the decoding of those that are not right. Of other
    paths (`tree_star`, `crossing_star`, `minimal_planning`, star graphs with goals anywhere) these are the branches
    that are wrong at the last node that needs a plan, and each again with the goal as its end.

    Args:
        model (`nn.Module`): a causal LM, run in the precision of its forward.
        tokenizer (`PreTrainedTokenizerBase`): the model's.
        dataset (`Dataset`): with the columns of `load_dataset("nextfail/<task>")`; of star graphs, which must be of
            one shape, or of `load_paper_file`; reversed paths and goals anywhere are recognised.
        decoding (`Decoding` or `str`, *optional*): how the model writes; by default what its generation config
            says, and `"autoregressive"` for models that are not ours.
        batch_size (`int`, >= 1, *optional*, defaults to 256): rows of one pass.
        description (`str`, *optional*): log that it begins, and show progress bars, under this name.
        shared (`bool`, *optional*, defaults to `False`): divide the rows among processes, as `evaluate` does.
        task_name (`str`, *optional*, defaults to `"star_graph"`): what the rows are of, a name in `DIAGNOSES`.

    Returns:
        `dict`, ready for JSON:

        - `task`: of star graphs `degree`, `path_length`, `reverse`, `hard_node`, and `decoding`; of other paths
          `name`, `reverse`, `decoding`, `chance` (what guessing gives at each node that needs a plan, with those
          before it right) and `distances` (the steps from the choice to the goal, on reversed paths to the start:
          those of `accuracy_by_distance`).
        - `numbers`: name -> `{value, standard_error, n, num_graphs}` (lists where there is one a node), or `None`
          where the number does not exist. What they mean, and what to expect of them: `Diagnosis.definitions`.
        - `absent`: name -> why a number does not exist.
        - `calibration`: of the hard token, the last one where several nodes need a plan; bins of `from`, `to`,
          `confidence` and `accuracy`.
        - `errors`: kind of path (see `hf_nextfail.metrics.path_kind`) -> its share of the rows, as a number.
        - `examples`: kind -> the first rows of it: `prompt`, `completion`, `written`.
        - `drawing`: one row with its `edges`, `path`, `start`, `goal`, the nodes `written`, and `probabilities` of the
          nodes to choose from at the hard token; the first row that is wrong, if there is one.
        - `verdict`: all this in a few words.

    Raises:
        NoDiagnosis: a `ValueError`, if the task has no diagnosis, the dataset holds other things than such graphs, or
            a wrong path is longer than the model has positions for.
        ValueError: if the dataset is empty, or there is no such decoding, or the tokenizer is a slow one.

    Example:

    ```python
    from datasets import load_dataset
    from hf_nextfail import diagnose, load_tokenizer
    from transformers import AutoModelForCausalLM

    name = "runs/star_graph/teacher_forced/d2_l4_n20-gpt2"
    rows = load_dataset("nextfail/star_graph", "d2_l4_n20", split="test").select(range(1000))
    diagnosis = diagnose(AutoModelForCausalLM.from_pretrained(name), load_tokenizer(name), rows)
    print(diagnosis["verdict"])
    ```
    """
    decoding = find_decoding(decoding, model, tokenizer)
    rows = RowStore.of(dataset, tokenizer)
    dataset = in_plain_python(dataset)
    check_fits(model, rows.longest, max(rows.largest_id, getattr(decoding, "dummy_token_id", 0)))
    diagnosis = read_diagnosis(dataset, task_name)
    inference = Inference(model, decoding, tokenizer, batch_size, description, shared)
    if description is not None:
        logger.info("%s: %s.", description, f"{len(rows):,}")

    def answer(scores: Scores | None, texts: list[str]) -> Answer | None:
        if scores is None:
            return None
        parts = part_of_each_token(tokenizer, texts, scores.correct.shape[1], diagnosis.task)
        return Answer(scores.correct.numpy(), scores.log_probs.numpy(), parts)

    scores = inference.score(rows)
    completions = dataset["completion"][:]
    truth = answer(scores, completions)
    written = [part_texts(diagnosis.task, text) for text in inference.write_texts(rows, scores, completions)]
    named = diagnosis.probes(decoding.shows_true_tokens) if decoding.scores_tokens else {}
    stores = {name: rows.with_completions(texts, tokenizer) for name, texts in named.items()}
    longest = max((store.longest for store in stores.values()), default=0)
    if longest > inference.num_positions:
        raise NoDiagnosis(f"a wrong path has {longest} tokens, but the model has {inference.num_positions} positions")
    probes = {name: answer(inference.score(store, name), named[name]) for name, store in stores.items()}
    groups = problem_keys(dataset, diagnosis.task)
    return diagnosis.conclude(
        truth, probes, written, groups, decoding.name, decoding.shows_true_tokens, decoding.one_pass_exact
    )
