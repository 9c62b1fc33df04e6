"""The scripts for `evaluate` compute what the package does, each alone and all of them combined."""

import ast

import numpy as np
import pytest

from hf_nextfail import StarGraph
from hf_nextfail.files import shipped_folder
from hf_nextfail.metrics import (
    KINDS,
    hard_token_accuracy,
    mean_and_standard_error,
    path_accuracy,
    path_kind,
    token_accuracy,
    valid_path,
)
from hf_nextfail.tasks.star_graph_text import arms_of

NAMES = ["path_accuracy", "hard_token_accuracy", "valid_path_rate"]
SPACES = shipped_folder("hub_cards") / "spaces"
SCRIPTS = {name: (SPACES / name / f"{name}.py").read_text(encoding="utf-8") for name in NAMES}
PROMPT = "3,1|3,5|1,2|5,4/3,2="


@pytest.fixture(scope="module")
def evaluate():
    return pytest.importorskip("evaluate")  # takes seconds


@pytest.fixture(scope="module")
def metrics(evaluate):
    return {name: evaluate.load(str(SPACES / name)) for name in NAMES}


@pytest.fixture
def combined(evaluate, metrics):
    return evaluate.combine(list(metrics.values()))


def random_rows(task: StarGraph, count: int = 300) -> dict[str, list]:
    """Graphs of a task, and what a model may have written: every kind of path, of labels inside and outside of it."""
    draw = np.random.default_rng(0)
    columns = task.sample(draw, count)
    rows = {"prompts": task.to_text(columns)["prompt"].tolist(), "references": [], "predictions": [], "arms": []}
    for edges, start, goal in zip(*(columns[name].tolist() for name in ("edges", "start", "goal")), strict=True):
        arms = [arm[::-1] if task.reverse else arm for arm in arms_of(edges, start)]
        right = next(arm for arm in arms if goal in arm)
        ends = {arm[0 if task.reverse else -1] for arm in arms}
        nodes = sorted({node for arm in arms for node in arm})
        written = [
            right,
            arms[draw.integers(len(arms))],
            [goal if node not in right and node in ends else node for node in arms[draw.integers(len(arms))]],
            [node if draw.random() < 0.7 else int(draw.choice(nodes)) for node in right],
            draw.permutation(nodes)[: len(right)].tolist(),
            draw.integers(2 * task.num_nodes, size=len(right)).tolist(),
            right[: draw.integers(len(right))],
            [*right, start],
            right[::-1],
        ][draw.integers(9)]
        rows["references"].append(right)
        rows["predictions"].append(written)
        rows["arms"].append(arms)
    return rows


TASKS = [
    StarGraph(degree=2, path_length=4, num_nodes=20),
    StarGraph(degree=3, path_length=4, num_nodes=12, reverse=True),
    StarGraph(degree=2, path_length=2, num_nodes=9, reverse=True),
    StarGraph(degree=1, path_length=3, num_nodes=9),
]
ROWS = {task: random_rows(task) for task in TASKS}
by_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.config_name)


def inputs(task: StarGraph, form, rows: slice = slice(None)) -> dict[str, list]:
    """What `compute` is given: paths in one of the forms that it takes, and prompts."""
    paths = {name: form(ROWS[task][name][rows]) for name in ("predictions", "references")}
    return paths | {"prompts": ROWS[task]["prompts"][rows]}


def as_texts(paths):
    return [",".join(map(str, path)) for path in paths]


in_each_form = pytest.mark.parametrize("form", [as_texts, list])


def expected(task: StarGraph) -> dict[str, dict]:
    """The results of each metric, by the functions of the package."""
    predictions, references, arms = (ROWS[task][name] for name in ("predictions", "references", "arms"))
    kinds = [path_kind(*row) for row in zip(predictions, arms, references, strict=True)]

    def with_error(name, values):
        mean, error = mean_and_standard_error(values)
        return {name: pytest.approx(float(mean)), f"{name}_standard_error": pytest.approx(float(error))}

    return {
        "path_accuracy": with_error("path_accuracy", path_accuracy(predictions, references))
        | {"token_accuracy": pytest.approx(token_accuracy(predictions, references).mean(axis=0).tolist())},
        "hard_token_accuracy": with_error(
            "hard_token_accuracy", hard_token_accuracy(predictions, references, task.hard_part)
        ),
        "valid_path_rate": with_error("valid_path_rate", valid_path(kinds))
        | {"path_kinds": {kind: pytest.approx(kinds.count(kind) / len(kinds)) for kind in KINDS}},
    }


