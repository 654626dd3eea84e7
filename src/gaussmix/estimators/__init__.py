"""The scikit-learn surface: the only package that imports scikit-learn."""

from gaussmix.estimators.auto import AutoGaussianMixture as AutoGaussianMixture
from gaussmix.estimators.fitted import ILL_DEFINED as ILL_DEFINED
from gaussmix.estimators.fitted import NOT_CONVERGED as NOT_CONVERGED
from gaussmix.estimators.fitted import ConvergenceWarning as ConvergenceWarning
from gaussmix.estimators.gaussian_mixture import GaussianMixture as GaussianMixture
