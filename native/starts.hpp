// What starts take from single rows: seeds, and sums of classes.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "values.hpp"

namespace gaussmix {

// k-means++ with the greedy choice: from the first of the `seeds`, a point, each next one of the points (D, n) is that of
// `trials` candidates which leaves the smallest sum of weight times squared distance; a candidate is drawn with
// probability proportional to that product, by its `chances` (n_seeds - 1, trials) in [0, 1). Returns how many seeds there
// are when every point is one of them, or n_seeds.
inline std::int64_t draw_seeds(const Level& level, const double* points, const double* weights, std::int64_t n,
                               std::int64_t D, const double* chances, std::int64_t trials, std::int64_t n_seeds, std::int64_t* seeds) {
    std::vector<double> nearest(n), cumulative(n), candidate(n), best(n);
    const auto distances = [&](std::int64_t seed, const std::vector<double>& limit, std::vector<double>& out) {
        return level.squared_distances(points, weights, n, D, seed, limit.data(), out.data());
    };
    std::fill(nearest.begin(), nearest.end(), std::numeric_limits<double>::infinity());
    distances(seeds[0], nearest, nearest);
    for (std::int64_t k = 1; k < n_seeds; ++k) {
        double sum = 0, least = 0;
        for (std::int64_t i = 0; i < n; ++i) cumulative[i] = sum += weights[i] * nearest[i];
        if (!(sum > 0)) return k;
        for (std::int64_t t = 0; t < trials; ++t) {
            const double drawn = chances[(k - 1) * trials + t] * sum;
            const std::int64_t found = std::upper_bound(cumulative.begin(), cumulative.end(), drawn) - cumulative.begin();
            const std::int64_t seed = std::min(found, n - 1);
            const double left = distances(seed, nearest, candidate);
            if (t == 0 || left < least) least = left, seeds[k] = seed, best.swap(candidate);
        }
        nearest.swap(best);
    }
    return n_seeds;
}

// Weighted mass (K), means (K, D), sums about them (K, D) and of their squares or products, (K, D), (1, D, D) or (K, D, D),
// of rows of a class each; labels below 0 are none. A class without weight keeps its mean.
inline void class_sums(const Rows& rows, const std::int64_t* labels, std::int64_t K, std::int64_t D, std::int64_t slices,
                       bool diagonal, double* mass, double* means, double* first, double* second) {
    std::vector<double> x(D), reference(K * D), sums(K * D);
    std::vector<bool> seen(K);
    const std::int64_t step = diagonal ? D : D * D;
    for (std::int64_t n = 0; n < rows.count; ++n) {
        const std::int64_t k = labels[n];
        const double w = rows.weights ? rows.weights[n] : 1;
        if (k < 0 || !(w > 0)) continue;
        for (std::int64_t j = 0; j < D; ++j) x[j] = value(rows, n, j);
        if (!seen[k]) std::copy(x.begin(), x.end(), reference.begin() + k * D);
        seen[k] = true, mass[k] += w;
        for (std::int64_t j = 0; j < D; ++j) sums[k * D + j] += w * (x[j] - reference[k * D + j]);
    }
    for (std::int64_t k = 0; k < K; ++k)
        for (std::int64_t j = 0; j < D && seen[k]; ++j) means[k * D + j] = reference[k * D + j] + sums[k * D + j] / mass[k];
    for (std::int64_t n = 0; n < rows.count; ++n) {
        const std::int64_t k = labels[n];
        const double w = rows.weights ? rows.weights[n] : 1;
        if (k < 0 || !(w > 0)) continue;
        for (std::int64_t j = 0; j < D; ++j) x[j] = value(rows, n, j);
        double* const own = second + (slices < K ? 0 : k) * step;
        for (std::int64_t j = 0; j < D; ++j) x[j] -= means[k * D + j], first[k * D + j] += w * x[j];
        for (std::int64_t i = 0; i < D; ++i) {
            const double scaled = w * x[i];
            if (diagonal) own[i] += scaled * x[i];
            else for (std::int64_t j = 0; j <= i; ++j) own[i * D + j] += scaled * x[j];
        }
    }
    for (std::int64_t s = 0; s < slices && !diagonal; ++s)
        for (std::int64_t i = 0; i < D; ++i)
            for (std::int64_t j = 0; j < i; ++j) second[s * step + j * D + i] = second[s * step + i * D + j];
}

}  // namespace gaussmix
