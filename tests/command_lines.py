"""Command lines of tests: usual options, and others in their place."""

from collections.abc import Sequence


def over(usual: Sequence[str], given: Sequence[str]) -> list[str]:
    """The usual options, less those that are given otherwise, and these; none may stand in a line twice."""
    names = {word.partition("=")[0] for word in given if word.startswith("--")}
    kept, keeps = [], True
    for word in usual:
        if word.startswith("--"):
            keeps = word.partition("=")[0] not in names
        if keeps:
            kept.append(word)
    return [*kept, *given]
