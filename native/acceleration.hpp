// Longer steps than EM's own: an implicit Euler step along its path, see gaussmix/acceleration.py.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

namespace gaussmix {

// u and g of each of some passes, one vector a row, the last pass last. Of each row the first `size` numbers are the
// statistics (noise mass, masses of K components, moments); those behind them, up to `width`, are what compares them.
struct Path {
    std::int64_t passes, size, width, K;
    const double* vectors;

    const double* given(std::int64_t age) const { return vectors + (2 * (passes - age) - 1) * width; }  // g, 0: the last
    const double* used(std::int64_t age) const { return given(age) - width; }                          // u
};

// Solves the leading equations of A x = b that are positive definite, by elimination: each pivot is the curvature of a
// step beside those before it. Returns how many they are; x is left in b.
inline std::int64_t solve_definite(double* A, double* b, std::int64_t m) {
    std::int64_t n = 0;
    for (; n < m; ++n) {
        double* const row = A + n * m;
        const double known = std::abs(row[n]);
        for (std::int64_t j = 0; j < n; ++j) {
            const double factor = row[j] / A[j * m + j];
            for (std::int64_t i = j; i < m; ++i) row[i] -= factor * A[j * m + i];
            b[n] -= factor * b[j];
        }
        if (!(1e-10 * known < row[n] && row[n] < std::numeric_limits<double>::infinity())) break;
    }
    for (std::int64_t k = n; k-- > 0;) {
        for (std::int64_t j = k + 1; j < n; ++j) b[k] -= A[k * m + j] * b[j];
        b[k] /= A[k * m + k];
    }
    return n;
}

// The statistics u + p, (size), to go on with, p = (1 + mu) (mu + B)^-1 f. False where the path tells nothing of its
// curvature, and where a component would keep less than a tenth of its mass, or noise less than none.
inline bool implicit_step(const Path& path, double mu, double* proposed) {
    const std::int64_t m = path.passes - 1, length = path.width - path.size;
    // f, the steps s and the changes of g, the last first, in what compares them.
    std::vector<double> lines((1 + 2 * m) * length), A(m * m), gamma(m);
    auto fill = [&](std::int64_t line, const double* to, const double* from) {
        for (std::int64_t i = 0; i < length; ++i) lines[line * length + i] = to[path.size + i] - from[path.size + i];
    };
    fill(0, path.given(0), path.used(0));
    for (std::int64_t age = 0; age < m; ++age) {
        fill(1 + age, path.used(age), path.used(age + 1));
        fill(1 + m + age, path.given(age), path.given(age + 1));
    }
    auto product = [&](std::int64_t a, std::int64_t b) {
        const double* const line = lines.data() + a * length;
        return std::transform_reduce(line, line + length, lines.data() + b * length, 0.0);
    };
    for (std::int64_t i = 0; i < m; ++i) {
        gamma[i] = product(0, 1 + i);
        for (std::int64_t j = 0; j < m; ++j) A[i * m + j] = (1 + mu) * product(1 + i, 1 + j) - product(1 + i, 1 + m + j);
    }
    const std::int64_t known = solve_definite(A.data(), gamma.data(), m);
    std::copy_n(path.given(0), path.size, proposed);
    for (std::int64_t age = 0; age < known; ++age)
        for (std::int64_t i = 0; i < path.size; ++i)
            proposed[i] += gamma[age] * (path.given(age)[i] - path.given(age + 1)[i]);
    bool keeps = known > 0 && proposed[0] >= 0;
    for (std::int64_t k = 1; k <= path.K; ++k) keeps = keeps && proposed[k] > 0.1 * path.used(0)[k];
    return keeps;
}

}  // namespace gaussmix
