// Volumes of components that share the rest of their covariance, Sigma_k = lambda_k C: the M-step of VEI, VEE and VEV.
// With C = sum_k S_k / (lambda_k N) put into its objective, that is, of w_k = 1 / lambda_k = exp theta_k alone,
//
//   h(theta) = ln|sum_k w_k S_k| - sum_k n_k theta_k,        n_k = D N_k / N,
//
// convex, because the determinant is a polynomial in the w_k without a negative coefficient. With the parts
// P_k = w_k M^-1 S_k of M = sum_k w_k S_k, in a symmetric form that adds up to I,
//
//   dh / dtheta_k = tr P_k - n_k,        d2h / dtheta_k dtheta_l = -tr P_k P_l,  k /= l,
//
// and the rows of the Hessian add up to zero: it is the Laplacian of a graph whose edges weigh tr P_k P_l >= 0, and
// eliminating its nodes one by one, the diagonal always as the sum of the edges that are left, subtracts nothing
// (Grassmann, Taksar & Heyman 1985). The third derivative along u is at most (max u - min u) times the second: a
// Newton step d shortened by ln(1 + r) / r, r = max d - min d, always descends (Bach 2010, Electron. J. Statist. 4,
// 384-414), and it is soon not shortened at all.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "axes.hpp"

namespace gaussmix {

// L, in the lower triangle, of a matrix (D, D) = L L^T, which is overwritten; false when it is not positive definite.
inline bool lower_root(double* matrix, std::int64_t D) {
    for (std::int64_t i = 0; i < D; ++i) {
        double* const row = matrix + i * D;
        for (std::int64_t j = 0; j < i; ++j) row[j] = (row[j] - dot(row, matrix + j * D, j)) / matrix[j * D + j];
        const double pivot = row[i] - dot(row, row, i);
        if (!(pivot > 0)) return false;
        row[i] = std::sqrt(pivot);
    }
    return true;
}

class CommonShape {
public:
    // scatter (K, D) or (K, D, D), and masses (K,).
    CommonShape(const double* given, const double* mass, std::int64_t K, std::int64_t D, bool diagonal)
        : K(K), D(D), size(diagonal ? D : D * D), diagonal(diagonal), mass(mass), scatter(given, given + K * size),
          parts(K * size), traces(K), edges(K * K), step(K), target(K) {
        standardise();
    }

    // The w (K,) up to a common factor, from those that are given. False when a volume tends to zero, so that there is no
    // maximum, or a component or the whole has no scatter in some direction.
    bool solve(double* w) {
        const double total = std::accumulate(mass, mass + K, 0.0);
        for (std::int64_t k = 0; k < K; ++k) target[k] = double(D) * mass[k] / total;
        if (!divide(w)) return false;
        std::int64_t steep = newton();
        double reach = std::numeric_limits<double>::infinity();
        for (int i = 0; i < most; ++i) {
            for (std::int64_t k = 0; k < K; ++k) w[k] *= std::exp(step[k]);
            const double last = reach;
            reach = spread();
            // A step this small has left an error of its square; or no step is smaller than the last: rounding.
            if (reach < small || (last / 2 < reach && reach < near)) return true;
            if (!divide(w)) return false;
            const std::int64_t now = newton();
            if (now < steep) return false;
            steep = now;
        }
        return false;
    }

private:
    static constexpr double small = 1e-6, near = 1e-2;
    static constexpr double flat = 1e-13;  // of the trace of a part: it shares no direction with others
    static constexpr int most = 200;

    const std::int64_t K, D, size;
    const bool diagonal;
    const double* const mass;
    std::vector<double> scatter;  // in units of each feature
    std::vector<double> parts, traces, edges, step, target, whole, inverse, product;

    void standardise() {
        std::vector<double> unit(D, 0.0);
        for (std::int64_t i = 0; i < D; ++i) {
            for (std::int64_t k = 0; k < K; ++k) unit[i] += scatter[k * size + i * (diagonal ? 1 : D + 1)];
            unit[i] = std::sqrt(unit[i]);
        }
        for (std::int64_t k = 0; k < K; ++k)
            for (std::int64_t i = 0; i < size; ++i)
                scatter[k * size + i] = scatter[k * size + i] / unit[diagonal ? i : i / D] / unit[i % D];
    }

