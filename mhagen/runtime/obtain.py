"""Kernel functions by key: from the cache, or built once among all processes that want them."""

from __future__ import annotations

from collections.abc import Callable

from ..base.errors import InternalError
from .native import Function, RefusedCode, load_function
from .store import Store


def obtain_function(
    store: Store,
    key: str,
    note: str,
    symbol: str,
    argument_count: int,
    build: Callable[[], bytes],
    others: tuple[str, ...] = (),
) -> Function:
    """The function `symbol` of the object code that is kept under the key, or that `build` makes.

    Code without the functions `others` is a miss.

    Needs    a key that covers everything which shapes the object code, and a symbol that no process changes
    Raises   InternalError where code fresh from `build` cannot be loaded, and whatever `build` raises
    """
    function = _stored_function(store, key, symbol, argument_count, others)
    if function is not None:
        return function
    with store.building(key):
        function = _stored_function(store, key, symbol, argument_count, others)  # built meanwhile?
        if function is not None:
            return function
        object_code = build()
        try:
            function = load_function(object_code, symbol, argument_count, others)
        except RefusedCode as error:
            raise InternalError(f"{note}: {error}") from error
        store.save(key, object_code, note)
    return function


def _stored_function(
    store: Store, key: str, symbol: str, argument_count: int, others: tuple[str, ...]
) -> Function | None:
    object_code = store.load(key)
    if object_code is None:
        return None
    try:
        return load_function(object_code, symbol, argument_count, others)
    except RefusedCode as refusal:
        store.reject(key, str(refusal))
        return None
