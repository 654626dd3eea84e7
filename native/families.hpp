// The M-step of the covariance families: eq. (8) under Sigma_k = lambda_k D_k A_k D_k^T (Celeux & Govaert 1995).
//
// Two choices make the fourteen. Where scatter is measured: its mean over the features, or along them as it is, or along
// axes D that components share, or along each one's own. And which of volume lambda and shape A they share there:
//
//              mean    features       common axes   own axes
//    EE, EI    EII     EEI, EEE       .             EEV          S / N of all together
//    VE        .       VEI, VEE       .             VEV          lambda_k C, volumes.hpp
//    EV        .       EVI, EVV       EVE           .            |S_k|^(1/D) made equal
//    VV, VI    VII     VVI, VVV       VVE           .            S_k / N_k
//
// Along the features scatter may be whole matrices or their diagonals: the formulas are the same.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "orientation.hpp"
#include "volumes.hpp"

namespace gaussmix {

// Scatter (slices, D) or (slices, D, D) of K components, prior rows included; slices is K, or 1 where one covariance is
// wanted of all. Masses (K,). Covariances of the last M-step, or null.
struct Scatter {
    std::int64_t K, D, slices;
    bool diagonal;
    const double *values, *mass, *previous;

    std::int64_t size() const { return diagonal ? D : D * D; }
    std::int64_t step() const { return diagonal ? 1 : D + 1; }
    double total() const { return std::accumulate(mass, mass + K, 0.0); }
};

// ---- volume and shape: of scatter (K, size), covariances (K, size); false where there is no maximum ------------------

inline bool one_for_all(const Scatter& s, double* to) {
    const std::int64_t size = s.size();
    std::vector<double> sum(size, 0.0);
    for (std::int64_t k = 0; k < s.slices; ++k)
        for (std::int64_t i = 0; i < size; ++i) sum[i] += s.values[k * size + i];
    const double total = s.total();
    for (std::int64_t k = 0; k < s.slices; ++k)
        for (std::int64_t i = 0; i < size; ++i) to[k * size + i] = sum[i] / total;
    return true;
}

inline bool each_its_own(const Scatter& s, double* to) {
    for (std::int64_t k = 0; k < s.K; ++k)
        for (std::int64_t i = 0; i < s.size(); ++i) to[k * s.size() + i] = s.values[k * s.size() + i] / s.mass[k];
    return true;
}

// With w_k = 1 / lambda_k, C = sum w_k S_k / N; the volumes of the last M-step are where it starts.
inline bool one_shape(const Scatter& s, double* to) {
    const std::int64_t size = s.size();
    std::vector<double> w(s.K, 1.0), common(size, 0.0);
    for (std::int64_t k = 0; k < s.K && s.previous; ++k) {
        double trace = 0;
        for (std::int64_t i = 0; i < s.D; ++i) trace += s.previous[k * size + i * s.step()];
        w[k] = 1 / trace;
    }
    const double largest = *std::max_element(w.begin(), w.end());
    for (double& each : w) each /= largest;
    if (!CommonShape(s.values, s.mass, s.K, s.D, s.diagonal).solve(w.data())) return false;
    const double total = s.total();
    for (std::int64_t k = 0; k < s.K; ++k)
        for (std::int64_t i = 0; i < size; ++i) common[i] += w[k] * s.values[k * size + i] / total;
    for (std::int64_t k = 0; k < s.K; ++k)
        for (std::int64_t i = 0; i < size; ++i) to[k * size + i] = common[i] / w[k];
    return true;
}

// ln|S|^(1/D) of variances or of a matrix; -inf or NaN where it has none.
inline double log_volume(const double* scatter, std::int64_t D, bool diagonal) {
    double sum = 0;
    if (diagonal) {
        for (std::int64_t i = 0; i < D; ++i) sum += std::log(scatter[i]);
        return sum / double(D);
    }
    std::vector<double> root(scatter, scatter + D * D);
    if (!lower_root(root.data(), D)) return -std::numeric_limits<double>::infinity();
    for (std::int64_t i = 0; i < D; ++i) sum += std::log(root[i * D + i]);
    return 2 * sum / double(D);
}

inline bool one_volume(const Scatter& s, double* to) {
    std::vector<double> volume(s.K);
    for (std::int64_t k = 0; k < s.K; ++k) volume[k] = std::exp(log_volume(s.values + k * s.size(), s.D, s.diagonal));
    if (!std::all_of(volume.begin(), volume.end(), [](double v) { return v > 0; })) return false;
    const double mean = std::accumulate(volume.begin(), volume.end(), 0.0) / s.total();
    for (std::int64_t k = 0; k < s.K; ++k)
        for (std::int64_t i = 0; i < s.size(); ++i) to[k * s.size() + i] = s.values[k * s.size() + i] / volume[k] * mean;
    return true;
}

inline bool shared(const std::string& volume_and_shape, const Scatter& s, double* to) {
    if (volume_and_shape == "VE") return one_shape(s, to);
    if (volume_and_shape == "EV") return one_volume(s, to);
    return volume_and_shape[0] == 'E' ? one_for_all(s, to) : each_its_own(s, to);
}

// ---- axes ------------------------------------------------------------------------------------------------------------

// Sigma (D, D) = V diag(v) V^T of axes V (D, D), in columns, and variances v (D,).
inline void turn_back(const double* axes, const double* variances, std::int64_t D, double* covariance) {
    std::vector<double> stretched(D);
    for (std::int64_t i = 0; i < D; ++i) {
        for (std::int64_t l = 0; l < D; ++l) stretched[l] = axes[i * D + l] * variances[l];
        for (std::int64_t j = 0; j <= i; ++j)
            covariance[i * D + j] = covariance[j * D + i] = dot(stretched.data(), axes + j * D, D);
    }
}

// A component without any scatter, on which every shape is optimal, takes that of all together: so little of it, 2^-120,
// that it counts for nothing in a common volume.
inline std::vector<double> with_shape(const Scatter& s) {
    std::vector<double> values(s.values, s.values + s.K * s.size()), sum(s.size(), 0.0);
    for (std::int64_t i = 0; i < s.K * s.size(); ++i) sum[i % s.size()] += values[i];
    for (std::int64_t k = 0; k < s.K; ++k) {
        double* const own = values.data() + k * s.size();
        if (std::all_of(own, own + s.size(), [](double v) { return v == 0; }))
            for (std::int64_t i = 0; i < s.size(); ++i) own[i] = sum[i] * 0x1p-120;
    }
    return values;
}

// Along the mean over the features, "mean", the features, "given", "common" or "own" axes. Covariances are (K,) for the
// mean, else as the scatter. False where the likelihood has no maximum.
inline bool solve_family(const Level& level, const std::string& volume_and_shape, const std::string& axes, Scatter s, double* covariances) {
    std::vector<double> shaped;
    if (volume_and_shape == "EV") shaped = with_shape(s), s.values = shaped.data();
    if (axes == "given") return shared(volume_and_shape, s, covariances);
    const std::int64_t K = s.K, D = s.D;
    if (axes == "mean") {
        std::vector<double> mean(K);
        for (std::int64_t k = 0; k < K; ++k) mean[k] = std::accumulate(s.values + k * D, s.values + (k + 1) * D, 0.0) / double(D);
        return shared(volume_and_shape, {K, 1, K, true, mean.data(), s.mass, nullptr}, covariances);
    }
    // Scatter along axes, the families of variances there, and back.
    const bool own = axes == "own";
    std::vector<double> turned((own ? K : 1) * D * D), along(K * D), variances(K * D), before(K * D);
    if (own) {
        for (std::int64_t k = 0; k < K; ++k)
            if (!own_axes(level, s.values + k * D * D, D, turned.data() + k * D * D, along.data() + k * D)) return false;
    } else {
        CommonOrientation common(s.values, volume_and_shape == "VV" ? s.mass : nullptr, K, D);
        if (!common.solve(s.previous, turned.data(), along.data())) return false;
    }
    for (std::int64_t i = 0; i < K * D && s.previous; ++i) before[i] = s.previous[i / D * D * D + i % D * (D + 1)];
    if (!shared(volume_and_shape, {K, D, K, true, along.data(), s.mass, s.previous ? before.data() : nullptr}, variances.data()))
        return false;
    for (std::int64_t k = 0; k < K; ++k)
        turn_back(turned.data() + (own ? k : 0) * D * D, variances.data() + k * D, D, covariances + k * D * D);
    return true;
}

}  // namespace gaussmix
