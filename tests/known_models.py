"""Models whose answers are known: each reads the graph in its prompt and writes what a rule says, in any tokens.

A rule says how likely each label is as the next node of a completion. Where a node takes several tokens, the chain
rule turns that into probabilities of tokens: of the separator or end token, too.
"""

import hashlib
import itertools
from dataclasses import dataclass

import torch
from torch import nn
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import CausalLMOutput

from hf_nextfail.data.numeral_tokenizer import numeral_tokenizer
from hf_nextfail.data.tokenization import end_token_id

REST = 1e-9  # what a token keeps that a rule gives nothing
EDGE = 1e-4  # by which the likeliest of equals is likelier


def draw(*things) -> float:
    """A number from 0 to 1 that looks random and is a function of what it is drawn for."""
    digest = hashlib.blake2b("\n".join(map(str, things)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def chosen(candidates, *things):
    """One of the candidates, drawn for these things."""
    return candidates[int(draw(*things) * len(candidates))]


@dataclass(frozen=True)
class Graph:
    """A star graph as a prompt tells it, in the direction in which its path is written."""

    prompt: str
    arms: tuple[tuple[int, ...], ...]  # in the order of their first edges
    goal: int
    reverse: bool

    @classmethod
    def read(cls, prompt: str, reverse: bool) -> "Graph":
        edges, _, ends = prompt.removesuffix("=").partition("/")
        edges = [tuple(map(int, edge.split(","))) for edge in edges.split("|")]
        start, goal = map(int, ends.split(","))
        after, arms = {a: b for a, b in edges if a != start}, []
        for source, target in edges:
            if source == start:
                arms.append([start, target])
                while arms[-1][-1] in after:
                    arms[-1].append(after[arms[-1][-1]])
        return cls(prompt, tuple(tuple(arm[::-1] if reverse else arm) for arm in arms), goal, reverse)

    @property
    def path(self) -> tuple[int, ...]:
        return next(arm for arm in self.arms if self.goal in (arm[0], arm[-1]))

    def wrong_arms(self) -> list[tuple[int, ...]]:
        return [arm for arm in self.arms if arm != self.path]

    def next_on_arm(self, node: int) -> int:
        """The node that follows along an arm, and any where none does."""
        return next((b for arm in self.arms for a, b in itertools.pairwise(arm) if a == node), self.path[0])


class KnownConfig(PretrainedConfig):
    model_type = "known"
    num_hidden_layers = 1  # `generate` makes a cache of as many, which nothing fills


class KnownModel(PreTrainedModel, GenerationMixin):
    """The rest of every known model; a rule is its `next_node`.

    Args:
        num_nodes (`int`): the labels there are.
        reverse (`bool`): whether it writes from the goal to the start.
        tokenizer: by default the paper's.
    """

    config_class = KnownConfig

    def __init__(self, num_nodes: int, reverse: bool = False, tokenizer: PreTrainedTokenizerBase | None = None):
        tokenizer = tokenizer or numeral_tokenizer(num_nodes)
        super().__init__(KnownConfig(vocab_size=len(tokenizer)))
        self.num_nodes, self.reverse, self.tokenizer = num_nodes, reverse, tokenizer
        self.nothing = nn.Parameter(torch.zeros(()))
        self.equals = self.ids_of("=")[-1]
        self.lead = self.ids_of("0")[:-1]  # what some tokenizers put before every text
        self.separator = self.ids_of("0,0")[len(self.lead) + 1 : -1]
        end = end_token_id(tokenizer)
        self.end = [] if end is None else [end]
        self.label_ids = {label: self.ids_of(str(label))[len(self.lead) :] for label in range(num_nodes)}
        self.labels = {tuple(ids): label for label, ids in self.label_ids.items()}
        self.graphs: dict[tuple[int, ...], Graph] = {}
        self.post_init()

    def next_node(self, graph: Graph, nodes: list[int | None]) -> dict[int, float]:
        """How likely each label is after the nodes shown, up to a factor."""
        raise NotImplementedError

    def ids_of(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def graph_of(self, ids: list[int]) -> Graph:
        if (key := tuple(ids)) not in self.graphs:
            text = self.tokenizer.decode(ids, skip_special_tokens=True)
            self.graphs[key] = Graph.read(text, self.reverse)
        return self.graphs[key]

    def nodes_and_rest(self, shown: list[int]) -> tuple[list[int | None], list[int]]:
        """The nodes that are shown in full, and the tokens of one that is not; a dummy is the node `None`."""
        if not self.separator:
            return [self.labels.get((token,)) for token in shown], []
        nodes, rest = [], []
        for token in shown:
            if [token] == self.separator:
                nodes.append(self.labels.get(tuple(rest)))
                rest = []
            else:
                rest.append(token)
        return nodes, rest

    def next_token(self, graph: Graph, shown: list[int]) -> dict[int, float]:
        if len(shown) < len(self.lead):
            return {self.lead[len(shown)]: 1.0}
        nodes, rest = self.nodes_and_rest(shown[len(self.lead) :])
        if len(nodes) >= len(graph.path):  # nothing more is due
            return {}
        weights: dict[int, float] = {}
        for label, weight in self.next_node(graph, nodes).items():
            tokens = self.label_ids[label] + (self.end if len(nodes) == len(graph.path) - 1 else self.separator)
            if tokens[: len(rest)] == rest and len(tokens) > len(rest):
                token = tokens[len(rest)]
                weights[token] = weights.get(token, 0.0) + weight
        return weights

    def forward(self, input_ids, attention_mask=None, logits_to_keep=0, **unused) -> CausalLMOutput:
        rows = input_ids.tolist()
        width = len(rows[0])
        first_kept = width - logits_to_keep if logits_to_keep else 0
        values = torch.full((len(rows), width - first_kept, self.config.vocab_size), REST)
        for row, ids in enumerate(rows):
            ends = ids.index(self.equals) + 1
            graph = self.graph_of(ids[:ends])
            for position in range(max(ends - 1, first_kept), width):
                weights = self.next_token(graph, ids[ends : position + 1])
                total = sum(weights.values())
                for token, weight in weights.items():
                    values[row, position - first_kept, token] += weight / total
        return CausalLMOutput(logits=values.log() + self.nothing)

    def prepare_inputs_for_generation(self, input_ids, attention_mask=None, **unused):
        return {"input_ids": input_ids, "attention_mask": attention_mask}


def almost_even(candidates, favourite) -> dict[int, float]:
    """All equally likely, the favourite by a hair more."""
    return {label: 1.0 + EDGE * (label == favourite) for label in candidates}


class Oracle(KnownModel):
    """Writes the right path, whatever stands before: out of a wrong arm it turns to the goal.

    It needs nothing but the prompt and the position, and so it is a teacherless oracle as well.
    """

    def next_node(self, graph, nodes):
        return {graph.path[len(nodes)]: 1.0}


class ReversedOracle(Oracle):
    """Writes the right path from the goal to the start."""

    def __init__(self, num_nodes, reverse=True, tokenizer=None):
        super().__init__(num_nodes, reverse, tokenizer)


class EdgeFollower(KnownModel):
    """Knows the first step, and follows edges from there, out of whatever node stands before."""

    def first_step(self, graph) -> dict[int, float]:
        return {graph.path[1]: 1.0}

    def next_node(self, graph, nodes):
        if not nodes:
            return {graph.path[0]: 1.0}
        return self.first_step(graph) if len(nodes) == 1 else {graph.next_on_arm(nodes[-1]): 1.0}


class CleverHans(EdgeFollower):
    """Follows edges, and guesses the first: each of the start's neighbours is as likely, one by a hair more."""

    @staticmethod
    def guess(neighbours, prompt):
        return chosen(neighbours, prompt, "guess")

    def first_step(self, graph):
        if graph.reverse:  # one edge leads to the goal
            return super().first_step(graph)
        neighbours = [arm[1] for arm in graph.arms]
        return almost_even(neighbours, self.guess(neighbours, graph.prompt))


class Memoriser(CleverHans):
    """The same, and sure of its guess."""

    def first_step(self, graph):
        weights = super().first_step(graph)
        return {max(weights, key=weights.get): 1.0}


class UniformGuesser(KnownModel):
    """Has learnt nothing: every label is as likely at every place, one of them by a hair more."""

    def guess(self, prompt, position):
        return chosen(range(self.num_nodes), prompt, position)

    def next_node(self, graph, nodes):
        return almost_even(range(self.num_nodes), self.guess(graph.prompt, len(nodes)))


class GraphGuesser(KnownModel):
    """Has learnt which labels occur in its prompt, and nothing else."""

    def next_node(self, graph, nodes):
        occurring = sorted({node for arm in graph.arms for node in arm})
        return almost_even(occurring, chosen(occurring, graph.prompt, len(nodes)))


class ErringOracle(KnownModel):
    """An oracle that errs with one probability at each node but the first, whatever it wrote before.

    Args:
        error (`float`): the probability.
        together (`bool`): err in a row at all of these places or at none.
    """

    def __init__(self, num_nodes, error, together=False, reverse=False, tokenizer=None):
        super().__init__(num_nodes, reverse, tokenizer)
        self.error, self.together = error, together

    def errs(self, prompt, position):
        return position > 0 and draw(prompt, 0 if self.together else position) < self.error

    def next_node(self, graph, nodes):
        position = len(nodes)
        right = graph.path[position]
        if not self.errs(graph.prompt, position):
            return {right: 1.0}
        return {(right + 1 + int(draw(graph.prompt, position, "label") * (self.num_nodes - 1))) % self.num_nodes: 1.0}


class NearGoalOracle(KnownModel):
    """A teacherless model that knows the nodes next to the goal, and the start; between them it is on another arm.

    Args:
        known (`int`): the nodes that it knows, the goal among them.
        guesses (`bool`): be on any arm instead, drawn anew at each place.
    """

    def __init__(self, num_nodes, known, guesses=False, reverse=False, tokenizer=None):
        super().__init__(num_nodes, reverse, tokenizer)
        self.known, self.guesses = known, guesses

    def knows(self, position, path_length):
        from_goal = position if self.reverse else path_length - 1 - position
        return from_goal < self.known or from_goal == path_length - 1

    def next_node(self, graph, nodes):
        position = len(nodes)
        if self.knows(position, len(graph.path)):
            return {graph.path[position]: 1.0}
        arms = graph.arms if self.guesses else graph.wrong_arms()
        return {chosen(arms, graph.prompt, position)[position]: 1.0}
