"""The files that stand in the README of the tasks are those that the tests run."""

import re
from pathlib import Path

import pytest

import hf_nextfail.tasks

README = (Path(hf_nextfail.tasks.__file__).parent / "README.md").read_text(encoding="utf-8")
OWN_CODE = Path(__file__).parents[1] / "own_code"


@pytest.mark.parametrize(("name", "longest"), [("sums.py", 50), ("pairs.py", 50)])
def test_a_file_of_the_readme_is_the_one_that_is_tested_and_short(name, longest):
    text = (OWN_CODE / name).read_text(encoding="utf-8")
    (shown,) = re.findall(rf"`{name}`\n```python\n(.*?)```", README, re.DOTALL)
    assert shown == text
    assert len(text.splitlines()) <= longest
