import re

import pytest
from datasets import load_dataset
from known_models import CleverHans, EdgeFollower, GraphGuesser

from hf_nextfail.diagnoses.star_graph_numbers import DEFINITIONS
from hf_nextfail.evaluation.diagnose import diagnose
from hf_nextfail.tasks import StarGraph


def star_graphs(config_name):
    sizes = {"num_train": 300, "num_validation": 0, "num_test": 0}
    return load_dataset("nextfail/star_graph", config_name, split="train", **sizes)


def diagnosis_of(rule, config_name, **options):
    task = StarGraph.from_config_name(config_name)
    model = rule(task.num_nodes, reverse=task.reverse)
    return diagnose(model, model.tokenizer, star_graphs(config_name), **options)


@pytest.mark.parametrize("config_name", ["d2_l4_n8", "d2_l2_n8", "d1_l3_n8_rev"])
@pytest.mark.parametrize("decoding", ["autoregressive", "parallel"])
def test_every_number_has_a_definition_and_every_definition_a_number(config_name, decoding):
    diagnosis = diagnosis_of(EdgeFollower, config_name, decoding=decoding)
    assert set(diagnosis["numbers"]) == set(DEFINITIONS)
    assert set(diagnosis["absent"]) < set(DEFINITIONS)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_every_definition_says_everything_in_one_line(name):
    for part in DEFINITIONS[name]:
        assert part and part == part.strip() and "\n" not in part


FORMULAS = {
    "0": lambda d, n, S: 0,
    "1": lambda d, n, S: 1,
    "1/d": lambda d, n, S: 1 / d,
    "1/S": lambda d, n, S: 1 / S,
    "1/S - 1/d": lambda d, n, S: 1 / S - 1 / d,
    "d/S": lambda d, n, S: d / S,
    "d/S^(l - 1)": lambda d, n, S: d / S ** (n - 1),
    "S^-(l - 1)": lambda d, n, S: S ** -(n - 1),
    "S^-(l - 2)": lambda d, n, S: S ** -(n - 2),
    "S^-(l - 3)": lambda d, n, S: S ** -(n - 3),
}


def of_formula(text, task):
    """The value of a formula, or `None` for one in words."""
    formula = FORMULAS.get(text)
    return None if formula is None else formula(task.degree, task.path_length, task.graph_size)


def test_every_formula_of_the_definitions_is_known():
    texts = {
        getattr(definition, field) for definition in DEFINITIONS.values() for field in ("chance", "plans", "cheats")
    }
    formulas = {text for text in texts if not re.search("[a-z]{3}", text)}
    assert formulas == FORMULAS.keys()


def formulas_and_numbers(diagnosis, field, task):
    """Name, what a definition says, and what came out, wherever the definition is a formula."""
    for name, number in diagnosis["numbers"].items():
        expected = of_formula(getattr(DEFINITIONS[name], field), task)
        if expected is not None and number is not None:
            yield name, expected, number


def agrees(expected, number):
    values, errors = number["value"], number["standard_error"]
    if not isinstance(values, list):
        values, errors = [values], [errors]
    return all(abs(value - expected) <= 4 * error + 1e-3 for value, error in zip(values, errors, strict=True))


@pytest.mark.parametrize("config_name", ["d2_l4_n8", "d5_l3_n25", "d5_l4_n25"])
def test_model_that_plans_gets_what_the_definitions_say(config_name):
    found = list(
        formulas_and_numbers(diagnosis_of(EdgeFollower, config_name), "plans", StarGraph.from_config_name(config_name))
    )
    assert len(found) >= 10
    for name, expected, number in found:
        assert agrees(expected, number), name


@pytest.mark.parametrize("config_name", ["d2_l4_n8", "d5_l3_n25", "d5_l4_n25"])
def test_model_that_cheats_gets_what_the_definitions_say(config_name):
    found = list(
        formulas_and_numbers(diagnosis_of(CleverHans, config_name), "cheats", StarGraph.from_config_name(config_name))
    )
    assert {"accuracy", "hard_token_accuracy", "independent_errors_accuracy"} <= {name for name, _, _ in found}
    for name, expected, number in found:
        assert agrees(expected, number), name


# What only a model that reads the graph can get by chance.
NEEDS_THE_GRAPH = ("accuracy", "hard_token_accuracy")


class GuesserAfterTheStart(GraphGuesser):
    """Copies the start out of the prompt, and knows nothing else but which labels occur there."""

    def next_node(self, graph, nodes):
        return super().next_node(graph, nodes) if nodes else {graph.path[0]: 1.0}


def guesser(config_name):
    task = StarGraph.from_config_name(config_name)
    found = formulas_and_numbers(diagnosis_of(GuesserAfterTheStart, config_name), "chance", task)
    return {name: (expected, number) for name, expected, number in found if name not in NEEDS_THE_GRAPH}


@pytest.mark.parametrize("config_name", ["d2_l3_n8", "d5_l2_n25"])
def test_model_that_guesses_gets_what_the_definitions_say(config_name):
    found = guesser(config_name)
    assert {"hard_token_mass", "hard_token_confidence", "independent_errors_accuracy", "valid_path_rate"} <= set(found)
    for name, (expected, number) in found.items():
        # What is rarer than three of the 300 rows has no standard error to speak of.
        if expected > 0.01:
            assert agrees(expected, number), name


def test_guesser_is_as_sure_as_the_definitions_say():
    assert agrees(*guesser("d5_l2_n25")["hard_token_overconfidence"])
