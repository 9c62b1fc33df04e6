import pytest

from hf_nextfail import files as shipped
from hf_nextfail.files import shipped_folder


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("recipes", ["star_graph/teacherless/smoke.yaml"]),
        (
            "hub_cards",
            ["model_card.md", "dataset_card.md", "results/grid_cpu/table.md", "spaces/path_accuracy/path_accuracy.py"],
        ),
    ],
)
def test_what_is_shipped_is_found(name, files):
    for file in files:
        assert (shipped_folder(name) / file).is_file()


def test_a_folder_inside_the_package_wins_over_one_beside_it(tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "hf_nextfail"
    package.mkdir(parents=True)
    monkeypatch.setattr(shipped, "__file__", str(package / "shipped.py"))
    (package.parent / "recipes").mkdir()
    assert shipped_folder("recipes") == package.parent / "recipes"
    (package / "recipes").mkdir()
    assert shipped_folder("recipes") == package / "recipes"
