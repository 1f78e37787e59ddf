"""The `orl` program. Commands import what is heavy inside their bodies, so that `orl --help` is quick."""

from __future__ import annotations

from typing import Annotated

import typer

from orl_cli import (
    bench,
    compare,
    data,
    demo,
    diagnose,
    doctor,
    evaluate,
    export,
    fit_model,
    ope,
    plan,
    predict,
    report,
    runs,
    select,
    train_policy,
    tune,
)

app = typer.Typer(
    name="orl",
    help="Model-based offline reinforcement learning: from a log to a better policy, without touching the system.",
    epilog="Start with: orl train-policy --algo mopo   (results to stdout, progress to stderr)",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("fit-model")(fit_model.fit_model)
app.command("train-policy")(train_policy.train_policy)
app.command("plan")(plan.plan)
app.command("predict")(predict.predict)
app.command("diagnose")(diagnose.diagnose)
app.command("evaluate")(evaluate.evaluate)
app.command("ope")(ope.ope)
app.command("select")(select.select)
app.command("tune")(tune.tune)
app.command("export")(export.export)
app.command("report")(report.report)
app.command("demo")(demo.demo)
app.command("compare")(compare.compare)
app.command("doctor")(doctor.doctor)
app.command("bench")(bench.bench)
app.add_typer(data.app, name="data")
app.add_typer(runs.app, name="runs")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"orl {version('orl')}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    # no docstring: typer would print it in place of the program's help
    return


def main() -> None:
    """Entry point of the `orl` script."""
    app()


if __name__ == "__main__":
    main()
