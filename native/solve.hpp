// The dense algebra of M-steps and starts, included once per instruction set; everything has internal linkage.
//
// Whitening, W = L^-1 of a covariance L L^T: row i of L^T and of W follow from the rows before by the same factors L_ik:
//
//   L_ii (L^T)_i = Sigma_i - sum_k L_ik (L^T)_k,        L_ii W_i = e_i - sum_k L_ik W_k        (k < i)
//
// All rows are contiguous, so that the compiler finds vectors, and four rows at a time are subtracted from one.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace {

// target[begin, end) -= sum of factor[r] * rows[r * D + begin, r * D + end), r < count.
template <int count>
inline void subtract(double* __restrict target, const double* factor, const double* __restrict rows, std::int64_t D,
                     std::int64_t begin, std::int64_t end) {
    for (std::int64_t j = begin; j < end; ++j) {
        double value = target[j];
        for (int r = 0; r < count; ++r) value -= factor[r] * rows[r * D + j];
        target[j] = value;
    }
}

// Takes the rows [k, k + count) of `upper`, L^T, and `inverse`, W, out of row i of both.
template <int count>
inline void eliminate(double* upper, double* inverse, std::int64_t D, std::int64_t i, std::int64_t k) {
    double factor[count];
    for (int r = 0; r < count; ++r) factor[r] = upper[(k + r) * D + i];
    subtract<count>(upper + i * D, factor, upper + k * D, D, i, D);
    subtract<count>(inverse + i * D, factor, inverse + k * D, D, 0, k + count);
}

// W (D, D), zero above the diagonal, of the covariance (D, D); false when that is not positive definite or not finite.
// `upper` (D, D) is left with L^T in its upper triangle.
inline bool whiten(const double* covariance, std::int64_t D, double* inverse, double* upper) {
    double largest = 0;
    for (std::int64_t i = 0; i < D; ++i) {
        double *const above = upper + i * D, *const below = inverse + i * D;
        std::copy(covariance + i * D + i, covariance + (i + 1) * D, above + i);
        std::fill(below, below + D, 0.0);
        below[i] = 1;
        std::int64_t k = 0;
        for (; k + 4 <= i; k += 4) eliminate<4>(upper, inverse, D, i, k);
        for (; k < i; ++k) eliminate<1>(upper, inverse, D, i, k);
        if (!(above[i] > 0 && above[i] < std::numeric_limits<double>::infinity())) return false;
        const double scale = 1 / std::sqrt(above[i]);
        for (std::int64_t j = i; j < D; ++j) above[j] *= scale;
        for (std::int64_t j = 0; j <= i; ++j) largest += std::abs(below[j] *= scale);
    }
    return largest < std::numeric_limits<double>::infinity();
}

// Sums of products in vectors; the compiler may not reorder a sum by itself.
inline double product(const double* a, const double* b, std::int64_t n) {
    constexpr int parts = 16;
    double part[parts] = {};
    std::int64_t i = 0;
    for (; i + parts <= n; i += parts)
        for (int u = 0; u < parts; ++u) part[u] += a[i + u] * b[i + u];
    double sum = 0;
    for (; i < n; ++i) sum += a[i] * b[i];
    for (int u = 0; u < parts; ++u) sum += part[u];
    return sum;
}

// One sweep of rotations over the pairs of columns (count, D), see axes.hpp; whether one was turned.
inline bool orthogonalise(double* columns, double* squares, std::int64_t count, std::int64_t D) {
    const double small = 0x1p-52 * std::sqrt(double(D));
    bool turned = false;
    for (std::int64_t j = 0; j < count; ++j) squares[j] = product(columns + j * D, columns + j * D, D);
    for (std::int64_t p = 0; p < count; ++p)
        for (std::int64_t q = p + 1; q < count; ++q) {
            double *const __restrict u = columns + p * D, *const __restrict v = columns + q * D;
            const double along = product(u, v, D);
            if (!(std::abs(along) > small * std::sqrt(squares[p]) * std::sqrt(squares[q]))) continue;
            // The smaller of the two angles.
            const double ratio = (squares[q] - squares[p]) / (2 * along);
            const double tangent = std::copysign(1 / (std::abs(ratio) + std::sqrt(1 + ratio * ratio)), ratio);
            const double cosine = 1 / std::sqrt(1 + tangent * tangent), sine = tangent * cosine;
            for (std::int64_t i = 0; i < D; ++i) {
                const double from = u[i];
                u[i] = cosine * from - sine * v[i];
                v[i] = sine * from + cosine * v[i];
            }
            squares[p] -= tangent * along, squares[q] += tangent * along;
            turned = true;
        }
    return turned;
}

template <int count>
inline double some_distances(const double* points, const double* weights, std::int64_t n, std::int64_t D, std::int64_t from,
                             const double* limit, double* out, std::int64_t begin) {
    double squared[count] = {};
    for (std::int64_t j = 0; j < D; ++j) {
        const double *const x = points + j * n + begin, centre = points[j * n + from];
        for (int i = 0; i < count; ++i) squared[i] += (x[i] - centre) * (x[i] - centre);
    }
    for (int i = 0; i < count; ++i) squared[i] = squared[i] < limit[begin + i] ? squared[i] : limit[begin + i];
    for (int i = 0; i < count; ++i) out[begin + i] = squared[i], squared[i] *= weights[begin + i];
    for (int half = count / 2; half > 0; half /= 2)
        for (int i = 0; i < half; ++i) squared[i] += squared[i + half];
    return squared[0];
}

// See problem.hpp.
inline double squared_distances(const double* points, const double* weights, std::int64_t n, std::int64_t D, std::int64_t from,
                                const double* limit, double* out) {
    constexpr int block = 32;
    double sum = 0;
    std::int64_t i = 0;
    for (; i + block <= n; i += block) sum += some_distances<block>(points, weights, n, D, from, limit, out, i);
    for (; i < n; ++i) sum += some_distances<1>(points, weights, n, D, from, limit, out, i);
    return sum;
}

}  // namespace
