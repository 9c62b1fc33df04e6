"""Links and pictures of all pages lead to files that are there, and to headings that these have."""

import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[1]
PLACES = (".", "hf_nextfail", "hub_cards", "recipes", "tests")
# Cards are templates, which the Hub shows elsewhere.
TEMPLATES = {"hub_cards/dataset_card.md", "hub_cards/model_card.md"}
LINK = re.compile(r"\]\(([^()\s]+)\)")


def pages():
    found = [path for place in PLACES for path in (ROOT / place).glob("*.md" if place == "." else "**/*.md")]
    found += (ROOT / "recipes").glob("*.ipynb")
    names = sorted({path.relative_to(ROOT).as_posix() for path in found})
    return [name for name in names if name not in TEMPLATES]


def text_of(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors_of(path):
    """GitHub's names of the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", text_of(path), re.MULTILINE)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}


def broken_links(page):
    broken = []
    for link in LINK.findall(re.sub(r"`[^`\n]*`", "", text_of(page))):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = unquote(link).partition("#")
        target = page.parent / file if file else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("name", pages())
def test_links_of_a_page_lead_somewhere(name):
    assert broken_links(ROOT / name) == []


def test_a_link_to_nowhere_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One two\n\n[a](#one-two) [b](#three) ![c](gone.png) [d](page.md#one-two) [e](https://a.b)\n")
    assert broken_links(page) == ["#three", "gone.png"]
