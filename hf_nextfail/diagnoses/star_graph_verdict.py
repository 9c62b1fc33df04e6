"""A diagnosis in a few words, each derived from its numbers."""

from typing import Any

NEARLY_ALWAYS = 0.95  # from here on, a share is called "it does"
MARGIN = 0.02  # what standard errors leave out: two shares this close are called equal


def percent(share: float) -> str:
    """Write a share as `99.8 %`, and only what is all or nothing as `100 %` or `0 %`."""
    if share in (0, 1):
        return f"{share:.0%}".replace("%", " %")
    digits = next(digits for digits in range(1, 8) if 0 < round(share * 100, digits) < 100 or digits == 7)
    return f"{share * 100:.{digits}f} %"


def equal(first: dict[str, float], second: dict[str, float] | float) -> bool:
    """Say whether two numbers agree, within three standard errors and a margin."""
    value, error = (second, 0.0) if isinstance(second, float) else (second["value"], second["standard_error"])
    return abs(first["value"] - value) <= max(3 * (first["standard_error"] ** 2 + error**2) ** 0.5, MARGIN)


def verdict(diagnosis: dict[str, Any]) -> str:
    """Say in plain words what a model does, and why it fails if it fails.

    Args:
        diagnosis (`dict`): `task` and `numbers`, as `hf_nextfail.diagnose` returns them.

    Returns:
        `str` of one to three sentences.
    """
    task, numbers = diagnosis["task"], diagnosis["numbers"]
    accuracy = numbers["accuracy"]["value"]
    if accuracy >= NEARLY_ALWAYS:
        return f"It solves the task: {percent(accuracy)} of its paths are right as a whole{how_solved(task, numbers)}."
    mass = numbers["hard_token_mass"]
    if mass is not None and mass["value"] < 0.5:
        return (
            f"It has not learnt to read the graph: where the node next to the start is due, only "
            f"{percent(mass['value'])} of its probability lies on the start's neighbours."
        )
    if numbers["forced_token_accuracy"] is None:  # it never sees the true previous nodes
        return unforced_verdict(task, numbers)
    if task["reverse"]:
        text = f"It solves {percent(accuracy)} of the reversed paths, in which no step needs a guess"
        given = numbers["accuracy_given_first_step"]
        return text + ("." if given is None else f"; given the first step, {percent(given['value'])}.")
    return forced_verdict(task, numbers)


def how_solved(task: dict[str, Any], numbers: dict[str, Any]) -> str:
    """Say what makes a solution one: the hard token, or that there is none."""
    if task["reverse"]:
        return ". Written from the goal to the start, no step needs a guess"
    if task["degree"] == 1:
        return ", on graphs of one arm"
    return f", the first step among them, where guessing an arm gives {percent(1 / task['degree'])}"


def first_step(task: dict[str, Any], numbers: dict[str, Any]) -> str:
    """Say how good the first step is, as the end of a sentence."""
    hard, chance = numbers["hard_token_accuracy"], 1 / task["degree"]
    if task["degree"] == 1:
        return f"the first step is right {percent(hard['value'])} of the time"
    guess = "a coin toss" if task["degree"] == 2 else f"a guess among {task['degree']} arms"
    if equal(hard, chance):
        return f"the first step is {guess} (right {percent(hard['value'])} of the time)"
    comparison = "more often than" if hard["value"] > chance else "less often than even"
    return f"the first step is right {percent(hard['value'])} of the time, {comparison} {guess} would be"


