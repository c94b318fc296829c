"""The command line: `python -m callcenter {demo,gateway,sip,worker,admin,admin-key,keys,call,...}`.

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
    """Answer carriers' calls; settings come from the environment (callcenter/settings/)."""
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
def model(
    into: Annotated[Path, typer.Option(help="Folder for the model; the workers' CHECKPOINT.")],
    revision: Annotated[str, typer.Option(help="Commit id of the model's repository.")] = "",
    repository: Annotated[str, typer.Option(help="On the hub.")] = "nvidia/personaplex-7b-v1",
    token: Annotated[str, typer.Option(envvar="HF_TOKEN", help="Has accepted the licence.")] = "",
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="You have read and accept the licence.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Download nothing; prove the files that are there.")
    ] = False,
) -> None:
    """Fetch the model, once: resumable, every file proved by its checksum."""
    from callcenter.worker import model as program

    if verify:
        typer.echo("\n".join(program.verify(into)))
        return
    typer.echo(program.LICENCE_NOTICE.format(repository=repository), err=True)
    if not accept_licence:
        raise ConfigurationError("nothing was downloaded: add --accept-licence to accept it")
    typer.echo("\n".join(program.run(repository, revision, into, token or None)))


@app.command()
def admin() -> None:
    """Serve the admin API and the console; settings come from the environment."""
    from callcenter.settings import AdminSettings

    settings = AdminSettings.load()  # first: a missing one is said without loading the rest
    from callcenter.admin import program

    program.run(settings)


@app.command("admin-key")
def admin_key(
    name: Annotated[str, typer.Option(help="What lists call it; made up when empty.")] = "",
) -> None:
    """Make an admin's key when nobody gets in: good for 24 h, or until another admin gets in."""
    from callcenter.settings import AdminSettings

    settings = AdminSettings.load()
    from callcenter.admin import program

    typer.echo(program.new_admin_key(settings, name))


@app.command()
def keys(
    seed: Annotated[
        str, typer.Option(envvar="CONFIG_SIGNING_KEY", help="Print its public key only.")
    ] = "",
) -> None:
    """Make the pair of keys for the published configuration, as environment variables."""
    from callcenter.published import signing

    if seed:
        typer.echo(f"CONFIG_PUBLIC_KEY={signing.public_text(signing.signer(seed, ''))}")
        return
    private, public = signing.new_pair()
    typer.echo(f"CONFIG_SIGNING_KEY={private}\nCONFIG_PUBLIC_KEY={public}")


@app.command()
def demo(
    port: Annotated[int, typer.Option(help="Where the gateway listens on 127.0.0.1.")] = 8080,
    slots: Annotated[int, typer.Option(help="Calls at once.")] = 4,
    engine: Annotated[str, typer.Option(help="cascade, or rehearsal (no models).")] = "cascade",
    admin_port: Annotated[int, typer.Option(help="Where the console is; 0: anywhere.")] = 8070,
    data: Annotated[
        Path | None, typer.Option(help="Folder that keeps the admin app's database.")
    ] = None,
    log: Annotated[
        str, typer.Option(help="json, text, or auto: warnings as text on a terminal.")
    ] = "auto",
) -> None:
    """Start everything on this machine: Valkey, a worker without a GPU, the console, a gateway."""
    from callcenter.gateway import demo as program

    program.run(port, slots, engine, admin_port, data, log)


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
    expect_speech: Annotated[
        bool, typer.Option("--expect-speech", help="Fail unless the agent was heard.")
    ] = False,
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
        expect_speech=expect_speech,
    )
    raise typer.Exit(status)


@app.command()
def sizing(
    concurrent: Annotated[int, typer.Option(help="Calls at once at peak.")] = 0,
    calls_per_hour: Annotated[float, typer.Option(help="Calls in the busiest hour.")] = 0.0,
    average_s: Annotated[float, typer.Option(help="Their mean length.")] = 240.0,
    blocking: Annotated[float, typer.Option(help="Share that may find no slot.")] = 0.01,
    device: Annotated[str, typer.Option(help="Part of the GPU's name.")] = "H100",
    kv: Annotated[str, typer.Option(help="Precision of the cache: bf16 or fp8.")] = "bf16",
    weights: Annotated[str, typer.Option(help="Precision of the weights: bf16 or fp8.")] = "bf16",
    spare_gpus: Annotated[int, typer.Option(help="That may fail at peak.")] = 1,
    calls_per_gateway: Annotated[int, typer.Option(help="Of one gateway pod.")] = 50,
    gpu_price_per_hour: Annotated[float, typer.Option(help="In any currency.")] = 0.0,
    gateway_price_per_hour: Annotated[float, typer.Option(help="In the same.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line.")] = False,
) -> None:
    """How many GPUs and gateways, how much bandwidth, what a call costs."""
    from callcenter.evaluation import sizing as program

    wishes = program.Wishes(
        concurrent, calls_per_hour, average_s, blocking, device, kv, weights, spare_gpus,
        calls_per_gateway, gpu_price_per_hour, gateway_price_per_hour,
    )  # fmt: skip
    result = program.size(wishes, program.measurements())
    typer.echo(result.to_json() if as_json else result.to_text())


def main() -> None:
    """Runs the command; a wrong configuration is a message, not a traceback."""
    try:
        app()
    except ConfigurationError as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(USAGE_ERROR) from None


if __name__ == "__main__":
    main()
