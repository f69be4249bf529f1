"""``laktory quickstart``."""

from pathlib import Path
from typing import Annotated

import typer

from laktory.cli import console
from laktory.cli.options import Debug, Directory
from laktory.errors import DefinitionError

__all__ = ["quickstart"]

TEMPLATE = Path(__file__).parent / "templates" / "quickstart"
_NEVER = ("__pycache__", ".laktory")


def quickstart(
    target: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the project; made if missing.")] = Path(),
    directory: Directory = None,  # noqa: ARG001 - acts in its callback
    debug: Debug = False,  # noqa: ARG001 - acts in its callback
) -> None:
    """Make a small working project to start from. Files that exist are never overwritten."""
    files = sorted(file for file in TEMPLATE.rglob("*") if file.is_file() and not set(_NEVER) & set(file.parts))
    names = [file.relative_to(TEMPLATE) for file in files]
    taken = [name.as_posix() for name in names if (target / name).exists() or (target / name).is_symlink()]
    if taken:
        msg = f"{str(target)!r} already has {', '.join(taken[:5])}; nothing was written, give another folder"
        raise DefinitionError(msg)
    try:
        for file, name in zip(files, names, strict=True):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            with (target / name).open("xb") as out:
                out.write(file.read_bytes())
    except OSError as error:
        msg = f"{error.filename or str(target)!r} cannot be written: {error.strerror}"
        raise DefinitionError(msg) from error
    console.out("\n".join([f"Made {console.count(len(names), 'file')} in {target}:", *(f"  {name}" for name in names)]))
    place = "" if target == Path() else f"-C {target} "
    console.out(f"\nNow run it:\n  laktory {place}run")
