// Which reasons for a component to be degenerate there cannot be, by bounds that take no eigenvalues: see gaussmix/degeneracy.py.
#pragma once
#include <cstdint>
#include <numeric>
#include <vector>

#include "statistics.hpp"

namespace gaussmix {

// Limits below which nothing need be asked: of the part of an eigenvalue that `pseudo_rows` of variances R = deviations^2
// supply; and, for components of a mass below `few`, of the pooled covariance over the component's own.
struct Doubt {
    double pseudo_rows, supplied, few, larger;
    const double* deviations;  // (D)
};

// Whether surely pseudo-rows supply little of every component, and surely none of few rows is small beside the others.
struct Sound {
    bool supplied, relative;
};

// `m` has the masses, and the covariances in place of second moments; W in their shape. The traces of R and of the pooled
// covariance, in the metric of a component's own, are at least their largest eigenvalues in it.
inline Sound surely_sound(const Moments& m, const double* roots, const Doubt& doubt) {
    const std::int64_t step = m.size() / m.slices;
    std::vector<double> pooled(step);
    double weight = 0, squares = 0;
    bool any_few = false;
    Sound sound{true, true};
    for (std::int64_t k = 0; k < m.K; ++k) {
        if (k < m.slices) squares = scaled_squares(roots + k * step, step, doubt.deviations, m.D);
        if (!(doubt.pseudo_rows * squares < doubt.supplied * (m.mass[k] + doubt.pseudo_rows))) sound.supplied = false;
        any_few = any_few || m.mass[k] < doubt.few;
        weight += m.mass[k];
        for (std::int64_t i = 0; i < step; ++i) pooled[i] += m.mass[k] * m.second[(m.slices < m.K ? 0 : k * step) + i];
    }
    if (!any_few) return sound;
    const std::vector<double> traces = of_traces(m, roots);
    for (std::int64_t k = 0; k < m.K; ++k) {
        const double* const own = traces.data() + (m.slices < m.K ? 0 : k * step);
        const double trace = std::transform_reduce(own, own + step, pooled.data(), 0.0) / weight;
        if (m.mass[k] < doubt.few && !(trace < doubt.larger)) sound.relative = false;
    }
    return sound;
}

}  // namespace gaussmix
