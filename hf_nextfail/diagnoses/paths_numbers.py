"""What the numbers of a diagnosis of paths with hard places mean, and what each hypothesis says they must be."""

from hf_nextfail.diagnoses.base import Definition

# A hard place is a node of the path, or the edge to it, that several edges compete for: d in the words below. S is how
# many nodes a graph has.
DEFINITIONS: dict[str, Definition] = {
    "accuracy": Definition(
        "whole completions right, greedy and free-running",
        "the chances at all hard places multiplied",
        "1",
        "the chances at all hard places multiplied",
        "(1 - error)^nodes",
    ),
    "hard_token_accuracy": Definition(
        "the first node that needs a plan right, free-running; over the rows that have one",
        "1/d",
        "1",
        "1/d",
        "1 - error",
    ),
    "hard_places_accuracy": Definition(
        "each node that needs a plan right, free-running, in the order of writing",
        "1/d, for each more multiplied by 1/d",
        "1",
        "1/d, for each more multiplied by 1/d",
        "falls from node to node",
    ),
    "forced_hard_places_accuracy": Definition(
        "each node that needs a plan right, with the true previous ones shown", "1/d", "1", "1/d", "1 - error at each"
    ),
    "other_token_accuracy": Definition(
        "the nodes that need no plan and do not stand in the prompt right, free-running; a mean over rows",
        "1/S",
        "1",
        "1 before the first hard place, behind it as right as that",
        "falls from node to node",
    ),
    "forced_other_token_accuracy": Definition(
        "the nodes that need no plan and do not stand in the prompt right, with the true previous ones shown",
        "1/S",
        "1",
        "1",
        "1 - error",
    ),
    "independent_errors_accuracy": Definition(
        "what accuracy would be if errors were independent of each other: the accuracies of a path's nodes "
        "multiplied, each the mean over its kind with the true previous nodes shown",
        "near 0",
        "1",
        "the chances at all hard places multiplied",
        "equal to accuracy",
    ),
    "accuracy_given_hard_token": Definition(
        "with the right nodes shown up to the last one that needs a plan, everything after it right",
        "near 0",
        "1",
        "1",
        "(1 - error)^(nodes behind it), below 1",
    ),
    "clever_hans_accuracy": Definition(
        "accuracy_given_hard_token of the rows that have more behind it than the last node, which stands in the "
        "prompt: evidence that edges are followed",
        "near 0",
        "1",
        "1",
        "(1 - error)^(nodes behind it), below 1",
    ),
    "counterfactual_accuracy": Definition(
        "led into a wrong branch at the last node that needs a plan, that branch followed, its last node left out; "
        "over all wrong branches",
        "1/S",
        "below 1 if it turns to the goal, 1 if it follows edges as well",
        "1",
        "(1 - error)^(nodes in between)",
    ),
    "counterfactual_end_accuracy": Definition(
        "led to the last step of a wrong branch, its end written; over all wrong branches",
        "1/S",
        "0 if it turns to the goal, 1 if it follows edges as well",
        "1, or 0 if it copies the goal",
        "1 - error, or 0 if it copies the goal",
    ),
    "counterfactual_goal_rate": Definition(
        "led to the last step of a wrong branch, the goal (on reversed paths the start) written in the place of its "
        "end; over all wrong branches",
        "1/S",
        "1 if it turns to the goal, 0 if it follows edges as well",
        "0, or 1 if it copies the goal",
        "0, or 1 - error if it copies the goal",
    ),
    "hard_token_mass": Definition(
        "probability, at the last node that needs a plan, of the d nodes to choose from together",
        "d/S",
        "1",
        "1",
        "near 1",
    ),
    "hard_token_confidence": Definition(
        "probability, at the last node that needs a plan, of the likeliest of the d nodes to choose from",
        "1/S",
        "1",
        "1/d, or up to 1 once it has learnt its training rows by heart",
        "near 1",
    ),
    "hard_token_overconfidence": Definition(
        "hard_token_confidence less how often that node is the right one; 0 is calibrated",
        "1/S - 1/d",
        "0",
        "0, or up to 1 - 1/d once it has learnt its training rows by heart",
        "0, or below: what it is unsure of, it often has right",
    ),
    "accuracy_by_distance": Definition(
        "accuracy of the rows whose goal is 1, 2, ... steps from where the path must be chosen, nearest first: of "
        "minimal_planning path_length - 1 - crossing, of goals anywhere on an arm the steps of the path; of reversed "
        "paths those to the start, 0 where nothing needs a plan",
        "as accuracy, and 1 where nothing needs a plan",
        "1",
        "as accuracy, and 1 where nothing needs a plan",
        "falls with the distance",
    ),
    "valid_path_rate": Definition(
        "free-running output runs along edges from the start to an end, the right one or not",
        "near 0",
        "1",
        "1, or as accuracy if it copies the goal",
        "near accuracy",
    ),
}
