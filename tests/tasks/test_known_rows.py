"""Rows stay what they are: whoever changes them changes every dataset, and must bump the version of the task."""

import pytest
from known_rows import digest_of

from hf_nextfail.tasks import TASKS, StarGraph

# Of the first 1,000 training rows of seed 0, by version and configuration.
DIGESTS = {
    ("star_graph", "1.0.0"): {
        "d2_l5_n50": "6c3e5640d77b64a6",
        "d2_l2_n50": "29ef6b3b2dfc218b",
        "d2_l3_n20": "a3da853a1adbfb63",
        "d2_l3_n50": "03ffd8bf5931b0bc",
        "d2_l10_n50": "45c70a6160802c9b",
        "d2_l20_n50": "2c398163ff0f10c9",
        "d3_l3_n50": "c9f92020a49d1484",
        "d5_l3_n50": "c9cc0cbb61bf9651",
        "d5_l5_n50": "1899877e2bdecf09",
        "d10_l5_n50": "77d01f84d212afd4",
        "d20_l5_n100": "56bffbf58db5c77c",
    },
    ("tree_star", "1.0.0"): {
        "d2_b2_s2_l5_n50": "81de6c8b11fdc793",
        "d2_b2_s1_l3_n20": "8c9c8097d737ef6e",
        "d2_b2_s1_l5_n50": "303253073579c87c",
        "d2_b2_s3_l5_n50": "59d9a354efe872e8",
        "d2_b2_s3_l7_n100": "3e16071468988fa1",
        "d2_b3_s1_l5_n50": "fec8214137a75746",
        "d3_b2_s1_l5_n50": "b766f658799a76b1",
        "d5_b2_s1_l5_n50": "617bdb9fd33f609e",
    },
    ("crossing_star", "1.0.0"): {
        "medium": "44b5d28f75d37419",
        "easy": "c5c0f513cf729211",
        "hard": "9b21426c3a6acb06",
    },
    ("minimal_planning", "1.0.0"): {
        "l7_n14": "ed1b258af123564e",
        "l4_n14": "7b3e8305b9dc6a2d",
        "l5_n10": "e72e9a03757eb847",
        "l7_n50": "f55a6098c4e3bc30",
        "l10_n20": "40db17fa04cc66b3",
    },
    ("in_weights_star", "1.0.0"): {
        "d5000_l5_p4_g0": "d3cfef6e649af8b2",
        "d100_l5_p4_g0": "139c83df7fee0dbb",
        "d1000_l5_p4_g0": "c65f33dd8068cbc1",
        "d10000_l6_p4_g0": "ce8d80f68dd4743a",
    },
    ("countdown", "1.0.0"): {
        "n4": "0cafd5a1f82ea627",
        "n3": "185dfebbd545ec37",
        "n5": "970b752a31800b8c",
    },
    ("word_problem", "1.0.0"): {
        "a5_l12": "d635a4577a3e2caa",
        "a5_l36": "b3b935bdc622c5a8",
        "s5_l12": "c6d73ef9fc938c2d",
        "s5_l36": "d8f06911b91a4460",
    },
    ("sibling_discovery", "1.0.0"): {
        "p5_c2500_g0": "53b56dca3cb10b49",
        "p5_c500_g0": "8788be93a15cbed3",
        "p5_c2500_g0_rev": "dd6ae8f55c821ffc",
        "p5_c500_g0_rev": "22d82914defb3f2e",
    },
    ("triangle_discovery", "1.0.0"): {
        "n200_d60_g0": "675811648d0b0d3e",
        "n100_d40_g0": "215d899a02ad9194",
    },
    ("circle_construction", "1.0.0"): {
        "l9_n15": "06416ef8c5ba9b19",
        "l9_n10": "1968879d8d545ab3",
    },
    ("line_construction", "1.0.0"): {
        "l9_n15": "4aa8e7038ff1588b",
        "l9_n10": "a6fa74f3b02e3672",
    },
}
# Of configurations that are not in a grid.
OTHERS = {
    "d2_l5_n50_rev": "ae1f051ab6fdaa15",
    "d2_l5_n50_any": "19524f0f6c00c97b",
    "d2_l5_n50_instruct": "a48a44ed8b69ba7a",
    "d2_l5_n50_rev_instruct": "6c5f9f9bb59431f6",
}


def test_known_rows_of_other_ways_to_write_a_star_graph():
    rows = {config_name: digest_of(StarGraph.from_config_name(config_name)) for config_name in OTHERS}
    assert (rows, StarGraph.version) == (OTHERS, "1.0.0")


@pytest.mark.parametrize("name", TASKS)
def test_known_rows(name):
    kind = TASKS[name]
    rows = {config_name: digest_of(kind.from_config_name(config_name)) for config_name in kind.grid}
    assert rows == DIGESTS[name, kind.version]
