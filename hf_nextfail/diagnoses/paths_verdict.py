"""A diagnosis of paths with hard places in a few words, each derived from its numbers."""

import math
from typing import Any

from hf_nextfail.diagnoses.star_graph_verdict import NEARLY_ALWAYS, equal, led_astray, percent


def verdict(diagnosis: dict[str, Any]) -> str:
    """Say in plain words what a model does, and why it fails if it fails.

    Args:
        diagnosis (`dict`): `task` and `numbers`, as `hf_nextfail.diagnose` returns them.

    Returns:
        `str` of one to four sentences.
    """
    task, numbers = diagnosis["task"], diagnosis["numbers"]
    accuracy, mass = numbers["accuracy"]["value"], numbers["hard_token_mass"]
    if accuracy >= NEARLY_ALWAYS:
        return f"It solves the task: {percent(accuracy)} of its paths are right as a whole{how_solved(task)}."
    if mass is not None and mass["value"] < 0.5:
        return (
            f"It has not learnt to read the graph: where a node that needs a plan is due, only "
            f"{percent(mass['value'])} of its probability lies on the nodes to choose from."
        )
    if numbers["forced_hard_places_accuracy"] is None and numbers["forced_other_token_accuracy"] is None:
        return unforced_verdict(task, numbers)
    text = forced_verdict(task, numbers) + by_distance(task, numbers["accuracy_by_distance"])
    over = numbers["hard_token_overconfidence"]
    if over is not None and over["value"] > 0.1:
        confidence = numbers["hard_token_confidence"]["value"]
        text += (
            f" It is surer of its choice than it may be: {percent(confidence)} on average, and right "
            f"{percent(confidence - over['value'])} of the time."
        )
    return text


def how_solved(task: dict[str, Any]) -> str:
    """Say what makes a solution one: the nodes that need a plan, or that there is none."""
    if not task["chance"]:
        return ", in which no node needs a plan"
    what = "the node that needs a plan" if len(task["chance"]) == 1 else "the nodes that need a plan"
    return f", {what} among them, where guessing gives {percent(math.prod(task['chance']))}"


def at_the_choice(task: dict[str, Any], numbers: dict[str, Any]) -> str:
    """Say how good the nodes are that need a plan, as the end of a sentence."""
    hard = numbers["hard_token_accuracy"]
    if hard is None:
        return "no node needs a plan"
    text = f"{first_of(task)} is {compared(hard, task['chance'][0])}"
    forced = numbers["forced_hard_places_accuracy"]
    if forced is None or len(task["chance"]) == 1:
        return text
    later = [
        f"{percent(value)} where guessing gives {percent(chance)}"
        for value, chance in zip(forced["value"][1:], task["chance"][1:], strict=True)
    ]
    return f"{text}; with the right ones before it shown, the later ones are right {', '.join(later)}"


def first_of(task: dict[str, Any]) -> str:
    """Name the first node that needs a plan."""
    return "the node that needs a plan" if len(task["chance"]) == 1 else "the first node that needs a plan"


def compared(hard: dict[str, float], chance: float) -> str:
    """Compare how often a choice is right with a guess."""
    guess = "a coin toss" if chance == 0.5 else f"a guess ({percent(chance)})"
    if equal(hard, chance):
        return f"{guess}, right {percent(hard['value'])} of the time"
    comparison = "more often than" if hard["value"] > chance else "less often than even"
    return f"right {percent(hard['value'])} of the time, {comparison} {guess} would be"


def forced_verdict(task: dict[str, Any], numbers: dict[str, Any]) -> str:
    """Say why a model fails that is shown the true previous nodes."""
    choice, given = at_the_choice(task, numbers), numbers["accuracy_given_hard_token"]
    other, accuracy = numbers["forced_other_token_accuracy"], numbers["accuracy"]
    if task["chance"] and other is not None and other["value"] < 0.5:
        return (
            "It does not guess and follow edges, but fails as models do that learn rows by heart: with the true "
            f"nodes before them shown, the nodes that need no plan are right {percent(other['value'])} of the time; "
            f"{choice}."
        )
    clumsy = [number["value"] for number in (other, given) if number is not None and number["value"] < NEARLY_ALWAYS]
    if clumsy:
        independent = numbers["independent_errors_accuracy"]
        follows = "" if other is None else f"nodes that need no plan are right {percent(other['value'])} of the time, "
        rest = "" if given is None else f"given the right choice the rest is right {percent(given['value'])}, "
        adding_up = (
            f"errors add up along the path: independent ones would leave {percent(independent['value'])} of the paths "
            f"right, and {percent(accuracy['value'])} are"
            if equal(accuracy, independent)
            else f"{percent(accuracy['value'])} of the paths are right, where independent errors would leave "
            f"{percent(independent['value'])}"
        )
        return f"It has not learnt to follow edges: {follows}{rest}and {choice}; {adding_up}."
    if given is None:
        return f"It solves {percent(accuracy['value'])} of the paths: {choice}."
    text = (
        f"Errors do not snowball: given the right choice, the rest is right {percent(given['value'])} of the time; it "
        f"fails because {choice}."
    )
    return text + led_astray(
        numbers["counterfactual_accuracy"],
        numbers["counterfactual_end_accuracy"],
        "branch",
        numbers["counterfactual_goal_rate"],
        "start" if task["reverse"] else "goal",
    )


def by_distance(task: dict[str, Any], accuracy: dict[str, Any] | None) -> str:
    """Say whether accuracy falls with the distance of the goal, or start, as a sentence; nothing if it does not."""
    if accuracy is None:
        return ""
    near, far = ({key: accuracy[key][place] for key in ("value", "standard_error")} for place in (0, -1))
    if equal(near, far):
        return ""
    steps = [f"{count} step{'s' * (count != 1)}" for count in (task["distances"][0], task["distances"][-1])]
    end = "start" if task["reverse"] else "goal"
    return (
        f" Of paths whose {end} is {steps[0]} from the choice {percent(near['value'])} are right, of those of "
        f"{steps[1]} {percent(far['value'])}."
    )


def unforced_verdict(task: dict[str, Any], numbers: dict[str, Any]) -> str:
    """Say what a model has learnt that is never shown the true nodes."""
    how = "is shown nothing to follow" if task["decoding"] == "parallel" else "writes in an order of its own"
    other = numbers["other_token_accuracy"]
    rest = "" if other is None else f"the nodes that need no plan are right {percent(other['value'])} of the time; "
    solved, choice = percent(numbers["accuracy"]["value"]), at_the_choice(task, numbers)
    text = f"It {how}, and solves {solved} of the paths: {rest}{choice}."
    return text + by_distance(task, numbers["accuracy_by_distance"])
