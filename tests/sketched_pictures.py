"""What stands for the pictures of a training in tests that do not look at them."""

import base64
from collections.abc import Sequence
from pathlib import Path

from hf_nextfail.reporting.pictures import PICTURE_FORMATS, plan_pictures
from hf_nextfail.reporting.record import Record

SKETCHES = {
    "png": base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNoAAAAggCB2kUIOwAAAABJRU5ErkJggg=="
    ),
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
}
assert SKETCHES.keys() == set(PICTURE_FORMATS)


def sketch_pictures(records: Sequence[Record], folder: Path) -> list[Path]:
    """Write a picture of one pixel, or of none, for each that there is to draw, in its file."""
    stems = [planned.stem for planned in plan_pictures(records)]
    paths = [Path(folder) / f"{stem}.{suffix}" for stem in stems for suffix in PICTURE_FORMATS]
    for path in paths:
        path.write_bytes(SKETCHES[path.suffix[1:]])
    return paths