def forced_verdict(task: dict[str, Any], numbers: dict[str, Any]) -> str:
    """Say why a teacher-forced model fails on paths from the start to the goal."""
    given = numbers["accuracy_given_first_step"]
    if given is None:  # a path of two nodes is its first step
        return f"It solves {percent(numbers['accuracy']['value'])} of the paths: {first_step(task, numbers)}."
    between = numbers["forced_token_accuracy"]["value"][2:-1]
    if between and max(between) < 0.5:
        return (
            f"It does not guess an arm and follow it, but fails as models do that learn rows by heart: with the true "
            f"nodes before them shown, the nodes in between are right {shares(between)} of the time; "
            f"{first_step(task, numbers)}."
        )
    if given["value"] < NEARLY_ALWAYS:
        independent, accuracy = numbers["independent_errors_accuracy"], numbers["accuracy"]
        adding_up = (
            f"errors add up along the path: independent ones would leave {percent(independent['value'])} of the paths "
            f"right, and {percent(accuracy['value'])} are"
            if equal(accuracy, independent)
            else f"{percent(accuracy['value'])} of the paths are right, where independent errors would leave "
            f"{percent(independent['value'])}"
        )
        return (
            f"It has not learnt to follow edges: given the right first step it is right {percent(given['value'])} of "
            f"the time, and {first_step(task, numbers)}; {adding_up}."
        )
    text = (
        f"Errors do not snowball: given the right first step it is right {percent(given['value'])} of the time; it "
        f"fails because {first_step(task, numbers)}."
    )
    text += led_astray(numbers["counterfactual_accuracy"], numbers["counterfactual_end_accuracy"])
    confidence, over = numbers["hard_token_confidence"]["value"], numbers["hard_token_overconfidence"]["value"]
    if over > 0.1:
        text += (
            f" It is surer of its first step than it may be: {percent(confidence)} on average, and right "
            f"{percent(confidence - over)} of the time."
        )
    return text


def led_astray(
    follows: dict[str, float] | None,
    ends: dict[str, float] | None,
    what: str = "arm",
    goals: dict[str, float] | None = None,
    end: str = "goal",
) -> str:
    """Say what a model does that is led into a wrong arm, as a sentence of its own; nothing if that is not known.

    Args:
        follows, ends, goals (`dict`, *optional*): how often it follows it, writes its end, and the goal in its place.
        what (`str`, *optional*, defaults to `"arm"`): what it is led into.
        end (`str`, *optional*, defaults to `"goal"`): where the right path ends: of a reversed one at the start.
    """
    if ends is None:
        return ""
    at_end = f"writes its end {percent(ends['value'])} of the time"
    if goals is not None and goals["value"] >= 1 - NEARLY_ALWAYS:
        at_end += f", and the {end} in its place {percent(goals['value'])}"
    if ends["value"] < 1 - NEARLY_ALWAYS and (goals is None or goals["value"] >= NEARLY_ALWAYS):
        at_end = f"writes the {end}, which stands in the prompt, at its end"
    if follows is None:  # a path of three nodes has nothing but its end
        return f" Led into a wrong {what}, it {at_end}."
    text = f" Led into a wrong {what}, it follows it {percent(follows['value'])} of the time and {at_end}"
    if follows["value"] >= NEARLY_ALWAYS:
        text += f": it follows edges and does not look for the {end} (the Clever Hans cheat)"
    return text + "."


def shares(values: list[float]) -> str:
    """Write shares as `70.0 %, 60.0 % and 50.0 %`."""
    return " and ".join(", ".join(map(percent, values)).rsplit(", ", 1))


def unforced_verdict(task: dict[str, Any], numbers: dict[str, Any]) -> str:
    """Say how far from the goal a model has learnt to see that is never shown the true nodes."""
    nodes = numbers["token_accuracy"]["value"]
    how = "is shown nothing to follow" if task["decoding"] == "parallel" else "writes in an order of its own"
    if len(nodes) == 2:
        return f"It {how}: {first_step(task, numbers)}."
    backwards = nodes[1:-1] if task["reverse"] else nodes[-2:0:-1]
    text = (
        f"It {how}, and solves {percent(numbers['accuracy']['value'])} of the paths. "
        f"From the goal backwards, the nodes in between are right {shares(backwards)} of the time"
    )
    return text + ("." if task["reverse"] else f"; {first_step(task, numbers)}.")
