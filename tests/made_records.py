"""Records of runs for tests: real results.json files of ours, with diagnoses as they are written during training."""

import json
from pathlib import Path
from typing import Any

RECORDS = Path(__file__).parent / "records"
OBJECTIVES = ("teacher_forced", "teacherless", "reversed")
KINDS = ("right arm", "wrong arm", "wrong arm to the goal", "jump", "repeated node", "not a node", "wrong length")


def result(value: Any) -> dict[str, Any]:
    error = [0.004] * len(value) if isinstance(value, list) else 0.004
    return {"value": value, "standard_error": error, "n": 2_000, "num_graphs": 1_985}


def old_record(objective: str, seed: int = 42) -> dict[str, Any]:
    """What a run wrote before there were diagnoses."""
    return json.loads((RECORDS / "smoke" / f"seed_{seed}" / f"{objective}.json").read_text(encoding="utf-8"))


def diagnosed_record(objective: str, seed: int = 42) -> dict[str, Any]:
    """The same with a diagnosis at every evaluation and at the end."""
    record, reverse = old_record(objective, seed), objective == "reversed"
    forced, accuracy = objective != "teacherless", record["results"]["accuracy"]["value"]
    last = record["history"][-1]["step"]
    for point in record["history"]:
        learnt = point["step"] / last
        nodes = [1.0, point["accuracy"], learnt]
        point["diagnosis"] = {
            "accuracy": point["accuracy"],
            "hard_token_accuracy": point["accuracy"],
            "token_accuracy": nodes[::-1] if reverse else nodes,
            "hard_token_mass": min(1.0, 3 * learnt),
            "valid_path_rate": learnt**2,
            "errors": dict(
                zip(KINDS, (point["accuracy"], 1 - point["accuracy"], 0.0, 0.0, 0.0, 0.0, 0.0), strict=True)
            ),
        }
        if forced:
            point["diagnosis"] |= {"accuracy_given_first_step": learnt, "counterfactual_accuracy": learnt / 2}
    numbers = {name: result(value) for name, value in point["diagnosis"].items() if name != "errors"}
    shares = (accuracy, (1 - accuracy) * 0.5, (1 - accuracy) * 0.25, (1 - accuracy) * 0.25, 0.0, 0.0, 0.0)
    path = [17, 13, 11]
    record["diagnosis"] = {
        "task": {
            "degree": 2,
            "path_length": 3,
            "reverse": reverse,
            "hard_node": 1,
            "objective": record["run"]["objective"],
        },
        "numbers": {"clever_hans_accuracy": None} | numbers,
        "absent": {"clever_hans_accuracy": "not identifiable: the one later node stands in the prompt"},
        "calibration": [],
        "errors": {kind: result(share) for kind, share in zip(KINDS, shares, strict=True)},
        "examples": {
            "wrong arm": [{"prompt": "17,13|13,11|17,7|7,8/17,11=", "completion": "17,13,11", "written": "17,7,8"}]
        },
        "drawing": {
            "edges": [[17, 13], [13, 11], [17, 7], [7, 8]],
            "path": path,
            "start": 17,
            "goal": 11,
            "written": ["11", "7", "17"] if reverse else ["17", "7", "8"],
            "probabilities": {"13": 0.48, "7": 0.51},
        },
        "verdict": f"The verdict on {objective}.",
    }
    return record


def diagnosed_records() -> list[dict[str, Any]]:
    return [diagnosed_record(objective) for objective in OBJECTIVES]
