"""Copies of the package in metrics that stand alone."""

import ast

import pytest

from hf_nextfail.hub import metric_spaces
from hf_nextfail.hub.metric_spaces import BEGIN, END, ROOTS, copied, read_module, scripts, with_copies
from hf_nextfail.tasks import TASKS, CreativeTask, Task


def test_the_shipped_scripts_hold_what_the_package_says_now():
    for path, text in scripts().items():
        assert path.read_text(encoding="utf-8") == text, "run python -m hf_nextfail.hub.metric_spaces"


def test_a_changed_source_changes_the_scripts(monkeypatch):
    module = read_module("hf_nextfail.tasks.countdown")
    changed = module.definitions["LARGEST_NUMBER"]._replace(text="LARGEST_NUMBER = 7\n")
    monkeypatch.setitem(module.definitions, "LARGEST_NUMBER", changed)
    (old,) = [path for path, text in scripts().items() if path.read_text(encoding="utf-8") != text]
    assert old.stem == "planning_accuracy"


def test_what_is_copied_is_each_name_once_below_what_it_uses():
    for name, roots in ROOTS.items():
        body = ast.parse(copied(roots)).body
        names = [node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        assert len(names) == len(set(names)) > 20
        bases = [(node.name, base.id) for node in body if isinstance(node, ast.ClassDef) for base in node.bases]
        assert all(names.index(base) < names.index(kind) for kind, base in bases if base in names)
        wanted = Task if name == "planning_accuracy" else CreativeTask
        assert {kind.__name__ for kind in TASKS.values() if issubclass(kind, wanted)} <= set(names)
        imported = [node.module for node in body if isinstance(node, ast.ImportFrom)]
        assert imported and not [module for module in imported if module.startswith("hf_nextfail")]


def test_two_things_of_one_name_are_refused(monkeypatch):
    twin = read_module("hf_nextfail.tasks.countdown").definitions["takes"]
    for module, name in (("hf_nextfail.tasks.star_graph", "GOALS"), ("hf_nextfail.tasks.word_problem", "GROUPS")):
        definitions = read_module(module).definitions
        monkeypatch.setitem(definitions, name, definitions[name]._replace(uses=frozenset(["takes"])))
        monkeypatch.setitem(definitions, "takes", twin)
    with pytest.raises(ValueError, match="both define takes: rename one"):
        copied(ROOTS["planning_accuracy"])


@pytest.mark.parametrize("script", ["", BEGIN, END, END + BEGIN])
def test_a_script_says_where_copies_go(script):
    with pytest.raises(ValueError, match="the script of creativity must have the lines"):
        with_copies("creativity", script)


def test_what_cannot_be_copied_is_named(monkeypatch, tmp_path):
    (tmp_path / "odd.py").write_text("if True:\n    x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="odd, line 1: only imports, definitions and constants can be copied"):
        metric_spaces.read_module("odd")
