// Statistics of a tile for one covariance that all components share, without a product of matrices for each component.
//
// Only the sum over components of their second moments is wanted. With g_k the responsibilities of a row,
// s = sum_k g_k and m = sum_k g_k mu_k / s,
//
//     sum_k g_k (x - mu_k)(x - mu_k)^T = s (x - m)(x - m)^T + sum_k<l (g_k g_l / s) (mu_k - mu_l)(mu_k - mu_l)^T,
//
// (Huygens & Steiner, twice), in which nothing cancels. With h_k = g_k / sqrt(s) and v = sqrt(s) (x - m) all statistics
// come from one symmetric product z z^T of z = (v, h_1, ..., h_K), summed over the rows:
//
//            v    h
//        v  V          sum of s (x - m)(x - m)^T
//        h  H    P     P_kl = sum of g_k g_l / s,   H_k = sum of h_k v,
//
//     N_k = sum_l P_kl,   sum g_k (x - mu_k) = H_k + sum_l P_kl (mu_l - mu_k),
//
// what multiplies means waits until the end of the pass, finish_tied() in sums.hpp. A row costs (D + K)^2 / 2 + K D
// multiplications with additions in place of K D^2 / 2.
#pragma once
#include "moments.hpp"

namespace {

// e_k -> h_k and x -> v in one panel. A row of no density has none: h = 0, v = 0.
template <class Real>
[[gnu::flatten]] void separate_means(const Tile<Real>& tile, int t) {
    constexpr int P = panel_rows<Real>;
    const Real *centre = static_cast<const Real*>(tile.c.centre), *offset = static_cast<const Real*>(tile.c.offset);
    Real* x = tile.feature(0, t);
    Panel<Real> total{};
    for (int k = 0; k < tile.K; ++k) total += Panel<Real>::load(tile.slot(k) + t);
    const Panel<Real> root = (total * Panel<Real>::load(tile.scale + t)).root();  // sqrt(s)
    auto scale_shares = [&](const Panel<Real>& by) {
        for (int k = 0; k < tile.K; ++k) (Panel<Real>::load(tile.slot(k) + t) * by).store(tile.slot(k) + t);
    };
    scale_shares(Panel<Real>::of([&](auto i) { return total.v[i] > Real(0) ? Real(1) / total.v[i] : Vector<Real>{}; }));
    in_steps_of<height>(tile.D, [&](int i, auto rows) {  // a share of all leaves its mean exactly
        Panel<Real> v[rows];
        unrolled<rows>([&](auto r) { v[r] = Panel<Real>::load(x + (i + r) * P) - centre[i + r]; });
        for (int k = 0; k < tile.K; ++k) {
            const auto share = Panel<Real>::load(tile.slot(k) + t);
            unrolled<rows>([&](auto r) { v[r] += share * -offset[std::int64_t(k) * tile.D + i + r]; });
        }
        unrolled<rows>([&](auto r) { (v[r] * root).store(x + (i + r) * P); });
    });
    scale_shares(root);
}

template <class Real>
void moments_tied(const Tile<Real>& tile, Sums& sums) {
    for (int t = 0; t < tile.T; t += panel_rows<Real>) separate_means(tile, t);
    const int n = tile.D + tile.K;
    tile.turn_into(tile.q, n, [&](int i, int t) { return i < tile.D ? tile.feature(i, t) : tile.slot(i - tile.D) + t; });
    outer_triangle<Real, false>({tile, n, sums.joint});
}

}  // namespace
