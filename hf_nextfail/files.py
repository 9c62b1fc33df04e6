"""Read and write files whole, and find those that ship with the package."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml


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


class YamlLoader(yaml.SafeLoader):
    """Read YAML by the rules of YAML 1.2: `no` is a text, 1e-5 a number, 010 ten. No key may stand there twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Make a dictionary; raise where a key stands there twice."""
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        names = [key.value for key in keys]
        for number, key in enumerate(keys):
            if key.value in names[:number]:
                problem = f"{key.value} stands there twice, again in line {key.start_mark.line + 1}: leave one out"
                raise yaml.constructor.ConstructorError(problem=problem)
        return super().construct_mapping(node, deep)


YamlLoader.yaml_implicit_resolvers = {}
for kind, pattern, first in (
    ("null", r"~|null|Null|NULL|", [*"~nN", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("merge", "<<", "<"),
):
    YamlLoader.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", re.compile(f"(?:{pattern})$"), list(first))
YamlLoader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(loader.construct_scalar(node)))


def read_yaml(path: Path, as_written: bool = False) -> Any:
    """Read a YAML file: see `YamlLoader`.

    Args:
        path (`Path`): the file.
        as_written (`bool`, *optional*, defaults to `False`): of a mapping, leave numbers, truth values and lists of
            them as the text that they are written as, for somebody who knows which they are; `None` stays.

    Raises:
        ValueError: naming the file and what is wrong with it, if it is not YAML.
        OSError: if it cannot be read.
    """
    try:
        loader = YamlLoader(path.read_text(encoding="utf-8-sig"))
        node = loader.get_single_node()
        if as_written and isinstance(node, yaml.MappingNode):
            for _, value in node.value:
                for part in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    if isinstance(part, yaml.ScalarNode) and not part.tag.endswith(":null"):
                        part.tag = "tag:yaml.org,2002:str"
        return None if node is None else loader.construct_document(node)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from error


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
    except BaseException:  # a full disk, something else than text, Ctrl-C
        partial.unlink(missing_ok=True)
        raise
