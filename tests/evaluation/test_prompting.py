"""Models that answer in plain English by a rule, whose numbers are known."""

import re

import pytest
import torch
from datasets import Dataset
from known_models import KnownConfig, almost_even, chosen
from known_rows import rows_of
from small_tokenizers import split_digits, whole_numbers
from torch import nn
from transformers import GenerationConfig, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from hf_nextfail.evaluation.prompting import Prompting, choice_rows, evaluate_prompted
from hf_nextfail.tasks import StarGraph
from hf_nextfail.tasks.star_graph_instruct import ARROW, first_steps
from hf_nextfail.tasks.star_graph_text import arms_of

TASK = StarGraph(3, 3, 30, style="instruct")
NUM_ROWS = 30
CHAT = "{% for message in messages %}<{{ message.role }}>{{ message.content }}\n{% endfor %}<assistant>"
ASKED = re.compile(
    r"edges:\n(?P<edges>[^\n]*)\nFind[^\n]*node (?P<start>\d+) to node (?P<goal>\d+)\.[^\n]*\n(?:<assistant>)?"
)


class EnglishModel(PreTrainedModel, GenerationMixin):
    """Answers the last problem of its prompt with one of some texts, as likely as `answers` says."""

    config_class = KnownConfig

    def __init__(self, tokenizer, before="", behind=""):
        super().__init__(KnownConfig(vocab_size=len(tokenizer)))
        self.tokenizer, self.before, self.behind = tokenizer, before, behind
        self.nothing = nn.Parameter(torch.zeros(()))
        self.post_init()

    def paths(self, prompt, arms, goal) -> dict[tuple[int, ...], float]:
        raise NotImplementedError

    def next_token(self, ids):
        text = self.tokenizer.decode(ids)
        *_, asked = ASKED.finditer(text)
        edges = [tuple(map(int, edge.split(ARROW))) for edge in asked["edges"].split(", ")]
        arms = arms_of(edges, int(asked["start"]))
        weights = {}
        for path, weight in self.paths(asked["edges"], arms, int(asked["goal"])).items():
            bare = ARROW.join(map(str, path))
            # Whoever begins with a node is not talked into a sentence.
            before = "" if text[asked.end() :][:1].isdigit() else self.before
            answer = text[: asked.end()] + before + bare + self.behind
            tokens = [*self.tokenizer(answer, add_special_tokens=False)["input_ids"], self.tokenizer.eos_token_id]
            if tokens[: len(ids)] == ids and len(tokens) > len(ids):
                weights[tokens[len(ids)]] = weights.get(tokens[len(ids)], 0.0) + weight
        return weights or {self.tokenizer.eos_token_id: 1.0}

    def forward(self, input_ids, attention_mask=None, logits_to_keep=0, **unused):
        width = input_ids.shape[1]
        first = width - logits_to_keep if logits_to_keep else 0
        values = torch.full((len(input_ids), width - first, self.config.vocab_size), 1e-9)
        for row, ids in enumerate(input_ids.tolist()):
            begin = 0 if attention_mask is None else int(attention_mask[row].argmax())
            for place in range(first, width):
                shown = ids[begin : place + 1]
                if attention_mask is not None and not attention_mask[row, place]:
                    continue
                if "Find" in (text := self.tokenizer.decode(shown)) and ASKED.search(text):
                    weights = self.next_token(shown)
                    for token, weight in weights.items():
                        values[row, place - first, token] += weight / sum(weights.values())
        return CausalLMOutput(logits=values.log() + self.nothing)

    def prepare_inputs_for_generation(self, input_ids, attention_mask=None, **unused):
        return {"input_ids": input_ids, "attention_mask": attention_mask, "logits_to_keep": 1}


class Knows(EnglishModel):
    def paths(self, prompt, arms, goal):
        return {tuple(next(arm for arm in arms if arm[-1] == goal)): 1.0}


class Guesses(EnglishModel):
    """Walks along an arm, whichever."""

    def paths(self, prompt, arms, goal):
        return almost_even(map(tuple, arms), tuple(chosen(arms, prompt)))


class Misses(EnglishModel):
    """Goes to the goal at once: names none of the first steps."""

    def paths(self, prompt, arms, goal):
        return {(arms[0][0], goal): 1.0}


def asked(
    kind, num_shots=0, chat=False, tokenizer=whole_numbers, task=TASK, num_rows=NUM_ROWS, max_new_tokens=60, **texts
):
    tokenizer = tokenizer()
    tokenizer.chat_template = CHAT if chat else None
    tokenizer.pad_token = tokenizer.eos_token
    prompting = Prompting(rows_of(task, num_shots) if num_shots else [], chat, max_new_tokens)
    rows = Dataset.from_list(rows_of(task, num_rows, "test"))
    results = evaluate_prompted(kind(tokenizer, **texts), tokenizer, task, rows, prompting, batch_size=16)
    return {name: result and result["value"] for name, result in results.items()}, results