    double spread() const {
        const auto [low, high] = std::minmax_element(step.begin(), step.end());
        return *high - *low;
    }

    // The parts P_k for w, and their traces.
    bool divide(const double* w) {
        whole.assign(size, 0.0);
        for (std::int64_t k = 0; k < K; ++k)
            for (std::int64_t i = 0; i < size; ++i) whole[i] += w[k] * scatter[k * size + i];
        if (!(diagonal ? divide_diagonal(w) : divide_matrices(w))) return false;
        for (std::int64_t k = 0; k < K; ++k) {
            traces[k] = 0;
            for (std::int64_t i = 0; i < D; ++i) traces[k] += parts[k * size + i * (diagonal ? 1 : D + 1)];
            if (!(traces[k] > 0)) return false;
        }
        return true;
    }

    bool divide_diagonal(const double* w) {
        for (std::int64_t i = 0; i < D; ++i)
            if (!(whole[i] > 0)) return false;
        for (std::int64_t k = 0; k < K; ++k)
            for (std::int64_t i = 0; i < D; ++i) parts[k * D + i] = w[k] * scatter[k * D + i] / whole[i];
        return true;
    }

    // P_k = w_k L^-1 S_k L^-T with M = L L^T.
    bool divide_matrices(const double* w) {
        if (!invert()) return false;
        product.resize(size);
        for (std::int64_t k = 0; k < K; ++k) {
            const double* const s = &scatter[k * size];
            for (std::int64_t i = 0; i < D; ++i)  // (L^-1 S_k)_ij, S_k symmetric
                for (std::int64_t j = 0; j < D; ++j) product[i * D + j] = dot(&inverse[i * D], s + j * D, i + 1);
            for (std::int64_t i = 0; i < D; ++i)
                for (std::int64_t j = 0; j <= i; ++j)
                    parts[k * size + i * D + j] = parts[k * size + j * D + i] =
                        w[k] * dot(&product[i * D], &inverse[j * D], j + 1);
        }
        return true;
    }

    // L^-1 of `whole`, which is overwritten; false when it is not positive definite.
    bool invert() {
        inverse.assign(size, 0.0);
        if (!lower_root(whole.data(), D)) return false;
        for (std::int64_t i = 0; i < D; ++i) {
            double* const row = &inverse[i * D];
            for (std::int64_t k = 0; k < i; ++k)
                for (std::int64_t j = 0; j <= k; ++j) row[j] -= whole[i * D + k] * inverse[k * D + j];
            row[i] = 1;
            for (std::int64_t j = 0; j <= i; ++j) row[j] /= whole[i * D + i];
        }
        return true;
    }

    // Newton's step in theta, shortened, with the last component's held; the number of directions that are not flat.
    std::int64_t newton() {
        for (std::int64_t k = 0; k < K; ++k)
            for (std::int64_t l = 0; l < k; ++l)
                edges[k * K + l] = edges[l * K + k] = std::max(dot(&parts[k * size], &parts[l * size], size), 0.0);
        for (std::int64_t k = 0; k < K; ++k) step[k] = target[k] - traces[k];
        std::vector<double> pivots(K, 0.0);
        std::int64_t steep = 0;
        for (std::int64_t i = 0; i + 1 < K; ++i) {
            double* const row = &edges[i * K];
            const double pivot = std::accumulate(row + i + 1, row + K, 0.0);
            if (!(pivot > flat * traces[i])) continue;
            pivots[i] = pivot, ++steep;
            for (std::int64_t j = i + 1; j < K; ++j) {
                step[j] += row[j] / pivot * step[i];
                for (std::int64_t l = i + 1; l < K; ++l) edges[j * K + l] += row[j] / pivot * row[l];
            }
        }
        step[K - 1] = 0;
        for (std::int64_t i = K - 2; i >= 0; --i) {
            double sum = step[i];
            for (std::int64_t j = i + 1; j < K; ++j) sum += edges[i * K + j] * step[j];
            step[i] = pivots[i] > 0 ? sum / pivots[i] : 0;
        }
        const double reach = spread();
        for (double& each : step) each *= reach > 0 ? std::log1p(reach) / reach : 1;
        return steep;
    }
};

}  // namespace gaussmix
