"""How far a share of few runs may be off."""

import math


def wilson_interval(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Bound the chance of success after a few trials, such as runs of other seeds that solve a task.

    Unlike the mean plus or minus its standard error, it says something where all of three runs succeed.

    Args:
        successes (`int`, 0 to `trials`): how many succeeded.
        trials (`int`, >= 0): how many there were; after none, nothing is known.
        z (`float`, *optional*, defaults to 1.96): standard deviations of a normal distribution: 1.96 for 95 %.

    Returns:
        The lower and the upper bound, between 0 and 1.

    Raises:
        ValueError: if there are more successes than trials, or fewer than none.

    Example:

    ```python
    >>> [round(bound, 2) for bound in wilson_interval(3, 3)]
    [0.44, 1.0]
    >>> [round(bound, 2) for bound in wilson_interval(0, 3)]
    [0.0, 0.56]

    ```

    Reference: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"successes must be from 0 to trials, {trials}, got {successes}")
    if trials == 0:
        return 0.0, 1.0
    share, spread = successes / trials, z * z / trials
    middle = share + spread / 2
    half = math.sqrt(spread * (share * (1 - share) + spread / 4))
    # At the ends rounding would leave a little more or less than nothing.
    low = 0.0 if successes == 0 else (middle - half) / (1 + spread)
    high = 1.0 if successes == trials else (middle + half) / (1 + spread)
    return low, high
