"""Models whose answers are known, led into wrong arms."""

import numpy as np
import pytest
from datasets import load_dataset
from known_models import CleverHans, Oracle, ReversedOracle, UniformGuesser
from small_tokenizers import TOKENIZERS

from hf_nextfail import StarGraph, diagnose
from hf_nextfail.diagnoses import NoDiagnosis
from hf_nextfail.evaluation.leading import lead_astray


def star_graphs(config_name, num_rows=20):
    sizes = {"num_train": num_rows, "num_validation": 0, "num_test": 0}
    return load_dataset("nextfail/star_graph", config_name, split="train", **sizes)


def model_of(rule, config_name, tokenizer=None):
    task = StarGraph.from_config_name(config_name)
    return rule(task.num_nodes, reverse=task.reverse, tokenizer=tokenizer)


def led_by(rule, config_name, tokenizer=None, **options):
    model = model_of(rule, config_name, tokenizer)
    return lead_astray(model, model.tokenizer, star_graphs(config_name), **options)


@pytest.mark.parametrize("name", [None, "split digits"])
def test_who_follows_edges_follows_every_wrong_arm_to_its_end(name):
    tokenizer = None if name is None else TOKENIZERS[name]()
    rows = led_by(CleverHans, "d3_l4_n30", tokenizer, batch_size=7)
    for row, found in zip(star_graphs("d3_l4_n30"), rows, strict=True):
        assert len(found) == 2
        for arm, path, kind in found:
            assert (path, kind) == (arm, "wrong arm")
            assert arm[0] == str(row["start"]) and arm[-1] != str(row["goal"])
            edges = [list(pair) for pair in zip(map(int, arm[:-1]), map(int, arm[1:]), strict=True)]
            assert all(edge in row["edges"] for edge in edges)


def test_who_plans_turns_back_to_the_right_arm():
    for row, ((arm, path, kind),) in zip(star_graphs("d2_l4_n20"), led_by(Oracle, "d2_l4_n20"), strict=True):
        assert path == [*arm[:2], *map(str, row["path"][2:])]
        assert kind == "jump"


def test_backwards_the_first_step_from_the_goal_is_another_arms():
    rows = zip(star_graphs("d2_l4_n20_rev"), led_by(ReversedOracle, "d2_l4_n20_rev"), strict=True)
    for row, ((arm, path, _),) in rows:
        assert arm[-1] == str(row["start"]) and arm[0] != str(row["goal"])
        assert path[2:] == list(map(str, row["path"][1::-1]))


@pytest.mark.parametrize("rule", [CleverHans, Oracle, UniformGuesser])
def test_it_says_what_the_diagnosis_counts(rule):
    config_name = "d2_l5_n20"
    model = model_of(rule, config_name)
    counted = diagnose(model, model.tokenizer, star_graphs(config_name))["numbers"]["counterfactual_accuracy"]
    followed = [path[2:-1] == arm[2:-1] for ((arm, path, _),) in led_by(rule, config_name)]
    assert counted["value"] == np.mean(followed)


def test_a_graph_of_one_arm_has_no_wrong_one():
    assert led_by(CleverHans, "d1_l4_n30") == [[]] * 20


@pytest.mark.parametrize(
    ("config_name", "options", "reason"),
    [
        ("d2_l4_n20", {"decoding": "parallel"}, "with the decoding parallel it is not shown the true previous nodes"),
        ("d2_l2_n20", {}, "paths of 2 nodes end with the first step"),
    ],
)
def test_who_cannot_be_led_is_named(config_name, options, reason):
    with pytest.raises(NoDiagnosis) as caught:
        led_by(Oracle, config_name, **options)
    assert str(caught.value) == reason