def test_the_random_rows_tell_mistakes_apart():
    results = expected(TASKS[0])
    shares = [share.expected for share in results["valid_path_rate"]["path_kinds"].values()]
    assert min(shares) > 0.02 and len({round(share, 3) for share in shares}) >= len(KINDS) - 1
    nodes = results["path_accuracy"]["token_accuracy"].expected
    assert len({round(accuracy, 3) for accuracy in nodes}) == 4  # so that the place of the hard node matters


@by_task
@in_each_form
@pytest.mark.parametrize("name", NAMES)
def test_each_computes_what_the_package_does(metrics, name, task, form):
    columns = inputs(task, form)
    if name != "valid_path_rate":
        del columns["prompts"]
    computed = metrics[name].compute(**columns, **({} if name == "path_accuracy" else {"reverse": task.reverse}))
    assert computed == expected(task)[name]


@by_task
@in_each_form
def test_combined_they_are_given_everything_once_and_no_result_hides_another(combined, task, form):
    results = expected(task)
    assert sum(map(len, results.values())) == 8
    computed = combined.compute(**inputs(task, form), reverse=task.reverse)
    assert computed == results["path_accuracy"] | results["hard_token_accuracy"] | results["valid_path_rate"]
    assert len(computed) == 8


@by_task
@in_each_form
def test_combined_they_can_be_given_batches_and_rows(combined, task, form):
    for rows in (slice(0, 70), slice(70, 299)):
        combined.add_batch(**inputs(task, form, rows))
    last = inputs(task, form, slice(299, None))
    combined.add(prediction=last["predictions"][0], reference=last["references"][0], prompts=last["prompts"][0])
    results = expected(task)
    assert combined.compute(reverse=task.reverse) == {
        key: value for result in results.values() for key, value in result.items()
    }


@in_each_form
@pytest.mark.parametrize("name", NAMES)
def test_each_can_be_given_batches_and_rows(metrics, name, form):
    used = ["predictions", "references", *(["prompts"] if name == "valid_path_rate" else [])]
    for rows in (slice(0, 70), slice(70, 299)):
        columns = inputs(TASKS[0], form, rows)
        metrics[name].add_batch(**{column: columns[column] for column in used})
    last = {column: values[0] for column, values in inputs(TASKS[0], form, slice(299, None)).items()}
    options = {"prompts": last["prompts"]} if name == "valid_path_rate" else {}
    metrics[name].add(prediction=last["predictions"], reference=last["references"], **options)
    assert metrics[name].compute() == expected(TASKS[0])[name]


def test_spaces_around_labels_and_arrays_are_taken(combined):
    computed = combined.compute(predictions=["3, 1 ,2"], references=["3,1,2"], prompts=["3,1|3,5|1, 2|5,4/3,2= "])
    assert [computed[name] for name in NAMES] == [1, 1, 1]
    array = np.array([[3, 1, 2], [3, 1, 2]])
    computed = combined.compute(predictions=array, references=array, prompts=[PROMPT, PROMPT])
    assert [computed[name] for name in NAMES] == [1, 1, 1]


def test_labels_are_compared_as_texts(combined):
    computed = combined.compute(
        predictions=["3,1,2", "3,01,2"], references=["3,1,2", "3,1,2"], prompts=[PROMPT, PROMPT]
    )
    assert [computed[name] for name in NAMES] == [0.5, 0.5, 0.5]
    assert computed["token_accuracy"] == [1.0, 0.5, 1.0]
    assert computed["path_kinds"]["not a node"] == 0.5


@pytest.mark.parametrize("written", ["", ",", "x", "3,1,2,", "3 1 2", "=", "3,1,x", "\n", "3,,2", "3,1,²"])
def test_garbage_is_wrong_and_no_error(combined, written):
    computed = combined.compute(predictions=[written], references=["3,1,2"], prompts=[PROMPT])
    nodes = [label.strip() for label in written.split(",")]
    kind = path_kind(nodes, [["3", "1", "2"], ["3", "5", "4"]], ["3", "1", "2"])
    assert computed["path_kinds"] == {known: float(known == kind) for known in KINDS}
    assert (computed["path_accuracy"], computed["valid_path_rate"]) == (0, 0)
    assert computed["hard_token_accuracy"] == (nodes[1:2] == ["1"])


