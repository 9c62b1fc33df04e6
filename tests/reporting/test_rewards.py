"""The rewards of runs of reinforcement learning: their file, their row, their picture."""

import matplotlib.image
import pytest

from hf_nextfail.errors import UsageError
from hf_nextfail.reporting.pictures import plot_rewards
from hf_nextfail.reporting.reference_pages import results_page, shipped_rewards
from hf_nextfail.reporting.rewards import Reward, Rewards, rewards_rows

POINTS = (
    Reward(0, accuracy=0.5, standard_error=0.01),
    *(Reward(step, (40 + step) / 100, 0.25) for step in range(1, 11)),
    Reward(11, 0.6, 0.25, 0.625, 0.02),
)
RUN = Rewards("G(2,4), 20 labels", "teacher_forced", 42, 0.5, POINTS)


def test_what_is_written_is_read(tmp_path):
    for run in (RUN, Rewards("a, b", 'a "checkpoint"', 1, None, POINTS)):
        run.write(tmp_path / "rewards.csv")
        assert Rewards.read(tmp_path / "rewards.csv") == run


@pytest.mark.parametrize("text", ["", "step,reward\n", "step,reward\n1,0.5\n", "\0"])
def test_another_file_is_one_line(tmp_path, text):
    (tmp_path / "rewards.csv").write_text(text)
    for path in (tmp_path / "rewards.csv", tmp_path / "gone.csv"):
        with pytest.raises(UsageError, match=r"\.csv: not the rewards.csv of a run of recipes/grpo.py") as caught:
            Rewards.read(path)
        assert "\n" not in str(caught.value)


def test_a_run_is_a_row_with_the_means_of_its_ends():
    ((title, *cells),) = rewards_rows([RUN])
    assert title == "G(2,4), 20 labels"
    # 0.41 to 0.45, and 0.47 to 0.50 with the last 0.6
    assert cells == ["teacher_forced", "42", "11", "0.500 ± 0.010", "0.625 ± 0.020", "0.430", "0.508", "75%"]
    page = results_page({}, {"grpo/a/rewards.csv": RUN})
    assert "## grpo" in page and "| 0.500 ± 0.010 | 0.625 ± 0.020 |" in page


def test_runs_of_one_start_share_a_colour_and_a_line_of_the_legend(tmp_path):
    other = Rewards(RUN.title, "hybrid", 42, 0.5, POINTS)
    sizes = set()
    for name, runs in {"one": [RUN], "again": [RUN], "more": [RUN, RUN, other]}.items():
        plot_rewards(runs, tmp_path / f"{name}.png")
        sizes.add(matplotlib.image.imread(tmp_path / f"{name}.png").shape)
    assert len(sizes) == 1
    one, again, more = ((tmp_path / f"{name}.png").read_bytes() for name in ("one", "again", "more"))
    assert one == again != more


def test_all_runs_that_ship_have_two_accuracies_and_rewards_in_between():
    runs = shipped_rewards()
    assert runs
    for path, run in runs.items():
        assert [point.step for point in run.points if point.accuracy is not None] == [0, run.points[-1].step], path
        assert all(0 <= point.reward <= 1 for point in run.points[1:]), path
        assert path.split("/")[-2].endswith(f"{run.start}-seed_{run.seed}"), path
