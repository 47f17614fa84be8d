"""`mhagen cache` on the command line: its commands and their help."""

from __future__ import annotations

import click

from .command import Commands, as_json


@click.group(cls=Commands)
def cache() -> None:
    """See or empty the cache: compiled kernels, and what was tuned.

    It is a folder of this user's own: MHAGEN_CACHE_DIR, or mhagen in the user's cache folder. Emptying it
    is always safe: kernels are compiled again when they are needed, with the schedules of an untuned build.

    \b
    Examples:
      mhagen cache dir
      mhagen cache list --json
      mhagen cache clear --only tuning
      mhagen cache export records.jsonl             all records of all specs, for other machines
      mhagen cache export records.json --format t4  for other tuners
      mhagen cache merge records.jsonl              those of another machine
    """


@cache.command("dir")
@as_json
def cache_dir(as_json: bool) -> int:
    """Print the folder."""
    from .cache import print_directory

    return print_directory(as_json)


@cache.command("list")
@as_json
def cache_list(as_json: bool) -> int:
    """List the kernels, the newest first, then the tuned specs."""
    from .cache import list_entries

    return list_entries(as_json)


@cache.command("clear")
@click.option("--only", type=click.Choice(["kernels", "tuning"]), help="Delete these only.  [default: both]")
@as_json
def cache_clear(only: str | None, as_json: bool) -> int:
    """Delete all kernels, and all records and tables of tuning."""
    from .cache import clear_entries

    return clear_entries(only, as_json)


@cache.command("merge")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@as_json
def cache_merge(files: tuple[str, ...], as_json: bool) -> int:
    """Add records (NAME.jsonl) and tables (NAME.tuned.json) of other machines.

    Records of just this CPU and these versions are not measured again; all others are where a search begins.
    A table is used where it was tuned for just what is built.
    """
    from .cache import merge_files

    return merge_files(files, as_json)


@cache.command("export")
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False))
@click.option(
    "--format",
    "form",
    type=click.Choice(["records", "t4"]),
    default="records",
    show_default=True,
    help="records: for `mhagen cache merge`; t4: the T4 results format, for other tuners.",
)
@as_json
def cache_export(file: str, form: str, as_json: bool) -> int:
    """Write all records of tuning into one file."""
    from .cache import export_records

    return export_records(file, form, as_json)