@pytest.mark.parametrize(
    ("num_shots", "chat", "tokenizer"), [(0, False, split_digits), (2, False, whole_numbers), (1, True, whole_numbers)]
)
def test_who_knows_is_right_everywhere(num_shots, chat, tokenizer):
    values, results = asked(Knows, num_shots, chat, tokenizer, num_rows=8)
    assert values == pytest.approx({"accuracy": 1, "answer_rate": 1, "choice_accuracy": 1, "choice_mass": 1}, abs=1e-4)
    assert results["accuracy"]["n"] == results["choice_accuracy"]["num_graphs"] == 8


def test_who_guesses_an_arm_is_right_in_one_of_d_rows():
    values, results = asked(Guesses)
    assert (
        values["accuracy"] == values["choice_accuracy"]
    )  # greedily it writes the arm that it holds for the likeliest
    assert abs(values["accuracy"] - 1 / 3) < 3 * results["accuracy"]["standard_error"]
    assert values["choice_mass"] == pytest.approx(1, abs=1e-4)
    assert values["answer_rate"] == 1


def test_who_names_no_first_step_has_no_mass_there():
    values, _ = asked(Misses, num_rows=4)
    assert values["accuracy"] == 0
    assert values["answer_rate"] == 1  # a path, and a wrong one
    assert values["choice_mass"] < 1e-3


def test_a_sentence_around_the_answer_is_read_and_examples_end_at_a_blank_line():
    values, _ = asked(Knows, before="The path is ", behind=", I think.", num_rows=4)
    assert (values["accuracy"], values["choice_accuracy"]) == (1, 1)
    rambling = "\n\nA directed graph has these edges:\n1 -> 2"
    assert asked(Knows, 1, behind=rambling, num_rows=3)[0]["accuracy"] == 1
    assert asked(Knows, 0, behind=rambling, num_rows=3)[0]["accuracy"] == 0  # its last word is another path


def test_reversed_paths_have_no_choice():
    values, _ = asked(Knows, task=StarGraph(2, 3, 20, reverse=True, style="instruct"), num_rows=2, max_new_tokens=1)
    assert values == {"accuracy": 0, "answer_rate": 0, "choice_accuracy": None, "choice_mass": None}


def test_paths_of_two_nodes_end_with_the_choice():
    short = StarGraph(3, 2, 30, style="instruct")
    for num_shots in (0, 1):
        values, _ = asked(Knows, num_shots, task=short, num_rows=4)
        assert (values["accuracy"], values["choice_accuracy"]) == (1, 1)
    row = rows_of(short, 1)[0] | {"completion": "5 -> 1", "edges": [[5, 1], [5, 12], [5, 13]]}
    shared, steps = choice_rows(Prompting([], False, 9), split_digits(), row)
    assert shared[0] == shared[1] == shared[2]
    assert len({tuple(ids) for ids in steps}) == 3
    assert steps[0][-1] == steps[1][-1] == split_digits().eos_token_id
    assert first_steps(row) == ("5 ->", [" 1", " 12", " 13"])


def test_a_model_writes_with_its_own_end_tokens_and_greedily_and_keeps_its_settings():
    tokenizer = whole_numbers()
    tokenizer.pad_token = tokenizer.eos_token
    model = Knows(tokenizer, behind=".\n7")
    stop = tokenizer(".")["input_ids"][-1]
    model.generation_config = settings = GenerationConfig(eos_token_id=[stop], do_sample=True, temperature=9.0)
    rows = Dataset.from_list(rows_of(TASK, 3, "test"))
    results = evaluate_prompted(model, tokenizer, TASK, rows, Prompting([], False, 60))
    assert results["accuracy"]["value"] == 1  # without its end token it goes on to a lone 7
    assert model.generation_config is settings
    assert asked(Knows, behind=".\n7", num_rows=3)[0]["accuracy"] == 0


def test_no_chat_template_and_no_room_are_one_line():
    tokenizer = whole_numbers()
    tokenizer.pad_token = tokenizer.eos_token
    model, rows = Knows(tokenizer), Dataset.from_list(rows_of(TASK, 2))
    with pytest.raises(ValueError, match="no chat template"):
        evaluate_prompted(model, tokenizer, TASK, rows, Prompting([], True, 5))
    model.config.max_position_embeddings = 30
    with pytest.raises(ValueError, match="the model has 30 positions"):
        evaluate_prompted(model, tokenizer, TASK, rows, Prompting([], False, 5))
