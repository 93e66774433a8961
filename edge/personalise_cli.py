"""The command ``fer-edge personalise``: a profile of one's own neutral face, kept on the device."""

from pathlib import Path

import click

from .cli_options import Size, finite, reading_options
from .errors import EXIT_OK


@click.command()
@click.option(
    "--camera", default="0", show_default=True, metavar="WHICH", help="As of `fer-edge run`."
)
@click.option("--size", type=Size(), help="To ask a camera for (default 640x480).")
@click.option("--name", default="me", show_default=True, help="Of the profile.")
@click.option(
    "--seconds",
    type=click.FloatRange(3, 120),
    default=10.0,
    show_default=True,
    callback=finite,
    help="How long to look, from the first face on.",
)
@click.option("--overwrite", is_flag=True, help="Replace a profile of this name.")
@click.option("--list", "list_them", is_flag=True, help="List the profiles on this device.")
@click.option("--delete", metavar="NAME", help="Delete a profile.")
@reading_options(detect_size="320x240")
def personalise(
    camera: str,
    size: tuple[int, int] | None,
    name: str,
    seconds: float,
    overwrite: bool,
    list_them: bool,
    delete: str | None,
    model: str | None,
    contract: Path | None,
    detector: str,
    detector_model: Path | None,
    detect_size: tuple[int, int],
    align: bool,
    min_face: float,
    runtime: str,
    threads: int,
) -> None:
    """Record ten seconds of your neutral face, to correct readings by it.

    What is kept is a number for each emotion, in one small file and only on this device; no
    picture. `fer-edge run --profile NAME` uses it.
    """
    from .profile import delete_profile

    if list_them and delete is not None:
        raise click.UsageError("--list and --delete: pass one of them.")
    if delete is not None:
        click.echo(f"deleted {delete_profile(delete)}", err=True)
        return
    if list_them:
        _print_list()
        return
    from .signals import Stopper, stopping_on_signals

    stopper = Stopper()
    with stopping_on_signals(stopper.stop) as heard, stopper.ending_quietly():
        from .cameras import open_camera
        from .classifier import EmotionClassifier
        from .detectors import open_detector
        from .personalise import make_profile, record
        from .profile import NEUTRAL, require_free, save_profile
        from .quality import QualityLimits
        from .stages import LoopSettings

        require_free(name, overwrite=overwrite)
        found = open_detector(detector, size_wh=detect_size, model=detector_model)
        classifier = EmotionClassifier.open(
            model, contract=contract, runtime=runtime, threads=threads
        )
        with open_camera(camera, size_wh=size, colour=found.colour, say=_say) as opened:
            _say(f"look into {opened.name} with a neutral face, alone in the picture")
            neutral = record(
                opened,
                found,
                classifier,
                seconds=seconds,
                settings=LoopSettings(
                    align=align, smooth_s=0.0, limits=QualityLimits(min_face_px=min_face)
                ),
                say=_say,
                hand_over=stopper.hand_over,
            )
        if neutral is not None:
            profile = make_profile(name, neutral, classifier)
            path = save_profile(profile, overwrite=overwrite)
            before, after = neutral.mean_scores(), neutral.mean_scores(dict(profile.offset))
            _say(
                f"on these {profile.frames} frames neutral had {before[NEUTRAL]:.0%} of the "
                f"scores, and has {after[NEUTRAL]:.0%} with the profile"
            )
            seen = max(before, key=lambda label: before[label])
            if seen != NEUTRAL:
                _say(
                    f"the model took this face for {seen} ({before[seen]:.0%}): if you looked so, "
                    f"record again with --overwrite"
                )
            for label, value in profile.offset.items():
                click.echo(f"{label:<10} {value:5.2f}")
            _say(
                f"kept as {path}; `fer-edge run --profile {name}` uses it, `fer-edge personalise "
                f"--delete {name}` deletes it"
            )
    click.get_current_context().exit(EXIT_OK if heard.exit_code is None else heard.exit_code)


def _print_list() -> None:
    from .profile import Profile, list_profiles, profile_folder

    profiles = list(list_profiles())
    for name, profile in profiles:
        if isinstance(profile, Profile):
            about = f"{profile.created}  {profile.model}  {profile.frames} frames"
        else:
            about = str(profile)
        click.echo(f"{name}  {about}")
    if not profiles:
        _say(f"there are no profiles in {profile_folder()}; `fer-edge personalise` makes one")


def _say(text: str) -> None:
    click.echo(f"fer-edge: {text}", err=True)
