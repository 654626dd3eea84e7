// A tile of rows: its memory, and how rows come into it. Included once per instruction set; everything in the kernel
// but problem.hpp has internal linkage.
#pragma once
#include <cmath>
#include <limits>

#include "problem.hpp"
#include "simd.hpp"

namespace {

using gaussmix::Components;
using gaussmix::Outputs;
using gaussmix::Rows;
using gaussmix::Sums;
using gaussmix::Watch;

// Vectors of lanes that are whitened together: with `height` rows of W, as many accumulators stay in registers.
constexpr int width = 4;
constexpr int height = GAUSSMIX_BYTES == 64 ? 4 : 3;
// Features up to which a component's whole triangle fits into registers.
constexpr int small = 4;

// Rows of a tile that prunes; a multiple of every level's step.
constexpr std::int64_t pruned_rows = 64;

inline int triangle(int i) { return i * (i + 1) / 2; }

template <class Real>
std::int64_t tile_rows(const Components& c) {
    constexpr std::int64_t step = width * lanes<Real>;
    // A tile that prunes is small, so that it is compact.
    const bool pruning = c.reach < std::numeric_limits<double>::infinity();
    std::int64_t rows = pruning ? pruned_rows : c.D <= small ? 512 : c.D <= 16 ? 256 : 128;
    if (rows < step) rows = step;
    while (rows > step && rows * c.K > 65536) rows /= 2;
    return rows < step ? step : rows;
}

template <class Real>
struct Tile {
    const Components& c;
    const int D, K, T;
    int filled = 0;        // rows in use; the rest repeat the first, with weight zero
    Real* x;               // (D, T)
    Real* residual;        // (D, T)
    Real* weighted;        // (D, T)
    Real* log_density;     // (T)
    Real* scale;           // (T) w / s
    Real* weight;          // (T) w
    Real* gamma;           // (K + 1, T): l_k, then e_k of the active components; behind them the noise component
    int* active;           // (K) the components that matter in this tile
    int* place;            // (K + 1) and which row of gamma is theirs; behind them that of the noise component
    int used = 0;          // how many
    double* bound;         // (K) log density at the centre, then its upper bound on the tile
    double* centre;        // (2 D) centre, and a residual
    Real* distance;        // (T)

    static std::size_t bytes(const Components& c) {
        return (3 * c.D + 4 + c.K + 1) * tile_rows<Real>(c) * sizeof(Real) + (c.K + 2 * c.D) * 8 + (2 * c.K + 1) * 4 + 64;
    }
    Tile(const Components& components, void* workspace)
        : c(components), D(int(components.D)), K(int(components.K)), T(int(tile_rows<Real>(components))) {
        Real* next = static_cast<Real*>(workspace);
        auto take = [&](std::int64_t rows) { Real* start = next; next += rows * T; return start; };
        x = take(D), residual = take(D), weighted = take(D);
        log_density = take(1), scale = take(1), weight = take(1), distance = take(1), gamma = take(K + 1);
        bound = reinterpret_cast<double*>(next), centre = bound + K;
        active = reinterpret_cast<int*>(centre + 2 * D), place = active + K;
    }
    // l_k, then e_k, of the component active[a]; of the noise component for a = used.
    Real* slot(int a) const { return gamma + std::int64_t(place[a]) * T; }
    // Feature j of row t; a vector of lanes from there on holds it for the rows t, t + 1, ...
    const Real* feature(int j, int t) const { return x + std::int64_t(j) * T + t; }
    const Real* high(int k) const { return static_cast<const Real*>(c.mean_high) + std::int64_t(k) * D; }
    const Real* low(int k) const { return static_cast<const Real*>(c.mean_low) + std::int64_t(k) * D; }
    const Real* root(int k) const {
        const std::int64_t size = c.diagonal ? D : triangle(D);
        return static_cast<const Real*>(c.whitening) + (c.shared ? 0 : k) * size;
    }
};

// ---- rows -> x ----------------------------------------------------------------------------------------------------

template <class Real, class From>
void transpose(Tile<Real>& tile, const Rows& rows, std::int64_t begin) {
    auto row = [&](std::int64_t t) { return rows.order ? std::int64_t(rows.order[begin + t]) : begin + t; };
    auto at = [&](std::int64_t t, std::int64_t j) {
        From value;
        std::memcpy(&value, rows.data + row(t) * rows.row_step + j * rows.column_step, sizeof value);
        return Real(value);
    };
    const int D = tile.D, T = tile.T;
    if (rows.row_step == sizeof(From) && !rows.order) {  // Fortran order: each feature is contiguous
        for (int j = 0; j < D; ++j)
            for (int t = 0; t < tile.filled; ++t) tile.x[j * T + t] = at(t, j);
    } else {
        for (int t = 0; t < tile.filled; ++t)
            for (int j = 0; j < D; ++j) tile.x[j * T + t] = at(t, j);
    }
    for (int j = 0; j < D; ++j)
        for (int t = tile.filled; t < T; ++t) tile.x[j * T + t] = tile.x[j * T];
    for (int t = 0; t < T; ++t)
        tile.weight[t] = t < tile.filled ? (rows.weights ? Real(rows.weights[row(t)]) : Real(1)) : Real(0);
}

// x - mu without rounding mu to Real first.

template <class Real>
inline Vector<Real> minus(Vector<Real> x, Real high, Real low) {
    if constexpr (sizeof(Real) == 8) return x - high;
    return (x - high) - low;
}

}  // namespace
