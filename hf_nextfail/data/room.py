"""What rows need of disk and memory, and what there is."""

import logging
import shutil
from pathlib import Path

import datasets
import psutil
from huggingface_hub.constants import HF_HUB_CACHE

logger = logging.getLogger(__name__)

#: The share of what is free that rows may take: they are written as texts and as ids, and others need room, too.
SHARE = 0.5
#: Bytes from which on somebody waits, and is told how much is coming.
MUCH = 1e9


def in_words(num_bytes: float) -> str:
    """Write a number of bytes: `2.3 GB`.

    Example:

    ```python
    >>> in_words(2.34e9), in_words(1500)
    ('2.3 GB', '1.5 kB')

    ```
    """
    units = ["bytes", "kB", "MB", "GB", "TB"]
    while num_bytes >= 1000 and len(units) > 1:
        num_bytes /= 1000
        del units[0]
    return f"{num_bytes:,.1f} {units[0]}"


def check_disk(what: str, needed: float, folder: Path) -> None:
    """Make sure that rows fit on a disk, and say how much is coming if it is much.

    Args:
        what (`str`): the rows, in words.
        needed (`float`): bytes.
        folder (`Path`): where they go; it need not exist.

    Raises:
        ValueError: with both figures, if they need more than `SHARE` of what is free.
    """
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if needed > SHARE * free:
        raise ValueError(
            f"{what} need about {in_words(needed)}, more than {SHARE:.0%} of the {in_words(free)} that are free in "
            f"{place}: ask for fewer rows, stream them, or set HF_HOME to a larger disk"
        )
    if needed > MUCH:
        logger.info("%s: about %s are written to %s.", what, in_words(needed), place)


def fits_in_memory(needed: float) -> bool:
    """Say whether rows need at most `SHARE` of the memory that is free."""
    return needed <= SHARE * psutil.virtual_memory().available


def check_memory(what: str, needed: float) -> None:
    """Raise `ValueError` with both figures for rows that do not fit in memory."""
    if not fits_in_memory(needed):
        free = in_words(psutil.virtual_memory().available)
        raise ValueError(
            f"{what} need about {in_words(needed)}, more than {SHARE:.0%} of the {free} of memory that are free: take "
            "fewer or shorter rows"
        )


def who_is_to_blame(name: str, error: Exception) -> str:
    """Say in one line what is wrong with what has a name, or with the cache that it was to be kept in."""
    place = str(getattr(error, "filename", None) or "")
    for cache in (str(datasets.config.HF_DATASETS_CACHE), HF_HUB_CACHE):
        if place and (place.startswith(cache) or cache.startswith(place)):
            return f"the cache {cache} cannot be used ({error}): set HF_HOME to a folder that you may write to"
    return f"{name}: {' '.join(str(error).split())}"
