// Whether no component can be degenerate, by bounds that take no eigenvalues: see gaussmix/degeneracy.py.
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

// tr(W M W^T), at least the largest eigenvalue of M in the metric of Sigma = (W^T W)^-1: of a matrix or its diagonal.
inline double trace_within(const Moments& m, std::int64_t slice, const double* roots, const double* matrix) {
    double trace = 0;
    for (std::int64_t i = 0; i < m.D; ++i) {
        const double* const row = roots + m.row(slice, i);
        if (m.diagonal) trace += row[i] * row[i] * matrix[i];
        else for (std::int64_t j = 0; j <= i; ++j)
            trace += row[j] * std::inner_product(row, row + i + 1, matrix + j * m.D, 0.0);
    }
    return trace;
}

// `m` has the masses, and the covariances in place of second moments; W in their shape.
inline bool surely_sound(const Moments& m, const double* roots, const Doubt& doubt) {
    const std::int64_t step = m.size() / m.slices;
    std::vector<double> pooled(step);
    double weight = 0, squares = 0;
    bool any_few = false;
    for (std::int64_t k = 0; k < m.K; ++k) {
        if (k < m.slices) {
            squares = 0;
            for (std::int64_t i = 0; i < step; ++i) {
                const double scaled = roots[k * step + i] * doubt.deviations[i % m.D];
                squares += scaled * scaled;
            }
        }
        if (!(doubt.pseudo_rows * squares < doubt.supplied * (m.mass[k] + doubt.pseudo_rows))) return false;
        any_few = any_few || m.mass[k] < doubt.few;
        weight += m.mass[k];
        for (std::int64_t i = 0; i < step; ++i) pooled[i] += m.mass[k] * m.second[(m.slices < m.K ? 0 : k * step) + i];
    }
    for (double& each : pooled) each /= weight;
    for (std::int64_t k = 0; k < m.K && any_few; ++k)
        if (m.mass[k] < doubt.few && !(trace_within(m, k, roots, pooled.data()) < doubt.larger)) return false;
    return true;
}

}  // namespace gaussmix
