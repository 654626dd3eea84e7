"""Rows: where they come from. A source folds a step over its blocks and adds up; it knows no Gaussians.

A *step* takes a `Block` and returns something that adds. `Source.fold(step)` is the sum over all blocks,
`Source.map(step)` the concatenation. Input is checked here, once.
"""

from gaussmix.rows.array import ArraySource, Block
from gaussmix.rows.source import Source, as_rows, as_source

__all__ = ["ArraySource", "Block", "Source", "as_rows", "as_source"]
