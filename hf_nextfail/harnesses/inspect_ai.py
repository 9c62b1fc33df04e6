"""Tasks for inspect-ai: `inspect eval hf_nextfail/answer -T dataset_config=d2_l3_n20`.

Inspect lets models write and does not ask for likelihoods, so that there is no choice among first steps: for that use
`nextfail_first_step` of lm-evaluation-harness. Its `hf` models write token by token. A checkpoint that decodes in
parallel, by unmasking or by inserting cannot be asked here: with `-M trust_remote_code=true` its own decoding refuses
what inspect always asks for (`return_dict_in_generate`); without it, inspect writes token by token and does not warn.
"""

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.scorer import Score, Target, accuracy, scorer, stderr
from inspect_ai.solver import TaskState, generate

from hf_nextfail.evaluation.verify import verified
from hf_nextfail.harnesses.rows import load_rows, load_task


@scorer(metrics=[accuracy(), stderr()], name="verifier")
def verifier(dataset_name: str, dataset_config: str | None = None):
    """Score what a model wrote by the verifier of a task."""
    ours = load_task(dataset_name, dataset_config)

    async def score(state: TaskState, target: Target) -> Score:
        written = state.output.completion
        return Score(value=verified(ours, written, state.metadata), answer=written)

    return score


@task
def answer(
    dataset_name: str = "nextfail/star_graph",
    dataset_config: str | None = None,
    num_test: int = 1_000,
    dataset_seed: int = 0,
) -> Task:
    """Ask for whole answers to test rows.

    A checkpoint trained on answers of one length writes no end token: `--max-tokens` says how many tokens one has.

    Args:
        dataset_name (`str`): `nextfail/<task>`, or a task of your own, `FILE.py:Class`.
        dataset_config (`str`, *optional*): such as `d2_l5_n50_instruct`; by default the task's first.
        num_test (`int`): the number of rows.
        dataset_seed (`int`): their seed.
    """
    rows = load_rows(dataset_name, dataset_config, num_test, dataset_seed)["test"]
    samples = [Sample(row["prompt"], target=row["completion"], id=n, metadata=row) for n, row in enumerate(rows)]
    return Task(
        MemoryDataset(samples, name=dataset_name),
        solver=generate(),
        scorer=verifier(dataset_name, dataset_config),
    )
