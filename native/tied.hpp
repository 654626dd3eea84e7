// Statistics of a tile for one covariance that all components share, without a product of matrices for each component.
//
// Only the sum over components of their second moments is wanted. With g_k the responsibilities of a row,
// s = sum_k g_k and m = sum_k g_k mu_k / s,
//
//     sum_k g_k (x - mu_k)(x - mu_k)^T = s (x - m)(x - m)^T + sum_k<l (g_k g_l / s) (mu_k - mu_l)(mu_k - mu_l)^T,
//
// (Huygens & Steiner, twice), in which nothing cancels. Sums over the rows of the first term need one product a row,
// those of the second the K x K sums of g_k g_l / s alone: the products with means wait until the end of the pass,
// finish_tied() in driver.hpp. About the centre c of Components, with h_k = g_k / sqrt(s) and y = sqrt(s) (x - c),
//
//     sqrt(s) (x - m) = y - sum_k h_k (mu_k - c),   sum g_k (x - c) = sum h_k y,   g_k g_l / s = h_k h_l,
//
// so that a row costs D^2 / 2 + 2 K D + K^2 / 2 multiplications with additions in place of K D^2 / 2.
#pragma once
#include "moments.hpp"

namespace {

// e_k -> h_k, with their mass; sqrt(s) per row. A row of no density has none: h = 0.
template <class Real>
void share_rows(const Tile<Real>& tile, Sums& sums) {
    constexpr int L = lanes<Real>;
    for (int t = 0; t < tile.T; t += L) {
        Vector<Real> total{};
        for (int k = 0; k < tile.K; ++k) total += load(tile.slot(k) + t);
        const Vector<Real> root = square_root<Real>(total * load(tile.scale + t));
        store(tile.root_mass + t, root);
        store(tile.scale + t, root > Real(0) ? load(tile.scale + t) / root : Vector<Real>{});
    }
    for (int k = 0; k < tile.K; ++k) {
        Vector<Real> mass[2] = {};
        for (int t = 0; t < tile.T; t += 2 * L)
#pragma GCC unroll 2
            for (int u = 0; u < 2; ++u) {
                Real* to = tile.slot(k) + t + u * L;
                const Vector<Real> h = load(to) * load(tile.scale + t + u * L);
                store(to, h);
                mass[u] += h * load(tile.root_mass + t + u * L);
            }
        sums.mass[k] += sum<Real>(mass[0] + mass[1]);
    }
}

// x -> y, and sqrt(s) (x - m), in `Strips` strips from s on.
template <class Real, int Strips>
inline void leave_means(const Tile<Real>& tile, int s) {
    constexpr int L = lanes<Real>, Height = rows_of_block;
    const std::int64_t strip = std::int64_t(tile.capacity) * L;
    Real *x = tile.x_strips + s * strip, *residual = tile.weighted + s * strip;
    const Real *centre = tile.padded_centre + s * L, *offset = tile.padded_offset + s * L;
    for (std::int64_t t = 0; t < tile.T; t += Height) {
        Vector<Real> total[Height][Strips];
        unrolled<Height>([&](auto h) {
            unrolled<Strips>([&](auto i) {
                Real* at = x + i * strip + (t + h) * L;
                total[h][i] = (load(at) - load(centre + i * L)) * tile.root_mass[t + h];
                store(at, total[h][i]);
            });
        });
        for (int k = 0; k < tile.K; ++k) {
            const Real *share = tile.slot(k) + t, *mean = offset + std::int64_t(k) * tile.strips * L;
            Vector<Real> m[Strips];
            unrolled<Strips>([&](auto i) { m[i] = load(mean + i * L); });
            unrolled<Height>([&](auto h) {
                const Vector<Real> each = splat<Real>(share[h]);
                unrolled<Strips>([&](auto i) { total[h][i] -= each * m[i]; });
            });
        }
        unrolled<Height>([&](auto h) {
            unrolled<Strips>([&](auto i) { store(residual + i * strip + (t + h) * L, total[h][i]); });
        });
    }
}

// Sums of h_k y of components [k, k + Height) in `Strips` strips from s on.
template <class Real, int Strips>
inline void first_moments(const Tile<Real>& tile, int k, int s, double* first) {
    constexpr int L = lanes<Real>, Height = rows_of_block;
    const std::int64_t strip = std::int64_t(tile.capacity) * L;
    const Real* y = tile.x_strips + s * strip;
    const Real* share[Height];
    for (int h = 0; h < Height; ++h) share[h] = tile.slot(k + h < tile.K ? k + h : tile.K - 1);
    Vector<Real> total[Height][Strips] = {};
    for (std::int64_t t = 0; t < tile.T; ++t) {
        Vector<Real> row[Strips];
        unrolled<Strips>([&](auto i) { row[i] = load(y + i * strip + t * L); });
        unrolled<Height>([&](auto h) {
            const Vector<Real> each = splat<Real>(share[h][t]);
            unrolled<Strips>([&](auto i) { total[h][i] += each * row[i]; });
        });
    }
    for (int h = 0; h < Height && k + h < tile.K; ++h)
        for (int i = 0; i < Strips; ++i) {
            const int at = (s + i) * L;
            add_to<Real>(first + std::int64_t(k + h) * tile.D + at, total[h][i], tile.D - at);
        }
}

// Sums of h_k h_l for components [k, k + height) and [l, l + width).
template <class Real>
inline void pairs_of(const Tile<Real>& tile, int k, int l, double* pairs) {
    constexpr int L = lanes<Real>;
    const Real *left[height], *right[width];
    for (int i = 0; i < height; ++i) left[i] = tile.slot(k + i < tile.K ? k + i : tile.K - 1);
    for (int j = 0; j < width; ++j) right[j] = tile.slot(l + j < tile.K ? l + j : tile.K - 1);
    Vector<Real> total[height][width] = {};
    for (int t = 0; t < tile.T; t += L) {
        Vector<Real> h[width];
        unrolled<width>([&](auto j) { h[j] = load(right[j] + t); });
        unrolled<height>([&](auto i) {
            const Vector<Real> each = load(left[i] + t);
            unrolled<width>([&](auto j) { total[i][j] += each * h[j]; });
        });
    }
    for (int i = 0; i < height && k + i < tile.K; ++i)
        for (int j = 0; j < width && l + j < k + i; ++j)
            pairs[std::int64_t(k + i) * tile.K + l + j] += sum<Real>(total[i][j]);
}

// All strips, three at a time, the odd ones first.
template <class Work>
inline void by_threes(int strips, Work work) {
    const int odd = strips % 3;
    if (odd == 1) work(std::integral_constant<int, 1>{}, 0);
    if (odd == 2) work(std::integral_constant<int, 2>{}, 0);
    for (int s = odd; s < strips; s += 3) work(std::integral_constant<int, 3>{}, s);
}

// The tile's sums: first moments about the centre, and of second moments the two parts.
template <class Real>
void moments_tied(const Tile<Real>& tile, Sums& sums) {
    share_rows(tile, sums);
    by_threes(tile.strips, [&](auto count, int s) { leave_means<Real, count>(tile, s); });
    outer_triangle<Real, false>(tile, nullptr, nullptr, sums.second);
    for (int k = 0; k < tile.K; k += rows_of_block)
        by_threes(tile.strips, [&](auto count, int s) { first_moments<Real, count>(tile, k, s, sums.first); });
    for (int k = 0; k < tile.K; k += height)
        for (int l = 0; l < k + height && l < tile.K; l += width) pairs_of(tile, k, l, sums.pairs);
}

}  // namespace
