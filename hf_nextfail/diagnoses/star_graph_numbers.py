"""What the numbers of a diagnosis mean, and what each hypothesis about a model says they must be."""

from hf_nextfail.diagnoses.base import Definition

# The "first step" is the node after the one that the prompt gives away: after the start, on reversed paths after the
# goal.
DEFINITIONS: dict[str, Definition] = {
    "accuracy": Definition(
        "whole completions right, greedy and free-running", "1/d", "1", "1/d", "(1 - error)^(l - 1)"
    ),
    "hard_token_accuracy": Definition(
        "the node next to the start right, free-running", "1/d", "1", "1/d", "1 - error"
    ),
    "token_accuracy": Definition(
        "each node right, free-running, in the order of writing",
        "1/d for nodes, 1 for the one that stands in the prompt",
        "1",
        "1/d from the hard token on",
        "falls from node to node",
    ),
    "forced_token_accuracy": Definition(
        "each node right, with the true previous ones shown; none for decodings that do not show them",
        "1/S, and 1 for the one that stands in the prompt",
        "1",
        "1/d at the hard token, else 1",
        "1 - error at each node",
    ),
    "independent_errors_accuracy": Definition(
        "the product of forced_token_accuracy: what accuracy would be if errors were independent of each other",
        "S^-(l - 1)",
        "1",
        "1/d",
        "equal to accuracy, and below each factor",
    ),
    "accuracy_given_first_step": Definition(
        "with the true first step given, everything after it right; free-running or shown the true nodes, this is the "
        "same",
        "S^-(l - 2)",
        "1",
        "1",
        "(1 - error)^(l - 2), well below 1",
    ),
    "clever_hans_accuracy": Definition(
        "accuracy_given_first_step as evidence that edges are followed; not identifiable on paths of 3 nodes, whose "
        "one later node stands in the prompt",
        "S^-(l - 2)",
        "1",
        "1",
        "(1 - error)^(l - 2)",
    ),
    "counterfactual_accuracy": Definition(
        "with the first step into a wrong arm given, that arm followed, its last node left out; over all wrong arms",
        "S^-(l - 3)",
        "below 1 if it turns to the goal, 1 if it follows edges as well",
        "1",
        "(1 - error)^(l - 3)",
    ),
    "counterfactual_end_accuracy": Definition(
        "led to the last step of a wrong arm, its end written, not the goal that stands in the prompt; over all wrong "
        "arms",
        "1/S",
        "0 if it turns to the goal, 1 if it follows edges as well",
        "1, or 0 if it copies the goal",
        "1 - error, or 0 if it copies the goal",
    ),
    "hard_token_mass": Definition(
        "probability, at the hard token, of the start's d neighbours together", "d/S", "1", "1", "near 1"
    ),
    "hard_token_confidence": Definition(
        "probability, at the hard token, of the likeliest of the start's d neighbours",
        "1/S",
        "1",
        "1/d, or up to 1 once it has learnt its training rows by heart",
        "near 1",
    ),
    "hard_token_overconfidence": Definition(
        "hard_token_confidence less how often that neighbour is the right one; 0 is calibrated",
        "1/S - 1/d",
        "0",
        "0, or up to 1 - 1/d once it has learnt its training rows by heart",
        "0, or below: what it is unsure of, it often has right",
    ),
    "valid_path_rate": Definition(
        "free-running output is an arm from end to end, the right one or not",
        "d/S^(l - 1)",
        "1",
        "1, or 1/d if it copies the goal",
        "near accuracy",
    ),
}
