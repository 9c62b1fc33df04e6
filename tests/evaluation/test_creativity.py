"""Models of which it is known what they write: trained on, the same again, all different."""

import pytest
import torch
from datasets import load_dataset
from known_rows import rows_of
from tiny_models import tiny_gpt2

from hf_nextfail.data.builder import TaskConfig
from hf_nextfail.data.trained_rows import MOST_ROWS
from hf_nextfail.data.word_tokenizer import task_tokenizer
from hf_nextfail.decoding import DECODINGS, Decoding
from hf_nextfail.evaluation.creativity import Sampling, measure_creativity
from hf_nextfail.evaluation.evaluate import evaluate, evaluate_all
from hf_nextfail.metrics import CREATIVITY
from hf_nextfail.tasks import TASKS, CreativeTask, SiblingDiscovery, StarGraph

CREATIVE = [name for name, kind in TASKS.items() if issubclass(kind, CreativeTask)]
NUM_TRAIN = 10_100  # more than a shard


class Writing(Decoding):
    """Write what one was told, one text after the other."""

    name, shows_true_tokens, one_pass_exact, scores_tokens = "writing", False, False, False

    def __init__(self, tokenizer, texts):
        super().__init__(tokenizer)
        self.ids = iter(tokenizer(texts)["input_ids"])

    def view(self, rows):
        raise NotImplementedError

    def write(self, model, rows, num_tokens, temperature, generator):
        written = [next(self.ids) for _ in range(len(rows))]
        return torch.tensor([ids + [self.pad_token_id] * (num_tokens - len(ids)) for ids in written])


def dataset_of(task, num_rows=30):
    sizes = {"num_train": 0, "num_validation": 0, "num_test": num_rows}
    return load_dataset(f"nextfail/{task.name}", task.config_name, split="test", **sizes)


def measured(task, texts, trained):
    tokenizer = task_tokenizer(task)
    model = tiny_gpt2(tokenizer)
    sampling = Sampling(num_samples=len(texts))
    numbers = measure_creativity(
        model, dataset_of(task), Writing(tokenizer, texts), tokenizer, task, trained, sampling, batch_size=32
    )
    return {name: number and number["value"] for name, number in numbers.items()}


@pytest.mark.parametrize("name", CREATIVE)
def test_known_models(name):
    task = TASKS[name]()
    trained = TaskConfig(task=task, num_train=NUM_TRAIN, seed=3)
    table = load_dataset(f"nextfail/{name}", split="train", seed=3, num_train=NUM_TRAIN, num_validation=0, num_test=0)
    old = table["completion"][-60:]  # of the second shard
    new = list({task.canonical(row["completion"]): row["completion"] for row in rows_of(task, 80, "test")}.values())
    of_all = dict(zip(CREATIVITY, (1, 1, 1, 1), strict=True))
    assert measured(task, new, trained) == of_all
    assert measured(task, new[:1] * 60, trained) == of_all | {"creativity": 1 / 60, "different_share": 1 / 60}
    assert measured(task, old, trained) == {
        "creativity": 0,
        "coherent_share": 1,
        "new_share": 0,
        "different_share": None,
    }
    assert measured(task, old, TaskConfig(task=task, num_train=1, seed=4))["new_share"] > 0.9
    mixed = measured(task, old[:20] + new[:20] + new[:10] + ["0,0,0", "0"] * 5, trained)
    assert mixed == pytest.approx(
        {"creativity": 20 / 60, "coherent_share": 50 / 60, "new_share": 30 / 50, "different_share": 20 / 30}
    )
    for nobody_knows in (None, TaskConfig(task=task, num_train=MOST_ROWS + 1)):
        numbers = measured(task, new, nobody_knows)
        assert numbers == dict.fromkeys(CREATIVITY) | {"coherent_share": 1}


def test_the_seed_decides_what_is_drawn_and_only_creative_tasks_are_drawn_from():
    task = SiblingDiscovery(num_parents=2, num_children=10)
    tokenizer = task_tokenizer(task)
    model, trained = tiny_gpt2(tokenizer), TaskConfig(task=task, num_train=20)

    def run(temperature, seed, **options):
        sampling = Sampling(200, temperature, seed)
        subject = (DECODINGS["autoregressive"](tokenizer), task, {"": dataset_of(task)})
        return evaluate_all(model, tokenizer, *subject, 64, False, sampling=sampling, trained=trained, **options)

    first = run(1.0, 0)
    assert set(first) == {"loss", "accuracy", *CREATIVITY}
    assert {name: first[name] for name in ("loss", "accuracy")} == evaluate(
        model, dataset_of(task), "autoregressive", tokenizer, task
    )
    assert first["coherent_share"]["n"] == 200 and 0 < first["coherent_share"]["value"] < 1
    assert run(1.0, 0) == run(1.0, 0, shared=True) == first
    assert run(1.0, 1) != first
    assert run(0.0, 0) == run(0.0, 1)
    assert run(0.0, 0)["coherent_share"]["value"] in (0, 1)  # greedily, one prompt has one answer


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_samples": 0}, "num_samples must be an integer >= 1, got 0"),
        ({"temperature": -0.1}, "temperature must be at least 0 and finite, got -0.1"),
        ({"temperature": float("inf")}, "temperature must be at least 0 and finite, got inf"),
        ({"temperature": float("nan")}, "temperature must be at least 0 and finite, got nan"),
        ({"seed": -1}, "seed must be an integer >= 0, got -1"),
    ],
)
def test_bad_ways_to_draw_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Sampling(**options)


def test_drawing_goes_with_creative_tasks():
    assert Sampling.of(SiblingDiscovery(), None, 0.7, 5) == Sampling(temperature=0.7, seed=5)
    assert Sampling.of(StarGraph(), None, None, None) is Sampling.of(None, None, None, None) is None
    with pytest.raises(ValueError, match=r"num_samples goes with creative tasks, .* not with star_graph"):
        Sampling.of(StarGraph(), 10, None, None)
    with pytest.raises(ValueError, match=r"temperature goes with creative tasks, .* not with data of your own"):
        Sampling.of(None, None, 0.0, None)
    with pytest.raises(ValueError, match=r"seed goes with creative tasks, .* not with star_graph"):
        Sampling.of(StarGraph(), None, None, 0)
