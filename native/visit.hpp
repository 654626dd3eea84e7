// The pass over a tile of rows: log densities, log-sum-exp, statistics, in one visit. Eq. numbers as in
// docs/derivation.md. Included once per instruction set; everything has internal linkage.
//
//   rows (T, D)  --transpose-->  x (D, T): samples lie in the vector lanes
//   for each k:  r = x - mu_k,  y = W_k r,  l_k = c_k - |y|^2 / 2            E-step, log of pi_k N(x | mu_k, Sigma_k)
//   per lane:    m = max l_k,  e_k = exp(l_k - m),  s = sum e_k,  ln p = m + ln s        eqs. (4), (5), (6)
//   for each k:  g = w e_k / s,  r = x - mu_k,  mass += g,  first += g r,  second += g r r^T   eqs. (7), (8)
#pragma once
#include "bayes.hpp"
#include "moments.hpp"
#include "prune.hpp"

namespace {

// l_k of all components that matter in the tile. Returns the work in thirds of a dense component's: one for its
// densities, two for the rest if it is kept; far below zero when the visit is to end.
template <class Real>
std::int64_t densities(Tile<Real>& tile, const Watch& watch) {
    choose_active(tile);
    const int evaluated = tile.used;
    for (int a = 0; a < tile.used; ++a) {
        if (!watch.go_on(watch.self)) return std::numeric_limits<std::int64_t>::min();
        distances(tile, tile.active[a], 0, tile.T, tile.slot(a));
    }
    if (tile.c.reach < std::numeric_limits<double>::infinity()) drop_unlikely(tile);
    for (int t = 0; t < tile.T; ++t) tile.slot(tile.used)[t] = Real(tile.c.log_noise);
    return evaluated + 2 * tile.used;
}

template <class Real>
bool add_sums(Tile<Real>& tile, const Rows& rows, std::int64_t begin, const Watch& watch, Sums& sums) {
    sums.log_likelihood += bayes(tile, rows.weights != nullptr);
    for (int t = 0; t < tile.filled && rows.weights; ++t)
        sums.weight += rows.weights[rows.order ? rows.order[begin + t] : begin + t];
    if (!rows.weights) sums.weight += tile.filled;
    if (tile.c.log_noise > -std::numeric_limits<double>::infinity())
        for (int t = 0; t < tile.filled; ++t) sums.noise += double(tile.slot(tile.used)[t]) * tile.scale[t];
    for (int a = 0; a < tile.used; ++a) {
        if (!watch.go_on(watch.self)) return false;
        moments(tile, tile.active[a], tile.slot(a), sums);
    }
    return true;
}

template <class Real>
void write_outputs(Tile<Real>& tile, std::int64_t begin, const Outputs& out) {
    if (out.label) classify(tile, out.label + begin);
    if (!out.log_density && !out.responsibilities) return;
    bayes_of_each_row(tile);
    for (int t = 0; t < tile.filled && out.log_density; ++t) out.log_density[begin + t] = tile.log_density[t];
    for (int t = 0; t < tile.filled && out.responsibilities; ++t)
        for (int a = 0; a < out.columns; ++a)
            out.responsibilities[(begin + t) * out.columns + a] = double(tile.slot(a)[t]) * tile.scale[t];
}

template <class Real>
std::int64_t visit(const Rows& rows, const Components& c, std::int64_t begin, std::int64_t end, void* workspace,
                   const Watch& watch, Sums* sums, const Outputs* outputs) {
    Tile<Real> tile(c, workspace);
    std::int64_t work = 0;
    for (; begin < end; begin += tile.T) {
        tile.filled = int(end - begin < tile.T ? end - begin : tile.T);
        if (rows.single) fill<Real, float>(tile, rows, begin);
        else fill<Real, double>(tile, rows, begin);
        work += densities(tile, watch);
        if (work < 0) return work;
        if (outputs) write_outputs(tile, begin, *outputs);
        if (sums && !add_sums(tile, rows, begin, watch, *sums)) return -1;
    }
    return work;
}

}  // namespace
