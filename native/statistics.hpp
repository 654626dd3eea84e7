// Statistics as an M-step and the acceleration want them; batched over components. See gaussmix/statistics.py.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <type_traits>
#include <vector>

namespace gaussmix {

// Sums about an origin o: mass n (K), first d (K, D), second S (K, D), (1, D, D) or (K, D, D).
struct Moments {
    std::int64_t K, D, slices;
    bool diagonal;
    const double *origin, *mass, *first, *second;

    std::int64_t size() const { return slices * D * (diagonal ? 1 : D); }
    // Row i of component k's second moments, of which only the i-th entry exists when they are diagonal.
    std::int64_t row(std::int64_t k, std::int64_t i) const { return diagonal ? k * D : ((slices < K ? 0 : k) * D + i) * D; }
};

// Means mu = o + d / n, eq. (7), and scatter S - n (d / n)(d / n)^T about them; no variance below zero.
inline void scatter(const Moments& m, double* means, double* about) {
    std::copy(m.second, m.second + m.size(), about);
    for (std::int64_t k = 0; k < m.K; ++k) {
        const double n = std::max(m.mass[k], 1e-300);  // with less, first and second are zero beside it
        double* const step = means + k * m.D;
        for (std::int64_t i = 0; i < m.D; ++i) step[i] = m.first[k * m.D + i] / n;
        for (std::int64_t i = 0; i < m.D; ++i) {
            double* const row = about + m.row(k, i);
            if (m.diagonal) row[i] = std::max(row[i] - n * (step[i] * step[i]), 0.0);
            else {
                for (std::int64_t j = 0; j < m.D; ++j) row[j] -= n * (step[i] * step[j]);
                if (m.slices == m.K || k + 1 == m.K) row[i] = std::max(row[i], 0.0);
            }
        }
        for (std::int64_t i = 0; i < m.D; ++i) step[i] += m.origin[k * m.D + i];
    }
}

// The same sums about another origin, o + t, as one vector: mass, d' = d - n t, S' = S - t d^T - d' t^T.
inline void recentre(const Moments& m, const double* origin, double* packed) {
    double* const first = packed + m.K;
    double* const second = first + m.K * m.D;
    std::copy(m.mass, m.mass + m.K, packed);
    std::copy(m.first, m.first + m.K * m.D, first);
    std::copy(m.second, m.second + m.size(), second);
    if (origin == m.origin) return;
    for (std::int64_t k = 0; k < m.K; ++k) {
        const double *const from = m.origin + k * m.D, *const to = origin + k * m.D, *const d = m.first + k * m.D;
        double* const moved = first + k * m.D;
        for (std::int64_t i = 0; i < m.D; ++i) moved[i] -= m.mass[k] * (to[i] - from[i]);
        for (std::int64_t i = 0; i < m.D; ++i) {
            double* const row = second + m.row(k, i);
            const double t = to[i] - from[i];
            if (m.diagonal) row[i] -= t * (d[i] + moved[i]);
            else  // symmetric to the last bit: half of t (d + d')^T and half of its transpose
                for (std::int64_t j = 0; j < m.D; ++j)
                    row[j] -= 0.5 * (t * (d[j] + moved[j]) + (d[i] + moved[i]) * (to[j] - from[j]));
        }
    }
}

// With what a symmetric S is multiplied, number by number, for the trace of W^T W S, in the shape of the second moments: the
// precisions W^T W, twice those below the diagonal and zero above.
inline std::vector<double> of_traces(const Moments& m, const double* roots) {
    constexpr int some = 4;
    std::vector<double> out(m.size(), 0.0);
    if (m.diagonal) {
        for (std::int64_t i = 0; i < m.size(); ++i) out[i] = roots[i] * roots[i];
        return out;
    }
    for (std::int64_t s = 0; s < m.slices; ++s)
        for (std::int64_t i = 0; i < m.D; ++i) {
            double* const __restrict row = out.data() + m.row(s, i);
            auto add = [&](std::int64_t l, auto count) {
                const double* const from = roots + m.row(s, l);
                for (std::int64_t j = 0; j <= i; ++j)
                    for (int r = 0; r < count; ++r) row[j] += from[r * m.D + i] * from[r * m.D + j];
            };
            std::int64_t l = i;
            for (; l + some <= m.D; l += some) add(l, std::integral_constant<int, some>{});
            for (; l < m.D; ++l) add(l, std::integral_constant<int, 1>{});
            for (std::int64_t j = 0; j < i; ++j) row[j] *= 2;
        }
    return out;
}

// Sum of squares of W R^(1/2), of the `size` numbers of some whitenings, R^(1/2) the diagonal (D).
inline double scaled_squares(const double* roots, std::int64_t size, const double* deviations, std::int64_t D) {
    double total = 0;
    for (std::int64_t begin = 0; begin < size; begin += D)
        for (std::int64_t j = 0; j < D; ++j) {
            const double scaled = roots[begin + j] * deviations[j];
            total += scaled * scaled;
        }
    return total;
}

// Coordinates of packed sums in which the complete-data information is the identity: n / sqrt(N_k), W_k d / sqrt(N_k) and
// the size (tr(W_k^T W_k S_k) - n D) / sqrt(2 D N_k), with N_k the masses and W_k the whitening, (K, D) or matrices, of a
// mixture. A matrix that components share has one size and their mass.
class Metric {
    const double* roots;
    std::vector<double> units, sizes, traces;  // 1 / sqrt(N_k), 1 / sqrt(2 D N_k) for each matrix, and what gives traces

public:
    // `like` is any of the sums.
    Metric(const Moments& like, const double* masses, const double* whitening)
        : roots(whitening), units(like.K), sizes(like.slices), traces(of_traces(like, whitening)) {
        auto unit = [](double mass) { return 1 / std::sqrt(std::max(mass, 1e-300)); };
        std::transform(masses, masses + like.K, units.begin(), unit);
        for (std::int64_t s = 0; s < like.slices; ++s)
            sizes[s] = unit(2 * like.D * std::accumulate(masses + s, masses + (like.slices < like.K ? like.K : s + 1), 0.0));
    }

    void whiten(const Moments& m, const double* packed, double* white) const {
        const double* const first = packed + m.K;
        const double* const second = first + m.K * m.D;
        for (std::int64_t k = 0; k < m.K; ++k) {
            const double* const d = first + k * m.D;
            white[k] = packed[k] * units[k];
            for (std::int64_t i = 0; i < m.D; ++i) {
                const double* const row = roots + m.row(k, i);
                double sum = 0;
                for (std::int64_t j = m.diagonal ? i : 0; j <= i; ++j) sum += row[j] * d[j];
                white[m.K + k * m.D + i] = sum * units[k];
            }
        }
        const std::int64_t step = m.size() / m.slices;
        for (std::int64_t s = 0; s < m.slices; ++s) {
            const double n = std::accumulate(packed + s, packed + (m.slices < m.K ? m.K : s + 1), 0.0);
            const double* const own = traces.data() + s * step;
            const double trace = std::transform_reduce(own, own + step, second + s * step, 0.0);
            white[m.K + m.K * m.D + s] = (trace - n * m.D) * sizes[s];
        }
    }
};

}  // namespace gaussmix
