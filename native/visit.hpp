// The pass over a tile of rows: log densities, log-sum-exp, statistics, in one visit. Eq. numbers as in
// docs/derivation.md. Included once per instruction set; everything has internal linkage.
//
//   rows (T, D)  --transpose-->  x (D, T): samples lie in the vector lanes
//   for each k:  r = x - mu_k,  y = W_k r,  l_k = c_k - |y|^2 / 2            E-step, log of pi_k N(x | mu_k, Sigma_k)
//   per lane:    m = max l_k,  e_k = exp(l_k - m),  s = sum e_k,  ln p = m + ln s        eqs. (4), (5), (6)
//   for each k:  g = w e_k / s,  r = x - mu_k,  mass += g,  first += g r,  second += g r r^T   eqs. (7), (8)
#pragma once
#include "bayes.hpp"
#include "densities.hpp"
#include "fill.hpp"
#include "tied.hpp"

namespace {

// l_k of all components for the tile at `begin`, while memory looks for the next; false if the watch says so.
template <class Real>
bool all_densities(Tile<Real>& tile, const Rows& rows, std::int64_t begin, std::int64_t end, const Watch& watch) {
    const int P = panel_rows<Real>, parts = tile.c.centre ? tile.T / P : tile.K;
    for (int part = 0; part < parts; ++part) {
        ask_ahead(tile, rows, begin, end, part, parts);
        if (!(tile.c.centre ? distances_centred(tile, part * P, watch) : watch.go_on(watch.self))) return false;
        if (!tile.c.centre) distances(tile, part, tile.slot(part));
    }
    for (int t = 0; t < tile.T; ++t) tile.slot(tile.K)[t] = Real(tile.c.log_noise);
    return true;
}

// Mass and moments of all components, which use up e_k and, tied, the rows; false if the watch says so.
template <class Real>
bool all_moments(Tile<Real>& tile, const Watch& watch, Sums& sums) {
    if (tile.c.offset) return moments_tied(tile, sums), true;
    if (tile.strips) tile.turn_into(tile.x_strips, tile.D, [&](int j, int t) { return tile.feature(j, t); });
    for (int k = 0; k < tile.K; ++k) {
        if (!watch.go_on(watch.self)) return false;
        moments(tile, k, tile.slot(k), sums);
    }
    return true;
}

template <class Real>
bool add_sums(Tile<Real>& tile, const Rows& rows, std::int64_t begin, const Watch& watch, Sums& sums) {
    sums.log_likelihood += bayes(tile, rows.weights != nullptr);
    for (int t = 0; t < tile.filled && rows.weights; ++t)
        sums.weight += rows.weights[rows.order ? rows.order[begin + t] : begin + t];
    if (!rows.weights) sums.weight += tile.filled;
    for (int t = 0; t < tile.filled && tile.slots > tile.K; ++t)
        sums.noise += double(tile.slot(tile.K)[t]) * tile.scale[t];
    return all_moments(tile, watch, sums);
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
void visit(const Rows& rows, const Components& c, std::int64_t begin, std::int64_t end, void* workspace, const Watch& watch,
           Sums* sums, const Outputs* outputs) {
    Tile<Real> tile(c, workspace);
    for (; begin < end; begin += tile.capacity) {
        tile.use(end - begin);
        if (rows.single) fill<Real, float>(tile, rows, begin);
        else fill<Real, double>(tile, rows, begin);
        if (!all_densities(tile, rows, begin, end, watch)) return;
        if (outputs) write_outputs(tile, begin, *outputs);
        if (sums && !add_sums(tile, rows, begin, watch, *sums)) return;
    }
}

}  // namespace
