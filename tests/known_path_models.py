"""Models of path tasks whose answers are known: each reads the graph in its prompt, and walks as a rule says.

They take the tokenizer of their task, one token a word. A rule says how likely each node is as the next one of a path.
"""

from dataclasses import dataclass

import torch
from known_models import REST, KnownConfig, almost_even, chosen, draw
from torch import nn
from transformers import GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from hf_nextfail.data.word_tokenizer import task_tokenizer
from hf_nextfail.tasks import MinimalPlanning, PathTask
from hf_nextfail.tasks.paths import paths_from, successors_of


@dataclass(frozen=True)
class Walks:
    """A graph as a prompt tells it, and the right path, in the order of writing."""

    prompt: str
    after: dict[int, list[int]]
    path: list[int]

    @classmethod
    def read(cls, prompt: str, task: PathTask) -> "Walks":
        between, behind, ends = task.signs
        edges, _, query = prompt.removesuffix(ends).partition(behind)
        start, goal = map(int, query.split(","))
        pairs = [list(map(int, edge.split(","))) for edge in edges.split(between)]
        if task.reverse:
            start, goal, pairs = goal, start, [pair[::-1] for pair in pairs]
        after = successors_of(pairs)
        right = next(path for path in paths_from(after, start) if goal in path)
        return cls(prompt, after, right[: right.index(goal) + 1])


class KnownWalker(PreTrainedModel, GenerationMixin):
    """The rest of every known model of a path task; a rule is its `next_node`."""

    config_class = KnownConfig

    def __init__(self, task: PathTask):
        self.tokenizer = task_tokenizer(task)
        super().__init__(KnownConfig(vocab_size=len(self.tokenizer)))
        self.task, self.nothing = task, nn.Parameter(torch.zeros(()))
        self.words = self.tokenizer.convert_ids_to_tokens(range(len(self.tokenizer)))
        self.graphs: dict[str, Walks] = {}
        self.post_init()

    def next_node(self, graph: Walks, nodes: list[int]) -> dict[int, float]:
        """How likely each node is after those that are shown, up to a factor; nothing at the end of a path."""
        raise NotImplementedError

    def next_word(self, graph: Walks, shown: list[str]) -> dict[str, float]:
        if isinstance(self.task, MinimalPlanning):  # a b / b c / c d
            own = [word for place, word in enumerate(shown) if place == 0 or place % 3 == 1]
            nodes = [int(word) for word in own if word.isdecimal()]
            if len(shown) % 3 == 2:
                return {"/": 1.0}
            if shown and len(shown) % 3 == 0:
                return {str(nodes[-1]): 1.0}
        else:
            nodes = [int(word) for word in shown if word.isdecimal()]
        found = {str(node): weight for node, weight in self.next_node(graph, nodes).items()}
        return found or {self.tokenizer.eos_token: 1.0}

    def forward(self, input_ids, attention_mask=None, logits_to_keep=0, **unused) -> CausalLMOutput:
        rows = input_ids.tolist()
        width = len(rows[0])
        first_kept = width - logits_to_keep if logits_to_keep else 0
        values = torch.full((len(rows), width - first_kept, self.config.vocab_size), REST)
        equals = self.words.index("=")
        for row, ids in enumerate(rows):
            ends = ids.index(equals) + 1
            prompt = self.tokenizer.decode(ids[:ends])
            graph = self.graphs.setdefault(prompt, Walks.read(prompt, self.task))
            for position in range(max(ends - 1, first_kept), width):
                weights = self.next_word(graph, [self.words[token] for token in ids[ends : position + 1]])
                total = sum(weights.values())
                for word, weight in weights.items():
                    values[row, position - first_kept, self.words.index(word)] += weight / total
        return CausalLMOutput(logits=values.log() + self.nothing)

    def prepare_inputs_for_generation(self, input_ids, attention_mask=None, **unused):
        return {"input_ids": input_ids, "attention_mask": attention_mask}


class PathOracle(KnownWalker):
    """Writes the right path by position: out of a wrong branch it turns to the goal."""

    def next_node(self, graph, nodes):
        return {graph.path[len(nodes)]: 1.0} if len(nodes) < len(graph.path) else {}


class WalkingPlanner(KnownWalker):
    """Follows edges, and knows where to turn."""

    def choose(self, graph: Walks, node: int) -> dict[int, float]:
        return {graph.path[graph.path.index(node) + 1]: 1.0}

    def next_node(self, graph, nodes):
        if not nodes:
            return {graph.path[0]: 1.0}
        after = graph.after.get(nodes[-1], [])
        if not after or nodes[-1] == graph.path[-1]:
            return {}
        return {after[0]: 1.0} if len(after) == 1 else self.choose(graph, nodes[-1])


class GuessingWalker(WalkingPlanner):
    """A Clever Hans: follows edges, and guesses where several lead on: one by a hair more."""

    @staticmethod
    def guess(prompt, after, node):
        return chosen(sorted(after), prompt, node, "guess")

    def choose(self, graph, node):
        after = graph.after[node]
        return almost_even(after, self.guess(graph.prompt, after, node))


class SureWalker(GuessingWalker):
    """The same, and sure of its guess."""

    def choose(self, graph, node):
        return {self.guess(graph.prompt, graph.after[node], node): 1.0}


class NodeGuesser(KnownWalker):
    """Has learnt which nodes its prompt has and how long a path is; every node is as likely, one by a hair more."""

    def next_node(self, graph, nodes):
        if len(nodes) == len(graph.path):
            return {}
        return almost_even(graph.after, chosen(sorted(graph.after), graph.prompt, len(nodes)))


class StumblingPlanner(WalkingPlanner):
    """Knows where to turn, and at each node but the first writes another one of the graph with some probability."""

    error = 0.2

    def next_node(self, graph, nodes):
        right = PathOracle.next_node(self, graph, nodes)
        if not nodes or not right or draw(graph.prompt, len(nodes), "errs") >= self.error:
            return right
        others = sorted(set(graph.after) - set(right))
        return {chosen(others, graph.prompt, len(nodes)): 1.0}
