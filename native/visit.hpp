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
#include "tied.hpp"

namespace {

// Bytes of the tile that comes next, asked for a part at a time, so that memory works while one is computed.
struct Ahead {
    const char *next, *end;

    void ask(std::int64_t bytes) {
        const char* const stop = end - next < bytes ? end : next + bytes;
        for (const char* line = next; line < stop; line += 64) __builtin_prefetch(line, 0, 2);
        next = stop;
    }
};

// What comes after the tile at `begin`, before `end`; nothing if rows do not lie one behind the other.
template <class Real>
Ahead after(const Tile<Real>& tile, const Rows& rows, std::int64_t begin, std::int64_t end) {
    const std::int64_t first = begin + tile.capacity, last = first + tile.capacity < end ? first + tile.capacity : end;
    if (first >= end || rows.order || !adjacent(rows, tile.D)) return {nullptr, nullptr};
    return {rows.data + first * rows.row_step, rows.data + last * rows.row_step};
}

// l_k of all components; false if the watch says so.
template <class Real>
bool all_densities(Tile<Real>& tile, const Watch& watch, Ahead ahead) {
    const std::int64_t share = (ahead.end - ahead.next) / (tile.c.centre ? tile.T / panel_rows<Real> : tile.K) + 64;
    for (int k = 0; k < tile.K && !tile.c.centre; ++k) {
        if (!watch.go_on(watch.self)) return false;
        ahead.ask(share);
        distances(tile, k, 0, tile.T, tile.slot(k));
    }
    for (int begin = 0; begin < tile.T && tile.c.centre; begin += panel_rows<Real>) {
        ahead.ask(share);
        whiten_about_centre(tile, begin);
        for (int k = 0; k < tile.K; ++k) {
            if (!watch.go_on(watch.self)) return false;
            distances_centred(tile, k, begin, tile.slot(k));
        }
    }
    for (int t = 0; t < tile.T; ++t) tile.slot(tile.K)[t] = Real(tile.c.log_noise);
    return true;
}

template <class Real>
bool add_sums(Tile<Real>& tile, const Rows& rows, std::int64_t begin, const Watch& watch, Sums& sums) {
    sums.log_likelihood += bayes(tile, rows.weights != nullptr);
    for (int t = 0; t < tile.filled && rows.weights; ++t)
        sums.weight += rows.weights[rows.order ? rows.order[begin + t] : begin + t];
    if (!rows.weights) sums.weight += tile.filled;
    if (tile.c.log_noise > -std::numeric_limits<double>::infinity())
        for (int t = 0; t < tile.filled; ++t) sums.noise += double(tile.slot(tile.K)[t]) * tile.scale[t];
    if (tile.c.offset) moments_tied(tile, sums);
    for (int k = 0; k < tile.K && !tile.c.offset; ++k) {
        if (!watch.go_on(watch.self)) return false;
        moments(tile, k, tile.slot(k), sums);
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
void visit(const Rows& rows, const Components& c, std::int64_t begin, std::int64_t end, void* workspace,
                   const Watch& watch, Sums* sums, const Outputs* outputs) {
    Tile<Real> tile(c, workspace);
    for (; begin < end; begin += tile.capacity) {
        tile.use(end - begin);
        if (rows.single) fill<Real, float>(tile, rows, begin);
        else fill<Real, double>(tile, rows, begin);
        if (!all_densities(tile, watch, after(tile, rows, begin, end))) return;
        if (outputs) write_outputs(tile, begin, *outputs);
        if (sums && !add_sums(tile, rows, begin, watch, *sums)) return;
    }
}

}  // namespace
