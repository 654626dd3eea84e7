// What EM's lower bound says of merges of two components, see gaussmix/merging.py.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace gaussmix {

// M components: mass n (M), means (M, D), scatter n Sigma (M, D) or (M, D, D), and responsibilities times weights of some
// rows, q (n_rows, M).
struct Merges {
    std::int64_t M, D, n_rows;
    bool diagonal, spherical;  // spherical: one variance, the mean of the D
    const double *mass, *means, *scatter, *q;

    // n ln n - n / 2 ln|Sigma| of scatter n Sigma, which is overwritten.
    double bound(double n, double* S) const {
        double log_det = 0;
        if (spherical) {
            double trace = 0;
            for (std::int64_t j = 0; j < D; ++j) trace += S[j];
            log_det = double(D) * std::log(std::max(trace / (double(D) * n), 1e-300));
        } else if (diagonal) {
            for (std::int64_t j = 0; j < D; ++j) log_det += std::log(std::max(S[j] / n, 1e-300));
        } else {
            for (std::int64_t i = 0; i < D; ++i) {  // elimination: the determinant is the product of the pivots
                const double* const row = S + i * D;
                if (!(row[i] > 0)) {  // flat, but for rounding, in all directions that are left
                    log_det += double(D - i) * std::log(1e-300);
                    break;
                }
                log_det += std::log(std::max(row[i] / n, 1e-300));
                for (std::int64_t k = i + 1; k < D; ++k) {
                    const double factor = row[k] / row[i];
                    for (std::int64_t j = k; j < D; ++j) S[k * D + j] -= factor * row[j];
                }
            }
        }
        return n * (std::log(n) - 0.5 * log_det);
    }

    // What the merge of each pair (a, b) changes L by at least, in nats.
    void gains(const std::int64_t* a, const std::int64_t* b, std::int64_t pairs, double* out) const {
        const std::int64_t size = D * (diagonal ? 1 : D);
        std::vector<double> own(M), S(size);
        for (std::int64_t k = 0; k < M; ++k) {
            std::copy_n(scatter + k * size, size, S.data());
            own[k] = bound(mass[k], S.data());
        }
        for (std::int64_t p = 0; p < pairs; ++p) {
            const double *const from = means + a[p] * D, *const to = means + b[p] * D;
            const double n = mass[a[p]] + mass[b[p]], between = mass[a[p]] * mass[b[p]] / n;
            for (std::int64_t i = 0; i < D; ++i)
                for (std::int64_t j = diagonal ? i : 0; j < (diagonal ? i + 1 : D); ++j) {
                    const std::int64_t at = diagonal ? i : i * D + j;
                    S[at] = scatter[a[p] * size + at] + scatter[b[p] * size + at] +
                            between * (to[i] - from[i]) * (to[j] - from[j]);
                }
            out[p] = bound(n, S.data()) - own[a[p]] - own[b[p]];
        }
        shared_entropy(a, b, pairs, out);
    }

    // Adds E_a + E_b - E_ab = sum_n q h(r) with q = q_a + q_b, r = q_a / q: only rows that both components share count.
    void shared_entropy(const std::int64_t* a, const std::int64_t* b, std::int64_t pairs, double* out) const {
        constexpr double nothing = 1e-9, most = std::numeric_limits<double>::infinity();
        for (const double* row = q; row != q + n_rows * M; row += M)
            for (std::int64_t p = 0; p < pairs; ++p) {
                const double both = row[a[p]] + row[b[p]], less = std::min(row[a[p]], row[b[p]]);
                if (less > nothing * both && both < most) out[p] += both * entropy(less / both);
            }
    }

    // h(r) = r ln r + (1 - r) ln(1 - r) of r up to 1/2, interpolated: two logarithms would take longer than all the rest.
    static double entropy(double r) {
        constexpr int steps = 4096;
        static const std::vector<double> table = [] {
            std::vector<double> values(steps + 2);
            for (int i = 1; i <= steps + 1; ++i) {
                const double share = 0.5 * i / steps;
                values[i] = share * std::log(share) + (1 - share) * std::log1p(-share);
            }
            return values;
        }();
        const double place = r * (2 * steps);
        const int i = int(place);
        return table[i] + (place - i) * (table[i + 1] - table[i]);
    }
};

}  // namespace gaussmix
