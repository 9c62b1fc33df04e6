"""Rows stay what they are: whoever changes them changes every dataset, and must bump the version of the task."""

import hashlib

import pytest

from hf_nextfail.tasks import TASKS, Task

# Of the first 1,000 training rows of seed 0, by version and configuration.
DIGESTS = {
    ("star_graph", "1.0.0"): {
        "d2_l5_n50": "9c1af24bb88d940e",
        "d2_l2_n50": "db443d05a345bdcf",
        "d2_l3_n20": "0533e8a37b7e49b4",
        "d2_l3_n50": "a3fc55eb93df58ff",
        "d2_l10_n50": "344021b98cea4a77",
        "d2_l20_n50": "6e790742bf435b3f",
        "d3_l3_n50": "05f141c4c3200b03",
        "d5_l3_n50": "507a4702bbaedea7",
        "d5_l5_n50": "daf119f395ceb5eb",
        "d10_l5_n50": "5d6cdf0f9a5e48af",
        "d20_l5_n100": "9879b29e5b6f1460",
    },
    ("tree_star", "1.0.0"): {
        "d2_b2_s2_l5_n50": "d1b300cbdc958d3c",
        "d2_b2_s1_l3_n20": "43d1f7e48169a651",
        "d2_b2_s1_l5_n50": "2919fddaf93c60b1",
        "d2_b2_s3_l5_n50": "acb078f55c79f474",
        "d2_b2_s3_l7_n100": "8c2b37b9f4239e40",
        "d2_b3_s1_l5_n50": "28624c13a7b7c627",
        "d3_b2_s1_l5_n50": "02827270fdee5be4",
        "d5_b2_s1_l5_n50": "24db6b15715157d1",
    },
    ("crossing_star", "1.0.0"): {
        "medium": "62d8dbf92c08a46a",
        "easy": "1b8ef7379df74017",
        "hard": "afd0821ca5cbdd03",
    },
    ("minimal_planning", "1.0.0"): {
        "l7_n14": "e032224f490841d0",
        "l4_n14": "efe9e542a3eafb67",
        "l5_n10": "74566a9642e117a5",
        "l7_n50": "6f9e64100804833a",
        "l10_n20": "f08cabbec38840d1",
    },
    ("in_weights_star", "1.0.0"): {
        "d5000_l5_p4_g0": "66a9aa217488ac4e",
        "d100_l5_p4_g0": "155d3f3376c1bf13",
        "d1000_l5_p4_g0": "4e22b8bed7f0f5d2",
        "d10000_l6_p4_g0": "5cb2c122c2bbb90e",
    },
}


def digest_of(task: Task) -> str:
    text = task.to_text(task.sample_shard("train", shard=0, num_rows=1_000))
    rows = [p + c for p, c in zip(text["prompt"].tolist(), text["completion"].tolist(), strict=True)]
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", TASKS)
def test_known_rows(name):
    kind = TASKS[name]
    rows = {config_name: digest_of(kind.from_config_name(config_name)) for config_name in kind.grid}
    assert rows == DIGESTS[name, kind.version]
