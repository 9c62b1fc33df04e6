"""Count outputs that are coherent, new and different, by what those have in common that mean the same."""

from collections import Counter
from collections.abc import Collection, Hashable, Sequence

import numpy as np

from hf_nextfail.metrics.standard_error import Estimate, summarise

#: What each number of `creativity` is.
CREATIVITY = {
    "creativity": "different outputs that are coherent and were not trained on, of all outputs asked for: the product "
    "of the three shares below",
    "coherent_share": "outputs that are coherent, of all",
    "new_share": "outputs that were not trained on, of the coherent ones",
    "different_share": "different ones, of those outputs that are coherent and new: 1 where all are different",
}


def creativity(forms: Sequence[Hashable | None], trained: Collection[Hashable] | None) -> dict[str, Estimate | None]:
    """Count the different outputs that are coherent and new, and say why there are no more.

    Standard errors are over the outputs, which are drawn independently of each other. Those of numbers of different
    outputs are of the jackknife: an output counts for what is lost without it, 1 if no other is the same, else 0. It
    has a closed form, draws nothing, and on average is not too small (Efron and Stein, "The Jackknife Estimate of
    Variance", 1981). A bootstrap would repeat outputs, and so count too few different ones.

    Args:
        forms (sequence): of each output that was asked for what `CreativeTask.canonical` returns: equal for those that
            mean the same, `None` for one that is incoherent.
        trained (collection, *optional*): the forms that were trained on; `None` where nobody knows.

    Returns:
        `dict` from the names in `CREATIVITY` to estimates; `None` for a share of nothing, and where nobody knows.

    Example:

    ```python
    >>> numbers = creativity([(1, 2), (1, 2), (3, 4), None], trained={(3, 4)})
    >>> {name: round(number["value"], 3) for name, number in numbers.items()}
    {'creativity': 0.25, 'coherent_share': 0.75, 'new_share': 0.667, 'different_share': 0.5}

    ```

    Reference: Nagarajan et al., "Roll the dice & look before you leap: Going beyond the creative limits of next-token
    prediction", ICML 2025 (arXiv 2504.15266).
    """
    coherent = [form for form in forms if form is not None]
    numbers: dict[str, Estimate | None] = dict.fromkeys(CREATIVITY)
    numbers["coherent_share"] = share_of([form is not None for form in forms])
    if trained is not None:
        new = [form for form in coherent if form not in trained]
        numbers["creativity"] = share_of_different(new, len(forms))
        numbers["new_share"] = share_of([form not in trained for form in coherent])
        numbers["different_share"] = share_of_different(new, len(new))
    return numbers


def share_of(values: Sequence[bool]) -> Estimate | None:
    """Return the share of what is true; `None` of nothing."""
    return summarise(np.array(values, dtype=np.float64), None) if values else None


def share_of_different(forms: Sequence[Hashable], count: int) -> Estimate | None:
    """Return how many different forms there are, of `count`, with the standard error of the jackknife."""
    if not count:
        return None
    once = sum(times == 1 for times in Counter(forms).values())
    variance = once * (1 - once / count) / (count * max(count - 1, 1))
    return {"value": len(set(forms)) / count, "standard_error": variance**0.5, "n": count, "num_graphs": count}
