"""What reinforcement learning earns over its steps: a line a run."""

from collections.abc import Sequence
from os import PathLike

from hf_nextfail.reporting.pictures.base import MOST, WIDTH, colour_of, in_words, mark_chance, over_steps, picture
from hf_nextfail.reporting.rewards import Rewards


def plot_rewards(runs: Sequence[Rewards], path: str | PathLike) -> None:
    """Draw the reward of completions that were drawn, and at both ends the accuracy of greedy ones.

    Args:
        runs (sequence of `Rewards`): those of one start have one colour and one line of the legend.
        path (path): where the picture goes, `.png` or `.svg`.
    """
    starts = list(dict.fromkeys(run.start for run in runs))[:MOST]
    with picture(path, WIDTH, 2.7) as figure:
        axes = figure.add_subplot()
        for start in starts:
            drawn = [run for run in runs if run.start == start]
            colour, ends = colour_of(start), []
            for run in drawn:
                rewards = [point for point in run.points if point.reward is not None]
                measured = [point for point in run.points if point.accuracy is not None]
                ends.append(f"{measured[0].accuracy:.3f} to {measured[-1].accuracy:.3f}")
                axes.plot([p.step for p in rewards], [p.reward for p in rewards], color=colour, linewidth=1.3)
                style = {"color": colour, "linestyle": "", "marker": "o", "markersize": 4.5, "clip_on": False}
                axes.plot([p.step for p in measured], [p.accuracy for p in measured], **style)
            axes.plot([], [], color=colour, marker="o", markersize=4.5, label="\n".join([in_words(start), *ends]))
        axes.set_title(f"{' and '.join(dict.fromkeys(run.title for run in runs))}: reward of the verifier")
        axes.set_ylabel("mean reward of what is drawn")
        axes.set_xlabel("steps of reinforcement learning")
        over_steps(axes, [point.step for run in runs for point in run.points])
        mark_chance(axes, [run.chance for run in runs])
        title = "start of the run, its\ntest accuracy (dots)"
        style = {"handlelength": 2, "labelspacing": 0.6, "title_fontsize": 8.5, "fontsize": 8}
        figure.legend(loc="outside right upper", title=title, alignment="left", **style)
