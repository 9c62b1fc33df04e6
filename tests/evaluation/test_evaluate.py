"""Evaluation decodes few rows and none of those that one pass shows to be right; here everything is decoded."""

import functools
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import Dataset, concatenate_datasets, load_dataset
from own_code.pairs import Pairs
from tiny_models import NO_DROPOUT, mean_loss, tiny_gpt2
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.data.problem_keys import graph_hashes
from hf_nextfail.data.row_store import RowStore
from hf_nextfail.data.tokenization import end_token_id, tokenize_dataset
from hf_nextfail.data.word_tokenizer import COMPLETIONS_END, task_tokenizer
from hf_nextfail.decoding import InsertingDecoding
from hf_nextfail.evaluation.evaluate import evaluate
from hf_nextfail.metrics import correct_nodes
from hf_nextfail.objectives import OBJECTIVES, Objective
from hf_nextfail.tasks import Countdown, StarGraph
from hf_nextfail.training.collator import CompletionCollator

END = "<|end|>"


def star_graphs(config_name, num_rows):
    sizes = {"num_train": num_rows, "num_validation": 0, "num_test": 0}
    return load_dataset("nextfail/star_graph", config_name, split="train", **sizes)


def texts(dataset):
    return dataset.select_columns(["prompt", "completion"])


