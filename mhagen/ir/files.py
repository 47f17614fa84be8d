"""Named arrays from files and into files: .npy, .npz and .safetensors. Nothing in them is ever run."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any, TypeAlias
from zipfile import BadZipFile

import ml_dtypes
import numpy as np

from ..base.errors import InputError, UnsupportedError

Arrays: TypeAlias = dict[str, np.ndarray[Any, Any]]

SUFFIXES = (".npz", ".safetensors")
# What NumPy, zipfile and zlib raise for files that others made; RuntimeError for an encrypted one.
NUMPY_ERRORS = (
    *(OSError, ValueError, EOFError, KeyError, RuntimeError, MemoryError),
    *(BadZipFile, zlib.error, TokenError),
)
# NumPy's files do not know bfloat16, and give its bits back as numbers of no type.
BITS = np.dtype("V2")


def read_arrays(path: str | Path) -> Arrays:
    """The arrays of a file by name; the one of a .npy file is called x.

    Raises   InputError for what is no such file; UnsupportedError where safetensors is not installed
    """
    file = Path(path)
    match file.suffix.lower():
        case ".npz" | ".npy":
            return read_numpy(file)
        case ".safetensors":
            return read_safetensors(file)
        case _:
            raise InputError(
                f"{file} is no file of arrays: its name has to end in .npy, .npz or .safetensors"
            )


def read_numpy(file: Path) -> Arrays:
    try:
        found = np.load(file, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return {"x": typed(found)}
        with found:
            return {name: typed(member(found, name)) for name in found.files}
    except NUMPY_ERRORS as error:
        raise unreadable(file, error) from error


def member(found: np.lib.npyio.NpzFile, name: str) -> np.ndarray[Any, Any]:
    array = found[name]
    if not isinstance(array, np.ndarray):  # NumPy gives the bytes of what is no .npy file
        raise ValueError(f"{name} in it is no array")
    return array


def typed(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array; bfloat16 where it is what NumPy has made of that."""
    return array.view(ml_dtypes.bfloat16) if array.dtype == BITS else array


def read_safetensors(file: Path) -> Arrays:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError:
        raise no_safetensors(file) from None
    try:
        return dict(load_file(file))
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise unreadable(file, error) from error


def no_safetensors(file: Path) -> UnsupportedError:
    return UnsupportedError(
        f"{file} needs the package safetensors: pip install 'mhagen[safetensors]', or use .npz"
    )


def unreadable(file: Path, error: Exception) -> InputError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    if "pickle" in str(reason):  # NumPy's word for all that it does not know, and a remedy that would run it
        reason = "it has no plain arrays of numbers, as np.savez writes them; pickled objects are not read"
    return InputError(f"{file} cannot be read: {reason}")


def write_arrays(file: Path, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Write arrays into a .npz or .safetensors file; of bfloat16, a .npz file has the bits as uint16.

    Raises   InputError where it cannot be written; UnsupportedError where safetensors is not installed
    """
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    try:
        if file.suffix == ".npz":
            np.savez(file, **{name: as_bits(array) for name, array in whole.items()})  # type: ignore[arg-type]
        else:
            write_safetensors(file, whole)
    except OSError as error:
        raise InputError(f"cannot write {file}: {error.strerror or error}") from error


def as_bits(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array.view(np.uint16) if array.dtype == ml_dtypes.bfloat16 else array


def write_safetensors(file: Path, arrays: Arrays) -> None:
    try:
        from safetensors.numpy import save
    except ImportError:
        raise no_safetensors(file) from None
    file.write_bytes(save(arrays))
