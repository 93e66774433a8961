"""The command ``fer-edge cameras``."""

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def cameras(as_json: bool) -> None:
    """List the cameras of this machine; their position is what --camera takes.

    A camera that another program holds is not listed. Ends with exit code 3 where there is none,
    or with an empty list.
    """
    import json
    from dataclasses import asdict

    from .cameras import list_cameras
    from .errors import CameraError

    found = list_cameras()
    if as_json:
        click.echo(json.dumps([asdict(camera) for camera in found]))
        return
    if not found:
        raise CameraError("No camera was found here. `fer-edge run --camera demo` needs none.")
    for camera in found:
        click.echo(f"{camera.position}  {camera.kind}  {camera.address}  {camera.name}")
        if camera.stable:
            click.echo(f"     always: --camera usb:{camera.stable}")
        for mode in camera.modes:
            rates = ", ".join(f"{rate:g}" for rate in mode.fps)
            size = f"{mode.size_wh[0]}x{mode.size_wh[1]}"
            click.echo(
                f"     {mode.format:<4}  {size:<9}  {rates and f'{rates} frames/s'}".rstrip()
            )