def digit_tokenizer():
    """One token per digit, so that labels take one or two, and an end token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(special_tokens=[END, "<|pad|>", "<|dummy|>"], show_progress=False)
    tokenizer.train_from_iterator(["0123456789,|/="], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token="<|pad|>",
        extra_special_tokens={"dummy_token": "<|dummy|>"},
    )


def small_gpt2(tokenizer, **overrides):
    return tiny_gpt2(tokenizer, **NO_DROPOUT | {"n_embd": 32, "n_positions": 32} | overrides)


def train(model, dataset, objective, tokenizer, steps):
    rows = list(tokenize_dataset(dataset, tokenizer).select_columns(["prompt_ids", "completion_ids"]))
    collator, optimizer = CompletionCollator(objective), torch.optim.AdamW(model.parameters(), lr=6e-3)
    torch.manual_seed(0)
    for _ in range(steps):
        chosen = torch.randint(len(rows), (32,)).tolist()
        optimizer.zero_grad()
        mean_loss(objective, model, collator([rows[i] for i in chosen])).backward()
        optimizer.step()


@dataclass(frozen=True)
class Trained:
    """A model that gets some of the rows right and others wrong, and what belongs to it."""

    model: PreTrainedModel
    rows: Dataset
    objective: Objective
    tokenizer: PreTrainedTokenizerBase
    task: StarGraph

    def evaluate(self, rows=None, **options):
        rows = self.rows if rows is None else rows
        return evaluate(self.model, rows, self.objective.decoding, self.tokenizer, self.task, **options)


@functools.cache
def half_trained(objective_name, tokenizer_name):
    if tokenizer_name == "numeral":  # prompts of two lengths
        tokenizer, steps = numeral_tokenizer(num_nodes=8), 75
        parts, task = ["d1_l3_n8", "d2_l3_n8"], StarGraph(2, 3, 8)
    else:  # prompts and completions of many
        tokenizer, steps = digit_tokenizer(), 80
        parts, task = ["d2_l2_n12"], StarGraph(2, 2, 12)
    objective, model = OBJECTIVES[objective_name](tokenizer), small_gpt2(tokenizer)
    train(model, concatenate_datasets([texts(star_graphs(part, 300)) for part in parts]), objective, tokenizer, steps)
    rows = concatenate_datasets([texts(star_graphs(part, 80 // len(parts))) for part in parts])
    return Trained(model.eval(), rows, objective, tokenizer, task)


every_tokenizer = pytest.mark.parametrize("tokenizer_name", ["numeral", "digits"])
# One training for each decoding.
every_objective = pytest.mark.parametrize("objective_name", ["teacher_forced", "teacherless"])


def ids_of(trained, text):
    return trained.tokenizer(text, add_special_tokens=False)["input_ids"]


def completion_ids_of(trained, text):
    end = end_token_id(trained.tokenizer)
    return ids_of(trained, text) + ([] if end is None else [end])


@torch.no_grad()
def written_ids(trained, prompt, num_tokens):
    """What the model writes after a prompt, with the end token if it writes one."""
    prompt_ids = ids_of(trained, prompt)
    if not trained.objective.decoding.shows_true_tokens:
        shown = torch.tensor([prompt_ids + [trained.tokenizer.dummy_token_id] * (num_tokens - 1)])
        written = trained.model(input_ids=shown).logits[0, len(prompt_ids) - 1 :].argmax(dim=-1).tolist()
        end = end_token_id(trained.tokenizer)
        return written[: written.index(end) + 1] if end in written else written
    options = {"do_sample": False, "max_new_tokens": num_tokens, "pad_token_id": trained.tokenizer.pad_token_id}
    return trained.model.generate(torch.tensor([prompt_ids]), **options)[0, len(prompt_ids) :].tolist()


def nodes_of(trained, ids):
    return trained.tokenizer.decode(ids, skip_special_tokens=True).split(",")


def right_nodes(trained, num_tokens):
    """Whether each node of each row is right in what the model writes."""
    right = []
    for row in trained.rows:
        written = nodes_of(trained, written_ids(trained, row["prompt"], num_tokens))
        path = row["completion"].split(",")
        right.append([i < len(written) and written[i] == node for i, node in enumerate(path)])
    return np.array(right)


@torch.no_grad()
def logits_and_labels(trained, row):
    """The logits for each token of a completion in a pass over prompt and completion, and these tokens."""
    prompt_ids, completion_ids = ids_of(trained, row["prompt"]), completion_ids_of(trained, row["completion"])
    shown = completion_ids
    if not trained.objective.decoding.shows_true_tokens:
        shown = [trained.tokenizer.dummy_token_id] * len(completion_ids)
    logits = trained.model(input_ids=torch.tensor([prompt_ids + shown])).logits
    return logits[0, len(prompt_ids) - 1 : -1], torch.tensor(completion_ids)


# Equal to what the model really writes


@every_objective
@every_tokenizer
def test_accuracy_is_exact_match_of_what_the_model_writes(objective_name, tokenizer_name):
    trained = half_trained(objective_name, tokenizer_name)
    expected = [completion_ids_of(trained, completion) for completion in trained.rows["completion"]]
    written = [
        written_ids(trained, prompt, len(ids)) for prompt, ids in zip(trained.rows["prompt"], expected, strict=True)
    ]
    right = [w == e for w, e in zip(written, expected, strict=True)]
    assert 0.1 < np.mean(right) < 0.9
    assert trained.evaluate()["accuracy"]["value"] == np.mean(right)
    # and row by row
    for i, row_right in enumerate(right[::8]):
        assert trained.evaluate(trained.rows.select([8 * i]), per_part=False)["accuracy"]["value"] == row_right


@every_objective
@every_tokenizer
def test_numbers_per_node_are_those_of_what_the_model_writes(objective_name, tokenizer_name):
    trained = half_trained(objective_name, tokenizer_name)
    longest = max(len(completion_ids_of(trained, completion)) for completion in trained.rows["completion"])
    right = right_nodes(trained, longest)
    results = trained.evaluate()
    np.testing.assert_allclose(results["token_accuracy"]["value"], right.mean(axis=0), rtol=1e-12)
    assert results["hard_token_accuracy"]["value"] == pytest.approx(right[:, trained.task.hard_part].mean())
    assert ((right.mean(axis=0) > 0.1) & (right.mean(axis=0) < 1)).any()


@every_tokenizer
def test_forced_numbers_are_those_of_a_pass_over_the_true_tokens(tokenizer_name):
    trained = half_trained("teacher_forced", tokenizer_name)
    right = []
    for row in trained.rows:
        logits, labels = logits_and_labels(trained, row)
        nodes = [[]]
        for token, token_right in zip(labels.tolist(), (logits.argmax(dim=-1) == labels).tolist(), strict=True):
            nodes[-1].append(token_right)  # a separator with the node that it ends
            if trained.tokenizer.convert_ids_to_tokens(token) in (",", END) or tokenizer_name == "numeral":
                nodes.append([])
        right.append([all(node) for node in nodes if node])
    results = trained.evaluate()
    np.testing.assert_allclose(results["forced_token_accuracy"]["value"], np.mean(right, axis=0), rtol=1e-12)
    forced = results["forced_hard_token_accuracy"]["value"]
    assert forced == pytest.approx(np.mean(right, axis=0)[trained.task.hard_part])
    assert results["forced_token_accuracy"]["value"] != results["token_accuracy"]["value"]


@every_tokenizer
def test_teacherless_model_has_no_forced_numbers(tokenizer_name):
    results = half_trained("teacherless", tokenizer_name).evaluate()
    assert results["forced_token_accuracy"] is None
    assert results["forced_hard_token_accuracy"] is None


@every_objective
@every_tokenizer
def test_loss_is_the_mean_over_rows_of_the_mean_over_tokens(objective_name, tokenizer_name):
    trained = half_trained(objective_name, tokenizer_name)
    losses = [torch.nn.functional.cross_entropy(*logits_and_labels(trained, row)).item() for row in trained.rows]
    assert trained.evaluate()["loss"]["value"] == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.parametrize(("path", "hard_node"), [("d1_l4_n5", 1), ("d1_l4_n5_rev", 2)])
def test_hard_token_is_next_to_the_start_wherever_that_stands(path, hard_node):
    tokenizer = numeral_tokenizer(num_nodes=5)
    model, objective = small_gpt2(tokenizer, initializer_range=0.3), OBJECTIVES["teacher_forced"](tokenizer)
    results = evaluate(model, star_graphs(path, 100), objective.decoding, tokenizer, StarGraph.from_config_name(path))
    for prefix in ("", "forced_"):
        per_node = results[f"{prefix}token_accuracy"]["value"]
        assert len(set(per_node)) == 4
        assert results[f"{prefix}hard_token_accuracy"]["value"] == per_node[hard_node]


def one_completion():
    """Prompts that differ and completions that do not: learnt in a few steps."""
    return Dataset.from_list([{"prompt": f"{i}=", "completion": "1,2"} for i in range(8)])


@every_objective
def test_model_that_is_always_right(objective_name):
    tokenizer, rows, task = numeral_tokenizer(num_nodes=8), one_completion(), StarGraph(2, 2, 8)
    model, objective = small_gpt2(tokenizer), OBJECTIVES[objective_name](tokenizer)
    train(model, rows, objective, tokenizer, steps=30)
    results = evaluate(model, rows, objective.decoding, tokenizer, task)
    assert results["accuracy"]["value"] == results["hard_token_accuracy"]["value"] == 1.0
    assert results["token_accuracy"]["value"] == [1.0, 1.0]
    if objective.decoding.shows_true_tokens:
        assert results["forced_token_accuracy"]["value"] == [1.0, 1.0]
        assert results["forced_hard_token_accuracy"]["value"] == 1.0


@every_objective
def test_path_without_its_end_token_is_not_accurate(objective_name):
    tokenizer, rows = numeral_tokenizer(num_nodes=8), one_completion()
    tokenizer.add_tokens([END], special_tokens=True)
    model = small_gpt2(tokenizer)
    train(model, rows, OBJECTIVES[objective_name](tokenizer), tokenizer, steps=30)

    def accuracy():
        options = {"decoding": OBJECTIVES[objective_name](tokenizer).decoding, "tokenizer": tokenizer}
        return evaluate(model, rows, per_part=False, **options)["accuracy"]["value"]

    assert accuracy() == 1.0
    tokenizer.eos_token = END  # which the model never learnt to write
    tokenizer.init_kwargs[COMPLETIONS_END] = True
    assert accuracy() == 0.0


def test_where_no_pass_scores_tokens_what_is_written_is_all_there_is():
    tokenizer, rows, task = numeral_tokenizer(num_nodes=8), star_graphs("d1_l2_n8", 40), StarGraph(1, 2, 8)
    model, decoding = small_gpt2(tokenizer), InsertingDecoding(tokenizer)
    train(model, rows, OBJECTIVES["insertion"](tokenizer), tokenizer, steps=80)
    results = evaluate(model, rows, decoding, tokenizer, task)
    of_rows = RowStore.of(rows, tokenizer).take(torch.arange(40))
    right = (decoding.write(model, of_rows, 2) == of_rows.completion_ids).double()
    assert 0.1 < right.mean() < 0.9
    assert results["accuracy"]["value"] == pytest.approx(right.prod(dim=1).mean().item())
    assert results["token_accuracy"]["value"] == pytest.approx(right.mean(dim=0).tolist())
    absent = {name for name, result in results.items() if result is None}
    assert absent == {"loss", "forced_token_accuracy", "forced_hard_token_accuracy"}
    without_verifier = evaluate(model, texts(rows), decoding, tokenizer)
    assert without_verifier["loss"] is None
    assert without_verifier["accuracy"]["value"] == results["accuracy"]["value"]


# Standard errors


def test_rows_of_one_graph_are_one_piece_of_evidence():
    tokenizer = numeral_tokenizer(num_nodes=8)
    rows, task = star_graphs("d2_l3_n8", 60), StarGraph(2, 3, 8)
    model = half_trained("teacherless", "numeral").model
    num_graphs = len({frozenset(map(tuple, edges)) for edges in rows["edges"]})
    again = rows.map(lambda row: {"edges": row["edges"][::-1]})  # a graph is a set of edges
    twice = concatenate_datasets([rows, again]).shuffle(seed=0)
    options = {"decoding": "parallel", "tokenizer": tokenizer, "task": task}
    once, doubled = evaluate(model, rows, **options), evaluate(model, twice, **options)
    without_graphs = evaluate(model, texts(twice), **options)
    names = ("loss", "accuracy", "token_accuracy", "hard_token_accuracy")
    for name in names:
        assert (once[name]["n"], doubled[name]["n"], without_graphs[name]["n"]) == (60, 120, 120)
        assert once[name]["num_graphs"] == doubled[name]["num_graphs"] == num_graphs
        assert without_graphs[name]["num_graphs"] == 120
        np.testing.assert_allclose(doubled[name]["value"], once[name]["value"], rtol=1e-5)
        np.testing.assert_allclose(doubled[name]["standard_error"], once[name]["standard_error"], rtol=1e-5)
    assert 0 < without_graphs["accuracy"]["standard_error"] < 0.8 * doubled["accuracy"]["standard_error"]


def test_standard_error_of_independent_rows():
    trained = half_trained("teacherless", "numeral")
    accuracy = trained.evaluate()["accuracy"]
    expected = np.sqrt(accuracy["value"] * (1 - accuracy["value"]) / 80)
    assert accuracy["standard_error"] == pytest.approx(expected)
    assert (accuracy["n"], accuracy["num_graphs"]) == (80, 80)


def test_rows_of_one_graph_have_one_hash():
    edges = [[[1, 2], [2, 3]], [[2, 3], [1, 2]], [[1, 2], [3, 2]], [[1, 2], [2, 3]]]
    first, second, third, fourth = graph_hashes(Dataset.from_dict({"edges": edges}))
    assert first == second == fourth != third
    assert graph_hashes(Dataset.from_dict({"edges": edges}).select([2, 0])).tolist() == [third, first]


def test_graphs_of_different_sizes_are_not_mixed_up():
    # 2 + 4 edges are not twice 3.
    edges = [[[1, 2], [2, 3]], [[1, 2], [2, 3], [1, 4], [4, 5]]]
    assert graph_hashes(Dataset.from_dict({"edges": edges})) is None


def test_dataset_without_edges_has_no_graphs():
    assert graph_hashes(Dataset.from_dict({"prompt": ["1,2/1,2="]})) is None


OTHER_EDGES = {
    "text": ["1-2 2-3", "3-4"],
    "numbers": [3, 5],
    "lists of text": [["1,2", "2,3"], ["4,5", "5,6"]],
    "weighted": [[[1, 2, 9]], [[4, 5, 9]]],
    "floats": [[[1.5, 2.0]], [[4.0, 5.0]]],
}


@pytest.mark.parametrize("name", OTHER_EDGES)
def test_edges_of_another_kind_are_no_graphs(name):
    assert graph_hashes(Dataset.from_dict({"edges": OTHER_EDGES[name]})) is None


# The rest


@every_objective
@every_tokenizer
def test_batch_size_does_not_matter(objective_name, tokenizer_name):
    trained = half_trained(objective_name, tokenizer_name)
    expected = trained.evaluate()
    for batch_size in (7, 80):
        results = trained.evaluate(batch_size=batch_size)
        assert results["loss"].pop("value") == pytest.approx(expected["loss"]["value"], rel=1e-5)
        assert results["loss"].pop("standard_error") == pytest.approx(expected["loss"]["standard_error"], rel=1e-5)
        assert {name: results[name] for name in results if name != "loss"} == {
            name: expected[name] for name in expected if name != "loss"
        }


def test_progress_bar_changes_no_number():
    trained = half_trained("teacherless", "numeral")
    assert trained.evaluate(description="Evaluating test rows") == trained.evaluate()


def test_tokenized_dataset_is_taken_as_it_is():
    trained = half_trained("teacherless", "numeral")
    tokenized = tokenize_dataset(trained.rows, trained.tokenizer)
    assert trained.evaluate(tokenized) == trained.evaluate()
    shifted = tokenized.map(lambda row: {"completion_ids": [(i + 1) % 8 for i in row["completion_ids"]]})
    with pytest.raises(ValueError, match="completion_ids are not what this tokenizer makes of"):
        trained.evaluate(shifted)
    ids = shifted.remove_columns(["prompt", "completion"])
    results = evaluate(trained.model, ids, trained.objective.decoding, trained.tokenizer)
    assert results["accuracy"]["value"] == 0.0


def test_dropout_is_off_and_the_mode_of_the_model_restored():
    tokenizer = numeral_tokenizer(num_nodes=8)
    model, decoding = small_gpt2(tokenizer, resid_pdrop=0.5), "parallel"
    rows = star_graphs("d2_l3_n8", 10)
    first, second = evaluate(model.train(), rows, decoding, tokenizer), evaluate(model, rows, decoding, tokenizer)
    assert model.training
    assert first == second == evaluate(model.eval(), rows, decoding, tokenizer)
    assert not model.training


def test_only_loss_and_accuracy_unless_numbers_per_node_are_wanted():
    trained = half_trained("teacherless", "numeral")
    results = trained.evaluate()
    assert trained.evaluate(per_part=False) == {name: results[name] for name in ("loss", "accuracy")}


def test_numbers_per_part_are_left_out_without_a_task():
    trained = half_trained("teacher_forced", "numeral")
    results = evaluate(trained.model, trained.rows, trained.objective.decoding, trained.tokenizer)
    assert set(results) == {"loss", "accuracy"}
    of_parts = {f"{forced}{name}_accuracy" for forced in ("", "forced_") for name in ("token", "hard_token")}
    assert set(trained.evaluate()) - set(results) == of_parts


def test_empty_dataset_is_refused():
    trained = half_trained("teacherless", "numeral")
    with pytest.raises(ValueError, match="cannot evaluate on an empty dataset"):
        trained.evaluate(trained.rows.select([]))


def test_node_is_right_when_all_its_tokens_are():
    correct_tokens = np.array([[True, False, True, True, True], [True, True, False, True, False]])
    node_of_token = np.array([[0, 0, 1, 1, -1], [0, 0, 1, 1, -1]])
    np.testing.assert_array_equal(correct_nodes(correct_tokens, node_of_token), [[0, 1], [1, 0]])


REFUSED = {
    "stream": (star_graphs("d2_l2_n8", 4).to_iterable_dataset(), "needs a map-style dataset"),
    "empty completion": (Dataset.from_list([{"prompt": "1=", "completion": ""}]), "has no tokens"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_measured_is_refused(case):
    dataset, message = REFUSED[case]
    tokenizer = numeral_tokenizer(num_nodes=8)
    with pytest.raises(ValueError, match=message):
        evaluate(small_gpt2(tokenizer), dataset, "parallel", tokenizer)


def test_answers_with_different_numbers_of_parts_have_no_number_for_each_part():
    tokenizer, rows = (
        numeral_tokenizer(num_nodes=8),
        [{"prompt": "1=", "completion": text} for text in ("1,2", "1,2,3")],
    )
    results = evaluate(small_gpt2(tokenizer), Dataset.from_list(rows), "parallel", tokenizer, StarGraph(2, 3, 8))
    assert results["token_accuracy"] is None
    assert results["hard_token_accuracy"]["n"] == 2  # the node next to the start


class Answering(torch.nn.Module):
    """A causal LM that writes given answers, whatever it is asked."""

    def __init__(self, tokenizer, answers):
        super().__init__()
        self.tokenizer, self.answers, self.generation_config = tokenizer, answers, GenerationConfig()
        self.anything = torch.nn.Parameter(torch.zeros(1))

    def forward(self, input_ids, attention_mask=None, logits_to_keep=0):
        logits = torch.zeros(*input_ids.shape, len(self.tokenizer))
        return SimpleNamespace(logits=logits[:, -logits_to_keep:])

    def generate(self, prompts, max_new_tokens, **options):
        texts = [self.answers[prompt] for prompt in self.tokenizer.batch_decode(prompts)]
        ids = [self.tokenizer(text)["input_ids"] + [self.tokenizer.eos_token_id] for text in texts]
        written = [row + [self.tokenizer.pad_token_id] * (max_new_tokens - len(row)) for row in ids]
        return torch.cat([prompts, torch.tensor(written)], dim=1)


def test_where_a_prompt_has_many_answers_the_verifier_decides():
    task = Pairs(largest=99)
    tokenizer = task_tokenizer(task)
    totals = [17, 40, 55, 98]
    columns = {"total": totals, "first": [9, 12, 55, 50], "prompt": [f"{total}=" for total in totals]}
    rows = Dataset.from_dict(columns | {"completion": ["9+8", "12+28", "55+0", "50+48"]})
    # Another right answer, the one in the row, a wrong one, and nonsense.
    model = Answering(tokenizer, dict(zip(columns["prompt"], ["0+17", "12+28", "5+5", "9"], strict=True)))
    results = evaluate(model, rows, "autoregressive", tokenizer, task)
    assert results["accuracy"]["value"] == 0.5
    assert set(results) == {"loss", "accuracy"}
    assert evaluate(model, rows, "autoregressive", tokenizer)["accuracy"]["value"] == 0  # by one pass, which knows one


def test_what_a_task_counts_beside_its_score_is_averaged():
    task = Countdown(3)
    tokenizer = task_tokenizer(task)
    prompt, completion = "14,83,3,23|", "83-14=69,69/3=23"
    columns = {"prompt": [prompt, "1" + prompt], "numbers": [[14, 83, 3], [114, 83, 3]], "target": [23, 23]}
    rows = Dataset.from_dict(columns | {"completion": [completion] * 2})
    model = Answering(tokenizer, {prompt: completion, "1" + prompt: "114-83=31,31-3=2"})
    results = evaluate(model, rows, "autoregressive", tokenizer, task)
    assert (results["accuracy"]["value"], results["valid_equations"]["value"]) == (0.5, 0.75)
    assert results["valid_equations"]["num_graphs"] == results["accuracy"]["num_graphs"] == 1  # one target
    assert set(evaluate(model, rows, "autoregressive", tokenizer, task, per_part=False)) == {"loss", "accuracy"}


# What is evaluated


@pytest.mark.parametrize("form", ["arrow", "numpy", "torch", "pandas"])
def test_rows_of_any_format_give_the_same_numbers(form):
    # Reported in public of datasets in another format: a TypeError.
    trained = half_trained("teacherless", "numeral")
    assert trained.evaluate(trained.rows.with_format(form)) == trained.evaluate()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("d2_l3_n8", "rows must be a Dataset or an IterableDataset, got 'd2_l3_n8': load one split"),
        ({"test": 1}, "got a dictionary of test: load one split"),
        (Dataset.from_dict({"prompt": ["1=" * 60], "completion": ["2"]}), "a row has .* tokens, but the model has"),
        (
            Dataset.from_dict({"prompt_ids": [[1], [2]], "completion_ids": [[1, 10, 2], [3, 4, 10]]}),
            r"completion_ids of row 0 go on behind the end token .*, where a model stops to write",
        ),
    ],
)
def test_what_cannot_be_evaluated_is_named(rows, words):
    tokenizer = digit_tokenizer()
    if isinstance(rows, Dataset) and "prompt_ids" in rows.column_names:
        end = tokenizer.eos_token_id
        rows = rows.map(lambda row: {"completion_ids": [end if i == 10 else i for i in row["completion_ids"]]})
    with pytest.raises(ValueError, match=words):
        evaluate(small_gpt2(tokenizer), rows, "autoregressive", tokenizer)


def test_a_task_needs_the_texts_of_completions():
    tokenizer = numeral_tokenizer(num_nodes=8)
    ids = Dataset.from_dict({"prompt_ids": [[1]], "completion_ids": [[2]]})
    with pytest.raises(ValueError, match="has no column completion, whose texts are what star_graph scores"):
        evaluate(small_gpt2(tokenizer), ids, "autoregressive", tokenizer, StarGraph(2, 3, 8))


def test_a_model_without_embeddings_for_a_token_is_told_so():
    few, many = numeral_tokenizer(num_nodes=8), numeral_tokenizer(num_nodes=30)
    rows = Dataset.from_dict({"prompt": ["25="], "completion": ["2"]})
    with pytest.raises(ValueError, match="has the id 32, but the model has 13 embeddings"):
        evaluate(small_gpt2(few), rows, "autoregressive", many)
