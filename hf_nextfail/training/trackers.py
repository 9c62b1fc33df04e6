"""Final numbers and pictures to the experiment trackers that `report_to` names."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from transformers import Trainer, TrainerCallback
from transformers.integrations import TensorBoardCallback, TrackioCallback, WandbCallback

from hf_nextfail.reporting.record import Record


def to_tensorboard(callback: TrainerCallback, name: str, picture: Path) -> None:
    """Add a picture to the open event file."""
    from matplotlib.image import imread

    callback.tb_writer.add_image(name, imread(picture)[..., :3], dataformats="HWC")


def to_trackio(callback: TrainerCallback, name: str, picture: Path) -> None:
    """Add a picture to the open run."""
    import trackio

    trackio.log({name: trackio.Image(str(picture))})


def to_wandb(callback: TrainerCallback, name: str, picture: Path) -> None:
    """Add a picture to the open run."""
    import wandb

    wandb.log({name: wandb.Image(str(picture))})


SEND_PICTURE: dict[type[TrainerCallback], Callable[[TrainerCallback, str, Path], None]] = {
    TensorBoardCallback: to_tensorboard,
    TrackioCallback: to_trackio,
    WandbCallback: to_wandb,
}


def report_end(trainer: Trainer, scalars: Mapping[str, float], pictures: Sequence[Path]) -> None:
    """Send what was measured after training, numbers to every tracker and pictures to those that take some.

    Trackers close when training ends; each opens again by itself, for the same run.

    Args:
        trainer (`Trainer`): after training.
        scalars (mapping): by their names in the tracker, such as `test_accuracy`.
        pictures (sequence of paths): PNG files; others are left out.
    """
    if not trainer.is_world_process_zero():
        return
    state = (trainer.args, trainer.state, trainer.control)
    for callback in trainer.callback_handler.callbacks:
        send = next((send for kind, send in SEND_PICTURE.items() if isinstance(callback, kind)), None)
        if send is None:
            continue
        callback.on_log(*state, logs=dict(scalars), model=trainer.model)
        for picture in pictures:
            if picture.suffix == ".png":
                send(callback, picture.stem, picture)
        callback.on_train_end(*state, model=trainer.model, processing_class=trainer.processing_class)


def tracked_numbers(record: Record) -> dict[str, float]:
    """Choose what of a record goes to trackers: every number that is one, named after the rows that it is on."""
    diagnosed = {} if record.diagnosis is None else record.diagnosis["numbers"]
    return {
        name if name.startswith(("train_", "test_")) else f"test_{name}": result["value"]
        for name, result in (diagnosed | record.results).items()
        if result is not None and not isinstance(result["value"], list)
    }
