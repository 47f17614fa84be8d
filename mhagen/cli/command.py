"""What all commands are made of: their class, and the arguments that several have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..base.target import GPUS, TARGETS
from .exits import MEANINGS

Function = TypeVar("Function", bound=Callable[..., Any])


class Command(click.Command):
    """A command whose help ends with the exit codes."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code.value), meaning) for code, meaning in MEANINGS.items()])


class Commands(Command, click.Group):
    """A group that lists its commands in the order in which they are written here."""

    command_class = Command
    group_class = type

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


def one_spec(function: Function) -> Function:
    return click.argument("spec", metavar="SPEC")(function)


def many_specs(required: bool = True) -> Callable[[Function], Function]:
    return click.argument("specs", metavar="SPEC...", nargs=-1, required=required)


as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
target = click.option(
    "--target",
    type=click.Choice([target.name for target in TARGETS]),
    help="The instruction set to generate for.  [default: this machine's widest]",
)
arch = click.option(
    "--arch",
    type=click.Choice([gpu.name for gpu in GPUS]),
    help="The GPU to generate for, with --backend cuda.  [default: this machine's, else sm_90]",
)
