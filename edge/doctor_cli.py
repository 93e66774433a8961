"""The command ``fer-edge doctor``."""

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
@click.option(
    "--camera",
    default="",
    metavar="SOURCE",
    help="Try this camera, as `run` takes it, and not all that are plugged in.",
)
@click.option(
    "--limit",
    "limit_s",
    default=4.0,
    show_default=True,
    type=click.FloatRange(1.0, 600.0),
    metavar="S",
    help="Seconds for all checks together; a slow machine needs more.",
)
@click.pass_context
def doctor(ctx: click.Context, as_json: bool, camera: str, limit_s: float) -> None:
    """Look for what is wrong with this machine, and say the cure.

    Ends with exit code 1 where something does not work, else with 0. It changes
    nothing, and reads no configuration but to check it.
    """
    import json
    import time
    from typing import cast

    from .doctor.checks import diagnose
    from .doctor.finding import document, exit_code
    from .doctor.show import show

    began = time.monotonic()
    root = ctx.find_root()
    findings = diagnose(
        cast(click.Group, root.command),
        config=root.params.get("config_file"),
        source=camera,
        limit_s=limit_s,
    )
    took_s = time.monotonic() - began
    if as_json:
        click.echo(json.dumps(document(findings, took_s), indent=1))
    else:
        show(findings, took_s)
    ctx.exit(exit_code(findings))
