"""Numba gives a variable that is assigned twice a name for each: it reads the whole function for every one.

A kernel has thousands of statements and hundreds of such variables, each in a few of its blocks.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import AbstractContextManager
from typing import Any

from .standins import standing_in


def renaming_where_it_stands(ssa: Any) -> AbstractContextManager[None]:
    """Let this module of Numba's read only blocks that name the variable. The code stays the same."""
    rename_all, rewrite = ssa._run_ssa, ssa._run_block_rewrite
    places: dict[str, set[int]] = {}

    def rename_each(blocks: dict[int, Any]) -> Any:
        places.clear()
        places.update(places_of_variables(blocks))
        return rename_all({label: block.copy() for label, block in blocks.items()})

    def rewrite_some(blocks: dict[int, Any], states: dict[str, Any], handler: Any) -> dict[int, Any]:
        found = places.get(states["varname"], ())
        rewritten = rewrite({label: blocks[label] for label in blocks if label in found}, states, handler)
        return {**blocks, **rewritten}

    return standing_in(ssa, _run_ssa=rename_each, _run_block_rewrite=rewrite_some)


def places_of_variables(blocks: dict[int, Any]) -> dict[str, set[int]]:
    """The blocks that name a variable. Names made meanwhile stand for none that is still to be renamed."""
    places = defaultdict(set)
    for label, block in blocks.items():
        for statement in block.body:
            for variable in statement.list_vars():
                places[variable.name].add(label)
    return places
