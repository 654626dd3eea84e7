"""Where chance comes from: one generator, made of what a user gives as ``random_state``."""

from __future__ import annotations

from typing import Any

import numpy as np

from gaussmix.errors import ParameterError


def generator(random_state: Any) -> np.random.Generator:
    """A generator from None (fresh), a seed, a RandomState, which seeds one, or a generator, which is used as it is.

    Raises
    ------
    ParameterError
        Anything else.
    """
    try:
        if isinstance(random_state, np.random.RandomState):
            random_state = random_state.randint(2**31 - 1)
        return np.random.default_rng(random_state)
    except (TypeError, ValueError):
        raise ParameterError(
            f"random_state must be None, an integer from 0, a RandomState or a Generator, got {random_state!r}."
        ) from None
