// Model-based hierarchical clustering: the merges from one cluster for each point to one, the cheapest first. A cluster of
// mass n and scatter W costs n ln(|W / n| + (tr W + alpha) / n), see gaussmix/hierarchical.py.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

namespace gaussmix {

// ln|W| of a scatter matrix (D, D), which is overwritten, as one logarithm of the pivots' product; -inf where a pivot is so
// small a part of its diagonal (D,) that it is rounding.
inline double log_determinant(double* W, double* diagonal, std::int64_t D) {
    constexpr double singular = 1e-13, ln2 = 0.693147180559945309417;
    double product = 1;
    std::int64_t powers = 0;
    for (std::int64_t i = 0; i < D; ++i) diagonal[i] = W[i * D + i];
    for (std::int64_t i = 0; i < D; ++i) {
        const double pivot = W[i * D + i];
        if (!(pivot > singular * diagonal[i])) return -std::numeric_limits<double>::infinity();
        int power;
        product = std::frexp(product * pivot, &power);
        powers += power;
        for (std::int64_t j = i + 1; j < D; ++j) {
            const double factor = W[i * D + j] / pivot;
            for (std::int64_t l = j; l < D; ++l) W[j * D + l] -= factor * W[i * D + l];
        }
    }
    return std::log(product) + double(powers) * ln2;
}

// Clusters not yet merged, in the first `m` places of each array, and what each merge costs.
class Forest {
public:
    // Distinct points (m, D) and their masses (m,).
    Forest(const double* points, const double* masses, std::int64_t m, std::int64_t D)
        : D(D), stride(m), m(m), name(m), nearest(m), mass(masses, masses + m), mean(points, points + m * D),
          scatter(m * D * D, 0.0), trace(m, 0.0), cost(m), least(m), rise(m * m), work(D * D), diagonal(D) {
        std::iota(name.begin(), name.end(), 0);
        const double total = std::accumulate(mass.begin(), mass.end(), 0.0);
        std::vector<double> middle(D, 0.0);
        double spread = 0;
        for (std::int64_t i = 0; i < m * D; ++i) middle[i % D] += mass[i / D] / total * points[i];
        for (std::int64_t i = 0; i < m * D; ++i) spread += mass[i / D] * square(points[i] - middle[i % D]);
        alpha = std::max(spread / (total * double(D)), std::numeric_limits<double>::min());
        for (std::int64_t i = 0; i < m; ++i) cost[i] = cost_of(mass[i], 0, none);
        for (std::int64_t i = 0; i < m; ++i) {
            at(i, i) = -none;
            for (std::int64_t j = 0; j < i; ++j) at(i, j) = at(j, i) = rise_of(i, j);
        }
        for (std::int64_t i = 0; i < m; ++i) look_for_nearest(i);
    }

    // Merges the cheapest pair into the first of the two; their names.
    void merge(std::int64_t* names) {
        const std::int64_t i = std::min_element(least.begin(), least.begin() + m) - least.begin();
        const std::int64_t a = std::min(i, nearest[i]), b = std::max(i, nearest[i]);
        names[0] = name[a], names[1] = name[b];
        join(a, b);
        close_gap(b);
        update(a);
    }

private:
    static constexpr double none = -std::numeric_limits<double>::infinity();

    const std::int64_t D, stride;
    std::int64_t m;
    std::vector<std::int64_t> name, nearest;
    std::vector<double> mass, mean, scatter, trace, cost, least, rise, work, diagonal;
    double alpha;

    static double square(double v) { return v * v; }
    double& at(std::int64_t i, std::int64_t j) { return rise[i * stride + j]; }

    double cost_of(double n, double trace_of, double log_det) const {
        const double logarithm = std::log(n), flat = std::log(trace_of + alpha) - logarithm;
        if (!(log_det > none)) return n * flat;
        const double full = log_det - double(D) * logarithm, larger = std::max(flat, full);
        return n * (larger + std::log1p(std::exp(std::min(flat, full) - larger)));
    }

    // What merging i and j costs.
    double rise_of(std::int64_t i, std::int64_t j) {
        const double both = mass[i] + mass[j], between = mass[i] * mass[j] / both;
        const double *const from = &mean[i * D], *const to = &mean[j * D];
        double apart = 0, log_det = none;
        for (std::int64_t l = 0; l < D; ++l) apart += square(to[l] - from[l]);
        if (both > double(D)) {
            const double *const one = &scatter[i * D * D], *const other = &scatter[j * D * D];
            for (std::int64_t k = 0; k < D; ++k)
                for (std::int64_t l = k; l < D; ++l)
                    work[k * D + l] = one[k * D + l] + other[k * D + l] + between * (to[k] - from[k]) * (to[l] - from[l]);
            log_det = log_determinant(work.data(), diagonal.data(), D);
        }
        const double rise = cost_of(both, trace[i] + trace[j] + between * apart, log_det) - cost[i] - cost[j];
        return std::isfinite(rise) ? rise : std::numeric_limits<double>::max();  // no cluster is its own nearest
    }

    void join(std::int64_t a, std::int64_t b) {
        const double both = mass[a] + mass[b], between = mass[a] * mass[b] / both;
        double *const to = &mean[a * D], *const from = &mean[b * D];
        double apart = 0;
        for (std::int64_t k = 0; k < D; ++k) {
            apart += square(from[k] - to[k]);
            for (std::int64_t l = k; l < D; ++l)
                scatter[(a * D + k) * D + l] += scatter[(b * D + k) * D + l] + between * (from[k] - to[k]) * (from[l] - to[l]);
        }
        for (std::int64_t k = 0; k < D; ++k) to[k] += mass[b] / both * (from[k] - to[k]);
        trace[a] += trace[b] + between * apart;
        cost[a] += cost[b] + at(a, b);
        mass[a] = both;
    }

    // The last cluster takes the place of b.
    void close_gap(std::int64_t b) {
        const std::int64_t last = --m;
        for (auto* each : {&mass, &trace, &cost, &least}) (*each)[b] = (*each)[last];
        name[b] = name[last], nearest[b] = nearest[last];
        std::copy_n(&mean[last * D], D, &mean[b * D]);
        std::copy_n(&scatter[last * D * D], D * D, &scatter[b * D * D]);
        for (std::int64_t i = 0; i < last; ++i) at(b, i) = at(i, b) = at(last, i);
        at(b, b) = -none;
        for (std::int64_t i = 0; i < last; ++i) nearest[i] = nearest[i] == b ? -1 : nearest[i] == last ? b : nearest[i];
    }

    // What merging a with each other costs now, and which is nearest to each.
    void update(std::int64_t a) {
        for (std::int64_t i = 0; i < m; ++i) {
            if (i == a) continue;
            at(a, i) = at(i, a) = rise_of(a, i);
            if (nearest[i] < 0 || nearest[i] == a) look_for_nearest(i);
            else if (at(i, a) < least[i]) nearest[i] = a, least[i] = at(i, a);
        }
        look_for_nearest(a);
    }

    void look_for_nearest(std::int64_t i) {
        const double* const row = &rise[i * stride];
        nearest[i] = std::min_element(row, row + m) - row;
        least[i] = row[nearest[i]];
    }
};

}  // namespace gaussmix