@pytest.mark.parametrize(
    ("name", "columns", "options", "message"),
    [
        ("path_accuracy", [["3", "4"], ["3,1", "4"]], {}, "references of one number of nodes"),
        ("path_accuracy", [["3"], ["3", "4"]], {}, r"number of predictions \(1\) and references \(2\)"),
        ("hard_token_accuracy", [["3"], ["3"]], {}, r"references of at least 2 nodes, got \['3'\]"),
        ("valid_path_rate", [["3,1,2"], ["3,1,2"]], {}, r"inputs are missing: \['prompts'\]"),
        ("valid_path_rate", [["3,1,2"], ["3,1,2"], ["3,1|1,2"]], {}, "is not of the form"),
        ("valid_path_rate", [["3,1,2"], ["3,1,2"], ["3,1,2/3,2="]], {}, "is not of the form"),
        *(
            ("valid_path_rate", [["3,1,2"], ["3,1,2"], [f"{edges}/3,2="]], {}, "are not the arms of one star graph")
            for edges in ("3,1|4,2", "3,1|1,2|1,5", "3,1|1,2|2,1", "3,1|1,2|2,3", "3,1|1,2|4,5|5,4", "3,1|3,4|1,2|4,2")
        ),
        ("valid_path_rate", [["3,1,2"], ["3,5,4"], [PROMPT]], {}, f"3,5,4 is not the right path for .{PROMPT[:3]}"),
        ("valid_path_rate", [["3,1,2"], ["3,1,2"], ["3,1|1,2/3,1="]], {}, "3,1,2 is not the right path"),
        ("valid_path_rate", [["3,1,2"], ["2,1,3"], [PROMPT]], {}, "it is with reverse=True"),
        ("valid_path_rate", [["3,1,2"], ["3,1,2"], [PROMPT]], {"reverse": True}, "it is with reverse=False"),
    ],
)
def test_bad_input_is_named_and_does_no_harm(metrics, name, columns, options, message):
    columns = dict(zip(["predictions", "references", "prompts"], columns, strict=False))
    with pytest.raises(ValueError, match=message):
        metrics[name].compute(**columns, **options)
    prompts = {"prompts": [PROMPT]} if name == "valid_path_rate" else {}
    assert metrics[name].compute(predictions=["3,1,2"], references=["3,1,2"], **prompts)[name] == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_misspelt_option_is_no_option(metrics, name):
    with pytest.raises(TypeError, match="reversed"):
        metrics[name].compute(predictions=["3,1,2"], references=["3,1,2"], prompts=[PROMPT], reversed=True)


@pytest.mark.parametrize("name", NAMES)
def test_each_says_what_it_is(metrics, name):
    metric, title = metrics[name], name.replace("_", " ").capitalize()
    assert metric.name == name
    assert "How many paths" in metric.description
    assert f'evaluate.load("nextfail/{name}")' in metric.inputs_description
    assert "bachmann2024pitfalls" in metric.citation
    files = {path.name: path.read_text(encoding="utf-8") for path in (SPACES / name).iterdir() if path.is_file()}
    assert set(files) == {f"{name}.py", "README.md", "index.html"}
    assert all(f'evaluate.load("nextfail/{name}")' in text for text in files.values())
    assert f"# {title}\n" in files["README.md"]
    assert f"<h1>{title}</h1>" in files["index.html"]


@in_each_form
def test_the_cards_name_every_result_and_their_example_of_all_runs(combined, form):
    computed = combined.compute(**inputs(TASKS[0], form))
    cards = {name: (SPACES / name / "README.md").read_text(encoding="utf-8") for name in NAMES}
    assert all(f"| `{key}` |" in "".join(cards.values()) for key in computed)
    assert all(f"`{kind}`" in cards["valid_path_rate"] for kind in KINDS)
    in_one_go = {card.rpartition("in one go:")[2] for card in cards.values()}
    assert len(in_one_go) == 1
    compute = in_one_go.pop().strip().removesuffix("```").strip().splitlines()[-1]
    results = eval(compute, {"metrics": combined})
    assert [results[name] for name in NAMES] == [0, 0, 1]


@pytest.mark.parametrize("name", NAMES)
def test_a_script_needs_nothing_that_evaluate_does_not(name):
    imported = [node for node in ast.walk(ast.parse(SCRIPTS[name])) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert all(isinstance(node, ast.Import) for node in imported)
    assert {alias.name for node in imported for alias in node.names} == {"datasets", "evaluate", "numpy"}


def test_what_two_scripts_define_under_one_name_is_the_same():
    definitions: dict[str, set[str]] = {}
    for script in SCRIPTS.values():
        for node in ast.parse(script).body:
            if isinstance(node, ast.FunctionDef):
                definitions.setdefault(node.name, set()).add(ast.unparse(node))
            elif isinstance(node, ast.Assign) and node.targets[0].id not in ("_DESCRIPTION", "_INPUTS"):
                definitions.setdefault(node.targets[0].id, set()).add(ast.unparse(node))
    assert [name for name, texts in definitions.items() if len(texts) > 1] == []
    assert {"nodes_of", "mean_and_standard_error", "_CITATION"} <= set(definitions)
