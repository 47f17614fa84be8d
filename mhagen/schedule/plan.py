"""A schedule: how the kernel of a graph is blocked and run. A value, decided before any code is written."""

from __future__ import annotations

from dataclasses import dataclass

# Sizes that are mere constants of a kernel's functions, so that calls of other lengths may have others.
SIZES_OF_A_CALL = ("tile_queries", "block_keys", "chunk_keys", "decode_queries")
# Those among them that change the order of sums, and with it the last bits of results.
SIZES_OF_SUMS = ("block_keys", "chunk_keys", "decode_queries")
# Tasks of many queries are made smaller until each of several threads has so many, so that none waits long.
TASKS_OF_A_THREAD = 4


@dataclass(frozen=True)
class Schedule:
    """Tile sizes of the attention kernel and of the layer's products.

    Units    tile_queries, block_keys count queries or keys; key_rows and value_rows count the
             rows of a register tile; *_vectors count vector registers across; linear_depth counts inputs.
    """

    tile_queries: int  # queries of one task, at most
    block_keys: int  # keys between two passes over the values
    key_rows: int  # score tile: keys down,
    query_vectors: int  # query vectors across
    value_rows: int  # value tile: queries down,
    value_vectors: int  # value vectors across, at most
    chunk_keys: int  # decoding: keys of one task,
    decode_rows: int  # rows of queries that a key is multiplied with at once,
    decode_queries: int  # and the most queries that are computed so
    linear_rows: int  # product tile: rows of the input down,
    linear_vectors: int  # vectors of outputs across
    linear_block_rows: int  # rows of one task
    linear_depth: int  # inputs between two passes over the output
