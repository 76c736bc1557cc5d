"""The command line. Heavy libraries are imported only by the verb that needs them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Annotated

import tyro
from tyro.conf import subcommand

from outtakes.cli.collecting import Collect
from outtakes.cli.converting import Convert
from outtakes.cli.experiments import Afil, Demo, Report, Triage
from outtakes.cli.exporting import Export, Rerun
from outtakes.cli.importing import Import
from outtakes.cli.labelling import Label
from outtakes.cli.machine import Doctor
from outtakes.cli.review import Review
from outtakes.cli.steps import Evaluate, Rank, Select, Train
from outtakes.cli.studies import Study
from outtakes.cli.verb import Verb
from outtakes.console import Console
from outtakes.errors import MachineError, OuttakesError

_VERBS = (
    Annotated[Demo, subcommand("demo")]
    | Annotated[Triage, subcommand("triage")]
    | Annotated[Label, subcommand("label")]
    | Annotated[Collect, subcommand("collect")]
    | Annotated[Import, subcommand("import")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Rank, subcommand("rank")]
    | Annotated[Select, subcommand("select")]
    | Annotated[Export, subcommand("export")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Convert, subcommand("convert")]
    | Annotated[Afil, subcommand("afil")]
    | Annotated[Study, subcommand("study")]
    | Annotated[Report, subcommand("report")]
    | Annotated[Rerun, subcommand("rerun")]
    | Annotated[Review, subcommand("review")]
    | Annotated[Doctor, subcommand("doctor")]
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: exit code 0 done, 2 the user can mend it, 1 our fault."""
    verb: Verb = tyro.cli(
        _VERBS,  # type: ignore[arg-type]
        prog="outtakes",
        description="Put failed robot demonstrations to work.",
        args=arguments,
    )
    console = Console(as_json=verb.json)
    sys.exit(_guarded(verb, console))


def _guarded(verb: Verb, console: Console) -> int:
    """Run, turning what the user can mend into one line and code 2."""
    try:
        _check_installed(verb)
        verb.run(console)
    except OuttakesError as error:
        console.error(str(error))
        return 2
    except ModuleNotFoundError as error:
        console.error(str(_missing(error)))
        return 2
    except KeyboardInterrupt:
        console.error("stopped; the same command goes on from here")
        return 130
    finally:
        console.close()
    return 0


def _check_installed(verb: Verb) -> None:
    """Refuse a verb before it works for hours towards a package that is not installed."""
    from outtakes.doctor import EXTRAS

    missing = [package for package in verb.needs if find_spec(package) is None]
    if missing:
        raise MachineError(
            f"{type(verb).__name__.lower()} needs {', '.join(missing)}, not installed here",
            remedy=f"pip install 'outtakes[{','.join(sorted({EXTRAS[p] for p in missing}))}]'",
        )


def _missing(error: ModuleNotFoundError) -> MachineError:
    """The user's version of a package that is not installed; our own faults pass through."""
    from outtakes.doctor import EXTRAS

    package = (error.name or "").split(".")[0]
    if package not in EXTRAS:
        raise error
    return MachineError(
        f"{package} is not installed", remedy=f"pip install 'outtakes[{EXTRAS[package]}]'"
    )
