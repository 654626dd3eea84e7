"""What can go wrong, by name. Every message says what was expected, what came, and what to do."""

from __future__ import annotations


class GaussmixError(ValueError):
    """Base of gaussmix's errors; a ``ValueError``, as scikit-learn's users expect."""


class DataError(GaussmixError):
    """Rows that cannot be fitted or scored: text, NaN, infinities, too few of them."""


class ParameterError(GaussmixError):
    """Parameters that are not those of a mixture: eqs. (2), (3), covariances that are not positive definite."""


class SingularError(GaussmixError):
    """A component collapsed and regularisation is off (``reg_covar=0``): the likelihood has no maximum there."""


class ModelFileError(GaussmixError):
    """A model file that is damaged, hostile, of another kind, or newer than this version."""


class ConvergenceWarning(UserWarning):
    """EM stopped at ``max_iter`` before the gain per row fell below ``tol``."""


class DegenerateWarning(UserWarning):
    """A component describes too few rows or a feature without spread; its likelihood means little."""
