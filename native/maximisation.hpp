// The M-step: of the sums of a pass, and what a prior adds to them, the weights, means and covariances that maximise the
// lower bound, eqs. (7), (8), (11).
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "families.hpp"
#include "statistics.hpp"

namespace gaussmix {

// What a prior adds, see gaussmix/priors.py. Without a centre the means are as they are; without floors every feature varies.
struct Supplement {
    double mass;           // rows, to the mass of each covariance
    const double* scatter; // (D) or, `full`, (D, D): to the scatter of each component
    bool full;
    double shrinkage;      // rows at the centre, for the means
    const double* centre;  // (D) or null
    const double* floors;  // (D) or null: variances of features without spread, 0 elsewhere
    double floor_rows;     // their scatter in every component, in rows of that variance; or 0: as many as the component has
};

// Means (K, D), the scatter about them and masses (K), with what the prior adds.
inline void augment(const Moments& m, const Supplement& s, double* means, double* about, double* counted) {
    for (std::int64_t k = 0; k < m.K; ++k) {
        const double n = m.mass[k], together = std::max(s.shrinkage + n, 1e-300), pull = s.shrinkage * n / together;
        double* const mean = means + k * m.D;
        counted[k] = n + s.mass;
        for (std::int64_t i = 0; i < m.D; ++i) {
            double* const row = about + m.row(k, i);
            const std::int64_t begin = m.diagonal ? i : 0, end = m.diagonal ? i + 1 : m.D;
            if (s.full) for (std::int64_t j = begin; j < end; ++j) row[j] += s.scatter[i * m.D + j];
            else row[i] += s.scatter[i];
            const double apart = s.centre ? pull * (mean[i] - s.centre[i]) : 0;
            for (std::int64_t j = begin; j < end && s.centre; ++j) row[j] += apart * (mean[j] - s.centre[j]);
            if (s.floors && s.floors[i] > 0) {
                if (s.floor_rows > 0) row[i] = s.floor_rows * s.floors[i];
                else row[i] += counted[k] * s.floors[i];
            }
        }
        for (std::int64_t i = 0; i < m.D && s.centre; ++i) mean[i] -= s.shrinkage / together * (mean[i] - s.centre[i]);
    }
}

// Where the parameters go, covariances in the family's storage, and ln pi and W of them.
struct Parameters {
    double *weights, *means, *covariances, *log_weights, *whitening;
};

// W of matrices or variances, and the sum of all ln|W|; NaN where one is not positive definite, or not finite.
inline double whiten_all(const Level& level, const double* covariances, std::int64_t slices, std::int64_t D, double* roots) {
    std::vector<double> upper(D * D);
    double log_root = 0;
    for (std::int64_t k = 0; k < slices; ++k) {
        double* const root = roots + k * D * D;
        if (!level.whiten(covariances + k * D * D, D, root, upper.data())) return std::numeric_limits<double>::quiet_NaN();
        for (std::int64_t i = 0; i < D; ++i) log_root += std::log(root[i * D + i]);
    }
    return log_root;
}

// Fills the parameters, from the covariances of the last M-step; false where the likelihood has no maximum. pi_0 and the
// sum of ln|W|, which is NaN where a covariance has no whitening, are left in `noise` and `log_root`.
inline bool maximise(const Level& level, const Moments& m, const Supplement& supplement, bool equal_weights,
                     const std::string& volume_and_shape, const std::string& axes, const double* previous, const Parameters& to,
                     double& noise, double& log_root) {
    const double total = std::accumulate(m.mass, m.mass + m.K, 0.0) + noise;
    noise /= total;
    for (std::int64_t k = 0; k < m.K; ++k) {
        to.weights[k] = equal_weights ? (1 - noise) / double(m.K) : m.mass[k] / total;
        to.log_weights[k] = std::log(to.weights[k]);
    }
    std::vector<double> about(m.size()), counted(m.K);
    scatter(m, to.means, about.data());
    augment(m, supplement, to.means, about.data(), counted.data());
    const Scatter along{m.K, m.D, m.slices, m.diagonal, about.data(), counted.data(), previous};
    if (!solve_family(level, volume_and_shape, axes, along, to.covariances)) return false;
    const double* covariances = to.covariances;
    if (axes == "mean") {  // one number for all features: written out
        for (std::int64_t i = 0; i < m.K * m.D; ++i) about[i] = to.covariances[i / m.D];
        covariances = about.data();
    }
    log_root = m.diagonal ? whiten_all(level, covariances, m.size(), 1, to.whitening)
                          : whiten_all(level, covariances, m.slices, m.D, to.whitening);
    return true;
}

}  // namespace gaussmix
