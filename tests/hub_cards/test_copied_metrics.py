"""`planning_accuracy` and `creativity`, which stand alone, say what the package says."""

import numpy as np
import pytest
from known_rows import rows_of, texts_of

from hf_nextfail import metrics
from hf_nextfail.files import shipped_folder
from hf_nextfail.tasks import TASKS, CreativeTask

SPACES = shipped_folder("hub_cards") / "spaces"
NAMES = ["planning_accuracy", "creativity"]
NONSENSE = [
    "",
    " ",
    ",",
    "?",
    "0",
    "-1",
    "00",
    "x,y",
    "=",
    "9" * 40,
    "1,2,3",
    "0,1|1,2|2,0",
    "3+4=7",
    "0,1/1,2",
    "\n",
    "\u0663",
]
OTHER_CONFIGS = {
    "star_graph": "d3_l4_n30_rev",
    "sibling_discovery": "p2_c40_g7_s4_rev",
    "countdown": "n3",
    "crossing_star": "hard_rev",
    "tree_star": "d2_b3_s1_l4_n40_rev",
    "minimal_planning": "l5_n10_rev",
    "in_weights_star": "d60_l4_p1_g2_rev",
}


@pytest.fixture(scope="module")
def loaded():
    evaluate = pytest.importorskip("evaluate")  # takes seconds
    return {name: evaluate.load(str(SPACES / name)) for name in NAMES}


def predictions_of(task, rows) -> list[str]:
    """What a model may write for rows: right, right elsewhere, nearly right, spoilt, and nonsense."""
    draw = np.random.default_rng(0)

    def spoilt(text):
        place = draw.integers(len(text))
        return text[:place] + str(draw.choice([*"0123456789,|/+-=", ""])) + text[place + 1 :]

    others = texts_of(task, len(rows), seed=9)
    ways = [
        lambda row, other: row["completion"],
        lambda row, other: f" {row['completion']} ".replace(",", " , "),
        lambda row, other: other,
        lambda row, other: spoilt(row["completion"]),
        lambda row, other: spoilt(spoilt(other)),
        lambda row, other: ",".join(row["completion"].split(",")[::-1]),
        lambda row, other: row["completion"].rpartition(",")[0],
        lambda row, other: row["prompt"],
        lambda row, other: str(draw.choice(NONSENSE)),
    ]
    return [ways[draw.integers(len(ways))](row, other) for row, other in zip(rows, others, strict=True)]


@pytest.mark.parametrize("name", TASKS)
def test_planning_accuracy_scores_every_task_as_the_package_does(loaded, name):
    metric = loaded["planning_accuracy"]
    for config in {None, OTHER_CONFIGS.get(name)}:
        task = TASKS[name].from_config_name(config) if config else TASKS[name]()
        rows = rows_of(task, 120, "test")
        written = predictions_of(task, rows)
        pairs = list(zip(written, rows, strict=True))
        scores = [task.score(*pair) for pair in pairs]
        assert 0.1 < np.mean(scores) < 0.9
        columns = {"prompts": [row["prompt"] for row in rows], "references": [row["completion"] for row in rows]}
        computed = metric.compute(predictions=written, **columns, task=name, config=config)
        mean, error = metrics.mean_and_standard_error(np.array(scores))
        expected = {"planning_accuracy": float(mean), "planning_accuracy_standard_error": float(error)}
        if name == "countdown":
            expected["valid_equations"] = np.mean([task.measures(*pair)["valid_equations"] for pair in pairs])
        assert computed == pytest.approx(expected)
        # and prediction by prediction
        there = type(metric)._compute.__globals__["TASKS"][name].from_config_name(task.config_name)
        assert type(there) is not type(task)
        for (text, row), score in zip(pairs, scores, strict=True):
            assert there.score(text, there.read_row(row["prompt"], row["completion"])) == score


@pytest.mark.parametrize("name", [name for name, kind in TASKS.items() if issubclass(kind, CreativeTask)])
def test_creativity_counts_as_the_package_does(loaded, name):
    task = TASKS[name].from_config_name(OTHER_CONFIGS[name]) if name in OTHER_CONFIGS else TASKS[name]()
    trained = [row["completion"] for row in rows_of(task, 300)]
    written = predictions_of(task, [*rows_of(task, 300), *rows_of(task, 40, "test")])
    written += written[-30:]
    computed = loaded["creativity"].compute(predictions=written, trained=trained, task=name, config=task.config_name)
    expected = metrics.creativity(list(map(task.canonical, written)), set(map(task.canonical, trained)))
    assert computed == {
        key: number[part]
        for part, end in (("value", ""), ("standard_error", "_standard_error"))
        for key, number in ((key + end, number) for key, number in expected.items())
    }
    assert all(0 < number["value"] < 1 for number in expected.values())
    nothing = loaded["creativity"].compute(predictions=["?"], trained=trained, task=name)
    assert (nothing["creativity"], nothing["new_share"], nothing["new_share_standard_error"]) == (0.0, None, None)


def test_bad_input_is_named(loaded):
    columns = {"predictions": ["3"], "references": ["3"], "prompts": ["3"]}
    with pytest.raises(ValueError, match=r"task must be one of star_graph, .*, got 'star' "):
        loaded["planning_accuracy"].compute(**columns, task="star")
    with pytest.raises(ValueError, match="unknown config 'd2'"):
        loaded["planning_accuracy"].compute(**columns, config="d2")
    with pytest.raises(ValueError, match="must be labels with commas between them, got 'x'"):
        loaded["planning_accuracy"].compute(predictions=["3"], references=["x"], prompts=["3="], task="word_problem")
    with pytest.raises(ValueError, match=r"task must be one of sibling_discovery, .*, got 'star_graph'"):
        loaded["creativity"].compute(predictions=["3"], trained=[], task="star_graph")


@pytest.mark.parametrize("name", NAMES)
def test_cards_and_scripts_name_every_task_and_result(loaded, name):
    files = {path.name: path.read_text(encoding="utf-8") for path in (SPACES / name).iterdir() if path.is_file()}
    assert set(files) == {f"{name}.py", "README.md", "index.html"}
    assert all(f'evaluate.load("nextfail/{name}")' in text for text in files.values())
    kinds = [task for task, kind in TASKS.items() if name == "planning_accuracy" or issubclass(kind, CreativeTask)]
    assert all(f"`{task}`" in files["README.md"] for task in kinds)
    assert list(type(loaded[name])._compute.__globals__["TASKS"]) == kinds
    code = files["README.md"].partition("```python\nimport evaluate\n")[2].partition("```")[0]
    results = eval(code.partition("\nmetric.")[2].join(["metric.", ""]).partition("\n#")[0], {"metric": loaded[name]})
    shown = {"planning_accuracy": ("planning_accuracy", 0.5), "creativity": ("creativity", 0.25)}[name]
    assert results[shown[0]] == shown[1]
    assert all(f"`{key}`" in files["README.md"] for key in results if not key.endswith("_standard_error"))
