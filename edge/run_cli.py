"""The command ``fer-edge run``: its options, and what they are handed to."""

from pathlib import Path

import click

from .cli_options import Size, finite, profile_option, reading_options
from .detectors import AUTO
from .errors import EXIT_OK
from .mqtt.address import Broker, MqttChoice, parse_broker

_NOTICE = "Emotion recognition is running"


class _Every(click.ParamType):
    """``auto``, or a number of frames from 1 on."""

    name = "N|auto"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        if value == AUTO or isinstance(value, int):
            return value
        if not str(value).isdecimal() or not 1 <= int(str(value)) <= 1000:
            self.fail(f"expected 'auto' or a number from 1 to 1000, got {value!r}", param, ctx)
        return int(str(value))


class _Broker(click.ParamType):
    """``mqtt[s]://[user@]host[:port]``."""

    name = "URL"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        try:
            return value if isinstance(value, Broker) else parse_broker(str(value))
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


@click.command()
@click.option(
    "--camera",
    default="0",
    show_default=True,
    metavar="WHICH",
    help="A number from `fer-edge cameras`, csi:0, usb:0, usb:/dev/…, rtsp://…, http://…, a clip, "
    "a folder of pictures, - (standard input), or `demo`.",
)
@click.option(
    "--size",
    type=Size(),
    help="To ask a camera for (default 640x480); clips and streams are shrunk to fit into it.",
)
@click.option(
    "--fps",
    type=click.FloatRange(0.1, 1000),
    callback=finite,
    help="To ask a camera for (default 30); a folder is played so fast.",
)
@click.option(
    "--rotate",
    type=click.Choice(["0", "90", "180", "270"]),
    default="0",
    help="Turn the pictures clockwise by so many degrees.",
)
@click.option("--mirror", is_flag=True, help="Swap left and right, as a mirror does.")
@click.option(
    "--realtime",
    is_flag=True,
    help="Play a clip or a folder at its rate; take standard input for live.",
)
@click.option(
    "--retry/--no-retry",
    default=True,
    help="Open a camera again that has gone (default), or end with exit code 3.",
)
@reading_options(detect_size="320x240")
@profile_option
@click.option(
    "--detect-every",
    type=_Every(),
    default=AUTO,
    show_default=True,
    help="Look for faces in every so many frames and follow them in between; auto: where something "
    "has changed, and every 0.3 s.",
)
@click.option(
    "--smooth",
    type=click.FloatRange(0),
    default=0.3,
    show_default=True,
    metavar="S",
    callback=finite,
    help="Average the scores of a face over so many seconds, and hold its label; 0: neither.",
)
@click.option(
    "--max-age",
    type=click.FloatRange(0, min_open=True),
    default=250.0,
    show_default=True,
    metavar="MS",
    callback=finite,
    help="Of a camera: detect less often while results are older than this.",
)
@click.option(
    "--tpu",
    type=click.Choice(["auto", "off", "usb", "pci"]),
    default="auto",
    show_default=True,
    help="A Coral: auto uses one where it, its library and the compiled model are there.",
)
@click.option("--jsonl", metavar="FILE|-", help="Write a JSON line a result; - is standard output.")
@click.option(
    "--events",
    metavar="FILE|-",
    help="Write a JSON line where something changes: a face comes, goes, shows another emotion.",
)
@click.option("--csv", metavar="FILE|-", help="Write a row a face and result.")
@click.option("--record", type=click.Path(path_type=Path), metavar="OUT.mp4", help="Write a clip.")
@click.option(
    "--record-minutes",
    type=click.FloatRange(0, min_open=True),
    metavar="M",
    callback=finite,
    help="Begin a new clip every M minutes, named by its time: OUT-20261121-093000.mp4.",
)
@click.option(
    "--keep-free",
    type=click.FloatRange(0),
    default=34.0,
    show_default=True,
    metavar="MB",
    callback=finite,
    help="Recording and --save-faces stop before less is free on their disk.",
)
@click.option(
    "--save-faces",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Save a picture of each face when it is first named, and when its emotion changes.",
)
@click.option(
    "--notice",
    is_flag=True,
    help="Say on page, window and recording that emotion recognition is running.",
)
@click.option(
    "--serve",
    is_flag=False,
    flag_value="127.0.0.1:8420",
    metavar="[HOST:PORT]",
    help="Serve a live page, on this machine only (127.0.0.1:8420) or where HOST says; beyond "
    "this machine it asks for a token.",
)
@click.option("--serve-token", metavar="TOKEN", help="Default: a new one is made and told.")
@click.option(
    "--mqtt",
    type=_Broker(),
    metavar="mqtt[s]://[USER@]HOST[:PORT]",
    help="Publish state and events to a broker, for Home Assistant too; never a picture.",
)
@click.option(
    "--mqtt-password-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Holds the password of USER; default: the variable FER_EDGE_MQTT_PASSWORD.",
)
@click.option(
    "--mqtt-ca",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Trust certificates signed by these, instead of the system's authorities.",
)
@click.option(
    "--mqtt-cert",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Our own certificate, where the broker asks for one; the key too, without --mqtt-key.",
)
@click.option("--mqtt-key", type=click.Path(path_type=Path), metavar="FILE", help="Its key.")
@click.option(
    "--device-name", metavar="NAME", help="Under which --mqtt publishes; default: the host's name."
)
@click.option("--overwrite", is_flag=True, help="Replace output files that exist.")
@click.option(
    "--append",
    is_flag=True,
    help="Go on at the end of the files of --jsonl, --events and --csv, as a service does.",
)
@click.option("--window/--no-window", default=None, help="Default: where OpenCV has one.")
@click.option("--frames", type=click.IntRange(1), help="End after so many results.")
@click.option(
    "--duration",
    type=click.FloatRange(0.0, min_open=True),
    callback=finite,
    help="End after S seconds.",
)
def run(
    camera: str,
    size: tuple[int, int] | None,
    fps: float | None,
    rotate: str,
    mirror: bool,
    realtime: bool,
    retry: bool,
    model: str | None,
    contract: Path | None,
    detector: str,
    detector_model: Path | None,
    detect_size: tuple[int, int],
    detect_every: int | str,
    align: bool,
    min_face: float,
    smooth: float,
    max_age: float,
    runtime: str,
    threads: int,
    profile: str | None,
    tpu: str,
    jsonl: str | None,
    events: str | None,
    csv: str | None,
    record: Path | None,
    record_minutes: float | None,
    keep_free: float,
    save_faces: Path | None,
    notice: bool,
    serve: str | None,
    serve_token: str | None,
    mqtt: Broker | None,
    mqtt_password_file: Path | None,
    mqtt_ca: Path | None,
    mqtt_cert: Path | None,
    mqtt_key: Path | None,
    device_name: str | None,
    overwrite: bool,
    append: bool,
    window: bool | None,
    frames: int | None,
    duration: float | None,
) -> None:
    """Read emotions from a camera until it ends, q, Ctrl-C or SIGTERM."""
    if record_minutes is not None and record is None:
        raise click.UsageError(
            "--record-minutes says how long the clips of --record are: pass both."
        )
    if append and overwrite:
        raise click.UsageError("--append keeps what is there and --overwrite does not: pass one.")
    if [jsonl, events, csv].count("-") > 1:
        raise click.UsageError(
            "Only one of --jsonl, --events and --csv can be the standard output."
        )
    files = {"password-file": mqtt_password_file, "ca": mqtt_ca, "cert": mqtt_cert, "key": mqtt_key}
    for name, path in files.items():
        if mqtt is None and path is not None:
            raise click.UsageError(f"--mqtt-{name} belongs to --mqtt: pass both.")
    # First, so that the handlers are there while the libraries below are loaded, and while the
    # outputs close their files.
    from .signals import Stopper, stopping_on_signals

    stopper = Stopper()
    with stopping_on_signals(stopper.stop) as heard, stopper.ending_quietly():
        from .detectors import open_detector
        from .profile import with_profile
        from .quality import QualityLimits
        from .reader import EmotionReader
        from .run import CameraChoice, Outputs, RunPlan, run_loop
        from .stages import LoopSettings
        from .tpu import open_classifier

        settings = LoopSettings(
            align=align,
            detect_every=detect_every,
            smooth_s=smooth,
            limits=QualityLimits(min_face_px=min_face),
            max_age_ms=max_age,
            retry=retry,
        )
        plan = RunPlan(
            camera=CameraChoice(camera, size, fps, int(rotate), mirror, realtime),
            open_detector=lambda: open_detector(
                detector, size_wh=detect_size, model=detector_model
            ),
            open_classifier=lambda say: with_profile(
                open_classifier(
                    model, contract=contract, runtime=runtime, threads=threads, tpu=tpu, say=say
                ),
                profile,
                say,
            ),
            open_reader=lambda: EmotionReader(
                model,
                contract=contract,
                detector=detector,
                detector_model=detector_model,
                align=align,
                limits=settings.limits,
                runtime=runtime,
            ),
            outputs=Outputs(
                jsonl=jsonl,
                events=events,
                csv=csv,
                record=record,
                overwrite=overwrite,
                append=append,
                window=window,
                record_minutes=record_minutes,
                keep_free_mb=keep_free,
                save_faces=save_faces,
                notice=_NOTICE if notice else "",
                serve=serve,
                token=serve_token,
                mqtt=mqtt
                and MqttChoice(mqtt, mqtt_password_file, mqtt_ca, mqtt_cert, mqtt_key, device_name),
            ),
            settings=settings,
            frames=frames,
            duration_s=duration,
        )
        run_loop(plan, stopper)
    click.get_current_context().exit(EXIT_OK if heard.exit_code is None else heard.exit_code)
