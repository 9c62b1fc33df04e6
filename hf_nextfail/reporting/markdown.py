"""Texts of anybody into Markdown, and Markdown into one file of HTML: what they say is shown, never run."""

import base64
import itertools
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

MEDIA_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}


def one_line(value: Any) -> str:
    """Write a text on one line, with a stand-in for control characters: a model may write any."""
    return re.sub("[\x00-\x1f\x7f-\x9f]", "\ufffd", " ".join(str(value).split()))


def plain(value: Any) -> str:
    """Write a text so that Markdown shows it as it is, on one line, also in a table."""
    text = one_line(value)
    text = re.sub(r"([\\`*\[\]<>|&~$#])", r"\\\1", text)
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", text)  # inside a word it means nothing


def code(value: Any) -> str:
    """Write a text as code on one line, also in a table and whatever backticks it holds."""
    text = one_line(value)
    ticks = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    space = " " if text.startswith("`") or text.endswith("`") or not text else ""
    return f"{ticks}{space}{text}{space}{ticks}"


def cell(text: str) -> str:
    r"""Fit Markdown into a table: a bar in code, which is none in a table, is written `\|`."""
    return re.sub(r"(?<!\\)\|", r"\\|", text)


def fence(text: str, language: str = "") -> str:
    """Write lines as a block of code, whatever backticks they hold."""
    ticks = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{ticks}{language}\n{text.strip()}\n{ticks}"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Lay out a table of Markdown texts.

    Args:
        headings (sequence of `str`): of the columns.
        rows (iterable of sequences of `str`): one text a column.
        left (`int`, *optional*, defaults to 1): so many columns are texts, the others numbers, to the right.
    """
    rule = [":---" if number < left else "---:" for number in range(len(headings))]
    return "\n".join("| " + " | ".join(map(cell, row)) + " |" for row in (headings, rule, *rows))


def as_data(path: Path) -> str:
    """Write a picture as the address that holds it."""
    return f"data:{MEDIA_TYPES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def anchors(markdown: str) -> list[tuple[int, str, str]]:
    """List the headings of a Markdown text: level, what is read, and the anchor that GitHub gives it."""
    tokens, found, seen = reader().parse(markdown), [], []
    for token, following in itertools.pairwise(tokens):
        if token.type == "heading_open":
            heading = "".join(child.content for child in following.children)
            anchor = re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
            seen.append(anchor)
            found.append((int(token.tag[1:]), heading, f"{anchor}-{n}" if (n := seen.count(anchor) - 1) else anchor))
    return found


def reader() -> Any:
    """Return what reads Markdown here: tables are Markdown, HTML is text."""
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("table")


def to_html(markdown: str, pictures: dict[str, Path], template: str) -> str:
    """Make one HTML file of a Markdown text, with nothing to fetch: no script, pictures inside.

    Args:
        markdown (`str`): the text; HTML in it is shown as text.
        pictures (`dict`): the file for each address of a picture; others are left out.
        template (`str`): a page with `{{ title }}` and `{{ body }}`; the title is the first heading.
    """
    parser = reader()
    parser.add_render_rule("table_open", lambda *_: '<div class="wide"><table>\n')
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    tokens = parser.parse(markdown)
    headings = anchors(markdown)
    title = headings[0][1] if headings else ""
    names = iter(headings)
    for token in tokens:
        if token.type == "heading_open":
            token.attrSet("id", next(names)[2])
        token.children = [
            child for child in token.children or [] if child.type != "image" or child.attrs["src"] in pictures
        ] or token.children
        for child in token.children or []:
            if child.type == "image" and child.attrs["src"] in pictures:
                child.attrs["src"] = as_data(pictures[child.attrs["src"]])
    body = parser.renderer.render(tokens, parser.options, {})
    return template.replace("{{ title }}", escape(title), 1).replace("{{ body }}", body, 1)
