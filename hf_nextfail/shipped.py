"""Find the folders that lie beside the package in a checkout, and inside it when it is installed."""

from pathlib import Path


def shipped_folder(name: str) -> Path:
    """Return the folder `recipes` or `hub_cards`."""
    installed = Path(__file__).parent / name
    return installed if installed.is_dir() else Path(__file__).parent.parent / name
