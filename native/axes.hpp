// The axes of a scatter matrix S = L L^T, from the columns of L: rotations of pairs of them make all orthogonal (one-sided
// Jacobi: Hestenes 1958, J. SIAM 6, 51-90), and then they are the axes, times standard deviations. With pivoting the
// columns of L are nearly that from the start, and their lengths never cancel, so that a variance 1e-12 of another keeps
// ten digits (Demmel & Veselic 1992, SIAM J. Matrix Anal. Appl. 13, 1204-1245; Drmac & Veselic 2008, 29, 1322-1342).
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "problem.hpp"

namespace gaussmix {

inline double dot(const double* a, const double* b, std::int64_t n) {
    double sum[4] = {0, 0, 0, 0};
    std::int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int lane = 0; lane < 4; ++lane) sum[lane] += a[i + lane] * b[i + lane];
    for (; i < n; ++i) sum[0] += a[i] * b[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

// A power of two between the variances of scatter (K, D, D), which may differ by more than the range of a double; 1 if
// there are none. False if one is negative or not finite.
inline bool unit_between(const double* scatter, std::int64_t K, std::int64_t D, double& unit) {
    int lowest = std::numeric_limits<int>::max(), highest = std::numeric_limits<int>::min();
    for (std::int64_t i = 0; i < K * D; ++i) {
        const double variance = scatter[i / D * D * D + i % D * (D + 1)];
        if (!(variance >= 0 && variance <= std::numeric_limits<double>::max())) return false;
        if (variance > 0) lowest = std::min(lowest, std::ilogb(variance)), highest = std::max(highest, std::ilogb(variance));
    }
    unit = lowest <= highest ? std::exp2(double(lowest / 2 + highest / 2)) : 1;
    return true;
}

// The columns (rank, D) of L, with L L^T = S (D, D) / unit: long ones first, none for what is flat but for rounding.
inline std::vector<double> pivoted_root(const double* scatter, double unit, std::int64_t D) {
    constexpr double flat = 0x1p-50;  // of a feature's variance
    std::vector<double> columns, left(D);  // what is left of the variances; 0 where all of it is explained
    columns.reserve(D * D);
    for (std::int64_t i = 0; i < D; ++i) left[i] = scatter[i * D + i] / unit;
    for (std::int64_t rank = 0; rank < D; ++rank) {
        const std::int64_t pivot = std::max_element(left.begin(), left.end()) - left.begin();
        if (!(left[pivot] > 0)) break;
        for (std::int64_t i = 0; i < D; ++i) columns.push_back(left[i] > 0 ? scatter[pivot * D + i] / unit : 0);
        double* const column = columns.data() + rank * D;
        for (std::int64_t before = 0; before < rank; ++before) {
            const double *const other = columns.data() + before * D, factor = other[pivot];
            for (std::int64_t i = 0; i < D; ++i) column[i] -= factor * other[i];
        }
        const double length = std::sqrt(left[pivot]);
        for (std::int64_t i = 0; i < D; ++i) {
            column[i] = left[i] > 0 ? column[i] / length : 0;
            left[i] -= column[i] * column[i];
            if (!(left[i] > flat * scatter[i * D + i] / unit)) left[i] = 0;
        }
        column[pivot] = length, left[pivot] = 0;
    }
    return columns;
}

// One more row of axes (rank, D), orthonormal, at right angles to the others.
inline void complete(std::vector<double>& axes, std::int64_t D) {
    const std::int64_t rank = std::int64_t(axes.size()) / D;
    std::vector<double> known(D, 0.0), axis(D, 0.0);  // of each feature, the part along the axes
    for (std::size_t i = 0; i < axes.size(); ++i) known[i % D] += axes[i] * axes[i];
    axis[std::min_element(known.begin(), known.end()) - known.begin()] = 1;
    for (int twice = 0; twice < 2; ++twice) {
        for (std::int64_t l = 0; l < rank; ++l) {
            const double along = dot(axis.data(), axes.data() + l * D, D);
            for (std::int64_t i = 0; i < D; ++i) axis[i] -= along * axes[l * D + i];
        }
        const double length = std::sqrt(dot(axis.data(), axis.data(), D));
        for (double& each : axis) each /= length;
    }
    axes.insert(axes.end(), axis.begin(), axis.end());
}

// Axes (D, D), in columns, by increasing variance, and the variances (D,) along them, of scatter (D, D); false if one is
// negative or not finite.
inline bool own_axes(const Level& level, const double* scatter, std::int64_t D, double* axes, double* variances) {
    double unit;
    if (!unit_between(scatter, 1, D, unit)) return false;
    std::vector<double> columns = pivoted_root(scatter, unit, D), squares(D, 0.0);
    const std::int64_t rank = std::int64_t(columns.size()) / D;
    for (int sweep = 0; sweep < 40 && level.orthogonalise(columns.data(), squares.data(), rank, D); ++sweep) continue;
    for (std::int64_t i = 0; i < rank * D; ++i) columns[i] /= std::sqrt(squares[i / D]);
    while (std::int64_t(columns.size()) < D * D) complete(columns, D);
    std::vector<std::int64_t> order(D);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) { return squares[a] < squares[b]; });
    for (std::int64_t j = 0; j < D; ++j) {
        variances[j] = squares[order[j]] * unit;
        for (std::int64_t i = 0; i < D; ++i) axes[i * D + j] = columns[order[j] * D + i];
    }
    return true;
}

}  // namespace gaussmix
