// Longer steps than EM's own: several along its path at once, see gaussmix/acceleration.py.
#pragma once
#include <algorithm>
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

// Solves A X = B for the leading rows that are independent, by elimination: `table` holds A and B side by side, m rows of
// `width` numbers, A symmetric. Returns how many rows that are; X is left in place of B.
inline std::int64_t solve_independent(double* table, std::int64_t m, std::int64_t width) {
    auto subtract = [=](std::int64_t row, std::int64_t other, double factor) {
        for (std::int64_t i = 0; i < width; ++i) table[row * width + i] -= factor * table[other * width + i];
    };
    std::int64_t n = 0;
    for (; n < m; ++n) {
        const double& pivot = table[n * width + n];
        const double whole = pivot;
        for (std::int64_t j = 0; j < n; ++j) subtract(n, j, table[n * width + j] / table[j * width + j]);
        if (!(1e-10 * whole < pivot && pivot < std::numeric_limits<double>::infinity())) break;
    }
    for (std::int64_t k = n; k-- > 0;) {
        for (std::int64_t j = k + 1; j < n; ++j) subtract(k, j, table[k * width + j]);
        for (std::int64_t i = width; i-- > k;)  // the pivot last
            table[k * width + i] /= table[k * width + k];
    }
    return n;
}

// The statistics (size) that `ahead` more steps lead to. False where the path tells nothing of them, and where a component
// would keep less than a tenth of its mass, or noise less than none.
inline bool steps_ahead(const Path& path, double ahead, double* proposed) {
    const std::int64_t m = path.passes - 1, length = path.width - path.size, width = 2 * m + 1;
    // f, the steps s and the changes of g, the last first, in what compares them.
    std::vector<double> lines((1 + 2 * m) * length), table(m * width), sum(m), next(m);
    auto fill = [&](std::int64_t line, const double* to, const double* from) {
        for (std::int64_t i = 0; i < length; ++i) lines[line * length + i] = to[path.size + i] - from[path.size + i];
    };
    fill(2 * m, path.given(0), path.used(0));
    for (std::int64_t age = 0; age < m; ++age) {
        fill(age, path.used(age), path.used(age + 1));
        fill(m + age, path.given(age), path.given(age + 1));
    }
    auto product = [&](std::int64_t a, std::int64_t b) {
        const double* const line = lines.data() + a * length;
        return std::transform_reduce(line, line + length, lines.data() + b * length, 0.0);
    };
    for (std::int64_t i = 0; i < m; ++i)
        for (std::int64_t j = 0; j < width; ++j) table[i * width + j] = product(i, j);
    const std::int64_t known = solve_independent(table.data(), m, width);
    for (; ahead > 0; --ahead) {  // of a part of a step, a part of its change
        for (std::int64_t i = 0; i < known; ++i) {
            const double* const row = table.data() + i * width;
            next[i] = std::transform_reduce(row + m, row + m + known, sum.data(), row[2 * m]);
        }
        for (std::int64_t i = 0; i < known; ++i) sum[i] += std::min(ahead, 1.0) * (next[i] - sum[i]);
    }
    std::copy_n(path.given(0), path.size, proposed);
    for (std::int64_t age = 0; age < known; ++age)
        for (std::int64_t i = 0; i < path.size; ++i)
            proposed[i] += sum[age] * (path.given(age)[i] - path.given(age + 1)[i]);
    bool keeps = known > 0 && proposed[0] >= 0;
    for (std::int64_t k = 1; k <= path.K; ++k) keeps = keeps && proposed[k] > 0.1 * path.used(0)[k];
    return keeps;
}

}  // namespace gaussmix
