"""What the numbers of a record mean, in words: pages and the reference page show the same."""

from collections.abc import Mapping, Sequence
from typing import Any

from hf_nextfail.diagnoses import Definition, PathDiagnosis, StarGraphDiagnosis, definitions_of
from hf_nextfail.metrics import CREATIVITY
from hf_nextfail.reporting.markdown import code, plain, table
from hf_nextfail.reporting.record import Record
from hf_nextfail.reporting.tables import further_results

#: The numbers of `results` in a results.json: what each is, and what guessing an arm gives.
RESULTS = {
    "loss": (
        "cross-entropy of the completion, in nats per token; none for a model that writes by inserting, since no one "
        "pass says how likely a token is",
        "-",
    ),
    "accuracy": (
        "the whole completion right, greedy and free-running, the end token included where there is one",
        "1/d",
    ),
    "token_accuracy": (
        "each node right, free-running; one value a node, and none where paths have several lengths",
        "see below",
    ),
    "hard_token_accuracy": (
        "the first node that needs a plan right, free-running, over the rows that have one; of star graphs the node "
        "next to the start",
        "1/d; on reversed paths no guess is needed, unless several edges lead to a node",
    ),
    "forced_token_accuracy": ("each node right, with the true previous tokens shown; one value a node", "see below"),
    "forced_hard_token_accuracy": (
        "the first node that needs a plan right, with the true previous tokens shown",
        "1/d",
    ),
    "answer_rate": ("asked in plain English: the model writes one path, right or wrong", "-"),
    "choice_accuracy": (
        "asked in plain English: of the first steps, one into each arm, the right one is the likeliest behind the "
        "prompt and the first node: the hard token without any reasoning",
        "1/d",
    ),
    "choice_mass": ("asked in plain English: the probability of all these steps together", "-"),
    **{name: (f"{meaning}; of creative tasks", "-") for name, meaning in CREATIVITY.items()},
    "valid_equations": ("equations that are valid, of those written and those missing; of `countdown`", "-"),
}

#: Where the rows of a number come from, by the beginning of its name.
PREFIXES = {
    "": "the split that was measured: after training, the test split, scored once",
    "train_": "first training rows, at most 10,000 and no more than test rows: a model can fit them and still fail",
    "test_file_": "the file of `--test_file`, in the format of the paper's authors",
}

#: What a written path of each of `KINDS` is.
KIND_MEANINGS = {
    "right arm": "the arm that ends at the goal, from end to end",
    "wrong arm": "another arm of the graph, from end to end",
    "wrong arm to the goal": "a wrong arm, with the goal (which stands in the prompt) as its last node",
    "jump": "different nodes of the graph, and somewhere no edge leads from one to the next",
    "repeated node": "a node of the graph twice",
    "not a node": "something else than a node of this graph",
    "wrong length": "more or fewer nodes than the right path has",
}


def definition_rows(definitions: Mapping[str, Definition]) -> list[list[str]]:
    """Lay out what numbers mean as rows of Markdown."""
    return [[code(name), *map(plain, definition)] for name, definition in definitions.items()]


def meanings(records: Sequence[Record]) -> list[str]:
    """Say what the results mean that only some tasks have."""
    names = dict.fromkeys(name for record in records for name in further_results(record))
    return [f"{code(name)}: {RESULTS[name][0]}." for name in names if name in RESULTS]


def definitions_tables(diagnoses: Sequence[dict[str, Any]]) -> dict[str, str | None]:
    """Lay out what the numbers of diagnoses mean, a table for star graphs and one for other paths."""
    used = [definitions_of(diagnosis) for diagnosis in diagnoses]
    tables = {"definitions_table": StarGraphDiagnosis, "path_definitions_table": PathDiagnosis}
    headings = ["number", "what is counted", "chance", "plans", "Clever Hans", "errors add up"]
    return {
        name: table(headings, definition_rows(kind.definitions), left=6) if kind.definitions in used else None
        for name, kind in tables.items()
    }
