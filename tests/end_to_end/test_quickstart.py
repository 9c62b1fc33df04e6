"""The notebook that a new user opens first: its code runs, and what it shows is what it wrote when it ran."""

import base64
import json
import re
from pathlib import Path

import pytest

from hf_nextfail.metrics import SOLVED_ACCURACY

FILE = Path(__file__).parents[2] / "recipes" / "quickstart.ipynb"
# What a cell of the tag `parameters` says is overwritten after it, as papermill does.
FEW = "num_train, num_test, max_steps = 512, 64, dict.fromkeys(max_steps, 2)"
# Each cell is run as Jupyter does, the value of its last line looked at.
RUN = """
import ast, json, sys

names = {"__name__": "__main__"}
for number, cell in enumerate(json.loads(sys.stdin.read())):
    tree = ast.parse(cell)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, f"cell {number}", "exec"), names)
    value = None if last is None else eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), names)
    print(f"cell {number}:", "picture" if hasattr(value, "_repr_png_") and value._repr_png_() else value)
"""


@pytest.fixture(scope="module")
def cells():
    notebook = json.loads(FILE.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def source_of(cell):
    return "".join(cell["source"])


def text_of(cell):
    return "".join("".join(output["text"]) for output in cell["outputs"] if output["output_type"] == "stream")


def pictures_of(cell):
    data = [output["data"]["image/png"] for output in cell["outputs"] if "image/png" in output.get("data", {})]
    return [base64.b64decode("".join(text)) for text in data]


def test_the_code_of_the_notebook_runs(cells, fresh, tmp_path):
    sources = [source_of(cell) for cell in cells]
    (parameters,) = [place for place, cell in enumerate(cells) if "parameters" in cell["metadata"].get("tags", ())]
    sources[parameters] += f"\n{FEW}"
    script = RUN.replace("sys.stdin.read()", repr(json.dumps(sources)))
    done = fresh(script, cwd=tmp_path)
    assert "Warning" not in done.stderr, done.stderr
    shown = re.findall(r"^cell (\d+): (.*)$", done.stdout, re.MULTILINE)
    assert [int(number) for number, _ in shown] == [*range(len(cells))]
    assert [what == "picture" for _, what in shown] == [bool(pictures_of(cell)) for cell in cells]
    assert done.stdout.count("step 2 of 2: ") == 3
    # The rows are the same on any machine, so that the committed ones are those of this code.
    assert text_of(cells[0]) in done.stdout


def test_what_the_notebook_shows_was_written_by_its_cells_in_their_order(cells):
    assert [cell["execution_count"] for cell in cells] == [*range(1, len(cells) + 1)]
    for cell in cells:
        for output in cell["outputs"]:
            assert output["output_type"] in ("stream", "execute_result"), output
            assert output.get("name", "stdout") == "stdout", output
            assert output.get("execution_count", cell["execution_count"]) == cell["execution_count"]
        assert all(picture.startswith(b"\x89PNG") for picture in pictures_of(cell))
    text = FILE.read_text(encoding="utf-8")
    assert len(text) < 400_000
    assert not re.search(r"/(home|root|tmp|work|Users)/|Warning", text)


def test_the_text_of_the_notebook_says_what_its_outputs_show(cells):
    steps = {name: int(count) for name, count in re.findall(r'"([a-z ]+)": (\d+)', source_of(cells[2]))}
    (shown,) = [text_of(cell) for cell in cells if text_of(cell).startswith("training ")]
    rows = {row[:16].strip(): row[36:].replace(" ± ", " ").split() for row in shown.splitlines()[1:]}
    assert set(rows) == set(steps) == {"teacher forced", "reversed", "teacherless"}
    assert int(rows["teacher forced"][0]) == steps["teacher forced"] == 400
    assert 0.45 < float(rows["teacher forced"][1]) < 0.55
    for name in ("reversed", "teacherless"):
        assert int(rows[name][0]) < steps[name] and float(rows[name][1]) >= SOLVED_ACCURACY
