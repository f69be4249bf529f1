"""The root command: finds the others by name and turns every failure into a message and an exit code."""

from __future__ import annotations

import importlib
from typing import Any

import typer
from typer.core import TyperGroup

from laktory.cli import console, options
from laktory.cli.stopping import leave, stoppable
from laktory.diagnostics import closest
from laktory.errors import shortened

__all__ = ["COMMANDS", "app"]

COMMANDS = {
    "run": "Run a pipeline.",
    "validate": "Tell everything that is wrong with a definition, without running it.",
    "plan": "Show what a run would do, in order, and why.",
    "show": "Print rows of a node; nothing is written.",
    "verify": "Compare the rows of every node on several engines; nothing is written.",
    "quarantine": "Show the rows of a node that failed its rules, and why.",
    "schema": "Print a JSON Schema for editors.",
    "quickstart": "Make a small working project to start from.",
    "version": "Print the versions of Laktory and of what it works with.",
}
"""Command → what it does. Each lives in the module of its name, imported when it is called."""


class _Commands(TyperGroup):
    """Imports a command when it is called, so that ``--version`` and a typo cost nothing.

    typer keeps the class of `ctx` to itself.
    """

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's signature
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - typer's signature
        if cmd_name not in COMMANDS:
            return None
        if cmd_name not in self.commands:
            function = getattr(importlib.import_module(f"laktory.cli.{cmd_name}"), cmd_name)
            alone = typer.Typer(add_completion=False, rich_markup_mode=None)
            alone.command(cmd_name, short_help=COMMANDS[cmd_name])(function)
            self.add_command(typer.main.get_command(alone), cmd_name)
        return self.commands[cmd_name]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            hint = closest(name, COMMANDS) or f"valid: {', '.join(COMMANDS)}"
            ctx.fail(f"there is no command {name!r}; {hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        state = ctx.ensure_object(options.State)
        console.prepare()
        try:
            with stoppable() as stops:
                return self._invoke(ctx, state, stops)
        except KeyboardInterrupt as stop:  # between two lines of ours
            leave(console.report_stop(stop))

    def _invoke(self, ctx: Any, state: options.State, stops: list[KeyboardInterrupt]) -> Any:
        try:
            result = super().invoke(ctx)
            console.flush()
        except (typer.Exit, typer.Abort):
            raise
        except KeyboardInterrupt as stop:
            leave(console.report_stop(stop))
        except BrokenPipeError:
            # whoever read our output has seen enough
            console.close_output()
            raise typer.Exit(console.BROKEN_PIPE) from None
        except Exception as error:
            if type(error).__module__.startswith("typer."):
                if isinstance(message := getattr(error, "message", None), str):
                    vars(error)["message"] = shortened(message)  # it may quote an argument of any length
                raise
            if stops:  # an engine made an error of its own of it
                leave(console.report_stop(stops[0]))
            raise typer.Exit(console.report(error, debug=state.debug)) from None
        return result


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _root(directory: options.Directory = None, version: options.Version = False) -> None:
    """Declarative dataframe pipelines: one definition, on a laptop today and on a cluster tomorrow."""
