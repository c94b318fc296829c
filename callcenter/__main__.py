"""The command line: `python -m callcenter {demo,gateway,sip,worker,admin,call}`.

Each command imports its program only when it runs, so that a gateway never loads torch and a test
call never loads the gateway. Nothing is decided here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from callcenter.errors import ConfigurationError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A contact center that runs on a full-duplex voice model.",
)

USAGE_ERROR = 2


@app.command()
def gateway() -> None:
    """Answer carriers' calls; settings come from the environment (callcenter/settings.py)."""
    from callcenter.gateway import program
    from callcenter.settings import GatewaySettings

    program.run(GatewaySettings.load())


@app.command()
def sip() -> None:
    """Answer calls over SIP trunks; settings come from the environment, trunks from TRUNKS_FILE."""
    from callcenter.gateway import sip_program
    from callcenter.settings import SipSettings

    sip_program.run(SipSettings.load())


@app.command()
def worker() -> None:
    """Run an engine and serve sessions; settings come from the environment."""
    from callcenter.settings import WorkerSettings
    from callcenter.worker import program

    raise typer.Exit(program.run(WorkerSettings.load()))


@app.command()
def admin() -> None:
    """Serve the admin API and the console; settings come from the environment."""
    from callcenter.settings import AdminSettings

    settings = AdminSettings.load()  # first: a missing one is said without loading the rest
    from callcenter.admin import program

    program.run(settings)


@app.command()
def demo(
    port: Annotated[int, typer.Option(help="Where the gateway listens on 127.0.0.1.")] = 8080,
    slots: Annotated[int, typer.Option(help="Calls at once.")] = 4,
    admin_port: Annotated[int, typer.Option(help="Where the console is, on 127.0.0.1.")] = 8070,
    data: Annotated[
        Path | None, typer.Option(help="Folder that keeps the admin app's database.")
    ] = None,
) -> None:
    """Start everything on this machine: Valkey, a worker with the rehearsal engine, the console."""
    from callcenter.gateway import demo as program

    program.run(port, slots, admin_port, data)


@app.command()
def call(
    number: Annotated[str, typer.Option(help="Number to call, E.164.")],
    wav: Annotated[
        list[Path] | None, typer.Option(help="What to say when the agent has finished; repeatable.")
    ] = None,
    server: Annotated[str, typer.Option(help="Where to connect.")] = "http://127.0.0.1:8080",
    token: Annotated[
        str, typer.Option(envvar="TWILIO_AUTH_TOKEN", help="Secret shared with the server.")
    ] = "",
    out: Annotated[Path | None, typer.Option(help="Write what was heard here, as WAV.")] = None,
    interrupt: Annotated[
        list[str] | None,
        typer.Option(help="FILE[@SECONDS]: said that long into the agent's speech; repeatable."),
    ] = None,
    dtmf: Annotated[str, typer.Option(help="Keys to press at the end.")] = "",
    script: Annotated[Path | None, typer.Option(help="A YAML file of steps.")] = None,
    stereo: Annotated[bool, typer.Option(help="Caller left, agent right.")] = False,
    public_url: Annotated[
        str, typer.Option(help="The server's PUBLIC_BASE_URL, where it differs from --server.")
    ] = "",
    caller: Annotated[str, typer.Option(help="Number to call from.")] = "+15005550006",
    max_s: Annotated[float, typer.Option(help="Hang up after so long in any case.")] = 120.0,
) -> None:
    """Call a running system as Twilio does, in real time; prints one JSON line."""
    from callcenter.evaluation.call import run

    if not token:
        raise ConfigurationError("TWILIO_AUTH_TOKEN is not set; the server checks signatures by it")
    status = run(
        number,
        server,
        token,
        wav=wav or (),
        interrupt=interrupt or (),
        dtmf=dtmf,
        script=script,
        out=out,
        stereo=stereo,
        public_url=public_url,
        caller=caller,
        max_s=max_s,
    )
    raise typer.Exit(status)


def main() -> None:
    """Runs the command; a wrong configuration is a message, not a traceback."""
    try:
        app()
    except ConfigurationError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(USAGE_ERROR) from None


if __name__ == "__main__":
    main()
