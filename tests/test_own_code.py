import hashlib
import sys
import types

import pytest

from hf_nextfail.objectives import Objective, TeacherForcedObjective
from hf_nextfail.own_code import is_reference, load_class, source_of
from hf_nextfail.tasks import StarGraph, Task

MINE = """
from hf_nextfail.decoding import AutoregressiveDecoding
from hf_nextfail.objectives import Objective

class Mine(Objective):
    name = "mine"
    decoding_class = AutoregressiveDecoding
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a file of a researcher's own, and work in its folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def write(name, text=MINE):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("./mine.py:Mine", True),
        ("/a folder/mine.py:Mine", True),
        ("C:\\folder\\mine.py:Mine", True),
        ("package.module:Mine", True),
        ("teacher_forced", False),
        ("nextfail/star_graph", False),
        ("hf://datasets/somebody/rows", False),
        ("mine.py", False),
        ("mine.py:", False),
    ],
)
def test_a_reference_is_told_from_a_name(name, says):
    assert is_reference(name) is says


@pytest.mark.parametrize("reference", ["mine.py:Mine", "./mine.py:Mine", "{folder}/mine.py:Mine"])
def test_a_class_is_loaded_from_a_file(write, tmp_path, reference):
    write("mine.py")
    assert load_class(reference.format(folder=tmp_path), Objective).name == "mine"


def test_a_class_is_loaded_from_a_module():
    assert (
        load_class("hf_nextfail.objectives.teacher_forced:TeacherForcedObjective", Objective) is TeacherForcedObjective
    )
    assert load_class("hf_nextfail.tasks:StarGraph", Task) is StarGraph


def test_a_file_is_imported_once(write):
    write("mine.py")
    assert load_class("mine.py:Mine", Objective) is load_class("./mine.py:Mine", Objective)


def test_a_file_finds_what_stands_beside_it_and_hides_no_package(write):
    write("json.py", "from beside import NAME\n" + MINE.replace('"mine"', "NAME"))
    write("beside.py", 'NAME = "from beside"\n')
    assert load_class("json.py:Mine", Objective).name == "from beside"
    assert not hasattr(sys.modules["json"], "Mine")


@pytest.mark.parametrize(
    ("text", "reference", "reason"),
    [
        (MINE, "other.py:Mine", "there is no file other.py"),
        (MINE, "mine.py:Yours", "mine.py:Yours: there is no class Yours in mine.py; it defines Mine"),
        ("x = 1", "mine.py:Mine", "there is no class Mine in mine.py, nor any other Objective"),
        ("class Mine: name = 'mine'", "mine.py:Mine", r"Mine must extend hf_nextfail.objectives.base.Objective"),
        ("Mine = 1", "mine.py:Mine", "there is no class Mine in mine.py"),
        ("from hf_nextfail.tasks import StarGraph as Mine", "mine.py:Mine", "it extends PathTask"),
        (MINE.replace("name =", "title ="), "mine.py:Mine", 'Mine must have a name, such as name = "mine"'),
        ("1 / 0", "mine.py:Mine", "mine.py cannot be imported: ZeroDivisionError: division by zero"),
        ("def (", "mine.py:Mine", "mine.py cannot be imported: SyntaxError"),
        ("import no_such_package", "mine.py:Mine", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("raise SystemExit(3)", "mine.py:Mine", "mine.py cannot be imported: SystemExit: 3"),
        (MINE, "no.such.module:Mine", "the module no.such.module cannot be imported: ModuleNotFoundError"),
        (MINE, "mine.py", "'mine.py' names no class: write FILE.py:Class or package.module:Class"),
        (MINE, ":Mine", "':Mine' names no class"),
    ],
)
def test_what_cannot_be_loaded_is_one_line(write, text, reference, reason):
    write("mine.py", text)
    with pytest.raises(ValueError, match=reason) as failure:
        load_class(reference, Objective)
    assert "\n" not in str(failure.value)


def test_what_every_task_has_must_be_there(write):
    write("mine.py", 'from hf_nextfail.tasks import Task\nclass Mine(Task):\n    name = "mine"\n')
    with pytest.raises(ValueError, match=r"mine\.py:Mine: Mine must define .*sample.*, as every Task does"):
        load_class("mine.py:Mine", Task)


def test_a_file_that_failed_is_read_again(write):
    write("mine.py", "1 / 0")
    with pytest.raises(ValueError, match="ZeroDivisionError"):
        load_class("mine.py:Mine", Objective)
    write("mine.py")
    assert load_class("mine.py:Mine", Objective).name == "mine"


def test_a_source_is_a_files_name_and_digest(write):
    digest = hashlib.sha256(write("mine.py").read_bytes()).hexdigest()
    source = {"class": "Mine", "file": "mine.py", "sha256": digest}
    assert source_of(load_class("mine.py:Mine", Objective)) == source


def test_our_own_classes_have_no_source():
    assert source_of(StarGraph) is None
    assert source_of(TeacherForcedObjective) is None


@pytest.mark.parametrize("file", [None, "<stdin>"])
def test_a_class_typed_into_a_notebook_has_no_file(monkeypatch, file):
    notebook = types.ModuleType("notebook")
    notebook.__file__ = file
    monkeypatch.setitem(sys.modules, "notebook", notebook)
    typed = type("Typed", (TeacherForcedObjective,), {"name": "typed", "__module__": "notebook"})
    assert source_of(typed) == {"class": "Typed", "file": None, "sha256": None}
