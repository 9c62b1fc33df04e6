from pathlib import Path

import pytest

from hf_nextfail import files
from hf_nextfail.files import check_objects, read_json, read_object, shipped_folder, write_whole

# Reading


def test_any_json_is_read_and_an_object_where_one_must_be(tmp_path):
    (tmp_path / "list.json").write_text('["é", 1]', encoding="utf-8")
    (tmp_path / "object.json").write_text('{"a": [1]}')
    assert read_json(tmp_path / "list.json") == ["é", 1]
    assert read_json(tmp_path / "object.json") == read_object(tmp_path / "object.json") == {"a": [1]}


@pytest.mark.parametrize(
    "content", [b"", b'{"a": ', b"\xff\xfe", b"[" * 100_000], ids=["empty", "cut", "bytes", "deep"]
)
@pytest.mark.parametrize("read", [read_json, read_object])
def test_a_file_that_is_no_json_is_named(tmp_path, read, content):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{path} is damaged: it is not JSON .*; copy or download it again$"):
        read(path)


@pytest.mark.parametrize("content", ["[1]", "null", '"text"', "1"])
def test_json_that_is_no_object_is_named_where_one_must_be(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=f"^{path} is damaged: it holds no JSON object; copy or download it again$"):
        read_object(path)


@pytest.mark.parametrize("read", [read_json, read_object])
def test_a_file_that_is_not_there_is_not_called_damaged(tmp_path, read):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "config.json")


def test_only_the_files_named_and_there_are_checked(tmp_path):
    (tmp_path / "good.json").write_text("{}")
    (tmp_path / "bad.json").write_text("[]")
    check_objects(tmp_path, ["missing.json", "good.json"])
    with pytest.raises(ValueError, match=r"bad\.json is damaged"):
        check_objects(tmp_path, ["good.json", "bad.json"])


# Writing


def test_a_file_is_written_and_replaced_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "results.json"
    for text in ("longer than the next\n", "é\n"):
        write_whole(path, text)
        assert path.read_bytes() == text.encode()
        assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["write_text", "replace"])
def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch, step):
    path = tmp_path / "results.json"
    path.write_text("before")
    original = getattr(Path, step)

    def fail(self, *args, **options):
        if step == "write_text":
            original(self, "aft", **options)  # the disk is full in the middle
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, step, fail)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "after")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", ["\ud800", None])
def test_what_is_no_text_leaves_nothing(tmp_path, text):
    with pytest.raises((UnicodeError, TypeError)):
        write_whole(tmp_path / "page.md", text)
    assert list(tmp_path.iterdir()) == []


# What ships with the package


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("recipes", ["star_graph/teacherless/smoke.yaml"]),
        (
            "hub_cards",
            ["model_card.md", "dataset_card.md", "results/grid_cpu/table.md", "spaces/path_accuracy/path_accuracy.py"],
        ),
    ],
)
def test_what_is_shipped_is_found(name, paths):
    for path in paths:
        assert (shipped_folder(name) / path).is_file()


def test_a_folder_inside_the_package_wins_over_one_beside_it(tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "hf_nextfail"
    package.mkdir(parents=True)
    monkeypatch.setattr(files, "__file__", str(package / "files.py"))
    (package.parent / "recipes").mkdir()
    assert shipped_folder("recipes") == package.parent / "recipes"
    (package / "recipes").mkdir()
    assert shipped_folder("recipes") == package / "recipes"
