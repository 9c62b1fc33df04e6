"""Read and write files whole, and find those that ship with the package."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        ValueError: naming the file and what is wrong with it, if it is not JSON.
        OSError: if it cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: it is not JSON ({error}); copy or download it again") from error


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file that must hold an object.

    Raises:
        ValueError: naming the file and what is wrong with it, if it does not hold one.
        OSError: if it cannot be read.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged: it holds no JSON object; copy or download it again")
    return content


def check_objects(folder: Path, names: Iterable[str]) -> None:
    """Raise `ValueError` for the first of a folder's files that is there and holds no JSON object."""
    for name in names:
        if (folder / name).is_file():
            read_object(folder / name)


def shipped_folder(name: str) -> Path:
    """Return the folder `recipes` or `hub_cards`."""
    installed = Path(__file__).parent / name
    return installed if installed.is_dir() else Path(__file__).parent.parent / name


def write_whole(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
