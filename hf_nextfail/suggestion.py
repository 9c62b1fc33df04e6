"""Name the near one, where somebody mistyped."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean ...?)` when a known word is near, else nothing.

    Example:

    ```python
    >>> did_you_mean("n_layers", ["n_embd", "n_layer"])
    " (did you mean 'n_layer'?)"

    ```
    """
    near = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
