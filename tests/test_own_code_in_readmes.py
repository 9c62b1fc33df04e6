"""The files of one's own that stand in READMEs are those that the tests run, and short."""

import re
from pathlib import Path

import pytest

import hf_nextfail

PACKAGE = Path(hf_nextfail.__file__).parent


@pytest.mark.parametrize(
    ("room", "name", "longest"),
    [
        ("objectives", "coin_toss.py", 40),
        ("objectives", "after_next.py", 50),
        ("tasks", "sums.py", 50),
        ("tasks", "pairs.py", 50),
    ],
)
def test_a_file_of_a_readme_is_the_one_that_is_tested_and_short(room, name, longest):
    text = (Path(__file__).parent / "own_code" / name).read_text(encoding="utf-8")
    readme = (PACKAGE / room / "README.md").read_text(encoding="utf-8")
    (shown,) = re.findall(rf"`{name}`\n```python\n(.*?)```", readme, re.DOTALL)
    assert shown == text
    assert len(text.splitlines()) <= longest
