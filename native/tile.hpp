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
using gaussmix::small;
using gaussmix::Watch;

// Vectors of lanes in a panel: with `height` rows of W, as many accumulators stay in registers.
constexpr int width = 4;
constexpr int height = GAUSSMIX_BYTES == 64 ? 6 : 3;
// Features up to which the second moment of a component is cheapest in registers, in several visits.
constexpr int small_triangle = 14;

template <class Real>
constexpr int panel_rows = width * lanes<Real>;

inline int triangle(int i) { return i * (i + 1) / 2; }

template <class Real>
std::int64_t tile_rows(const Components& c) {
    constexpr std::int64_t step = panel_rows<Real>;
    std::int64_t rows = (c.D <= 4 ? 512 : 256) * 8 / sizeof(Real);
    if (rows < step) rows = step;
    while (rows > step && rows * c.K > 65536) rows /= 2;
    return rows < step ? step : rows;
}

// Rows lie in memory twice. In panels, samples are in the lanes: what is computed for each row alone, its densities,
// needs no sum across lanes. In strips, features are in the lanes: sums over the rows need none either.
//
//     panels (T / P, D, P), P = width x lanes rows          strips (D / L, T, L), the last one filled up with zeros
//     +-- P rows --+-- P rows --+                            +- L features -+- L features -+
//     | feature 0  | feature 0  |                            | row 0        | row 0        |
//     | feature 1  | feature 1  |                            | row 1        | row 1        |
template <class Real>
struct Tile {
    const Components& c;
    const int D, K, capacity;  // rows that it can hold
    const int strips;      // ceil(D / lanes), or 0 if all of a component's sums fit into registers
    int filled = 0, T = 0; // rows in use; with the rest of the last panel, which repeats the first, with weight zero
    Real* x;               // panels of rows
    Real* x_strips;        // strips of rows
    Real* residual;        // (D, P): of one panel
    Real* whitened;        // (D, P): likewise, where all components share it
    Real* weighted;        // strips of sqrt(g) (x - mu)
    Real* log_density;     // (T)
    Real* scale;           // (T) w / s
    Real* weight;          // (T) w
    Real* gamma;           // (K + 1, slot_step): l_k, then e_k; behind them the noise component's
    Real* padded_mean;     // (strips x lanes): one mean, filled up with zeros
    Real* root_mass;       // (T) sqrt(s), tied.hpp
    Real* padded_centre;   // (strips x lanes) likewise, and
    Real* padded_offset;   // (K, strips x lanes) mu_k - centre: tied.hpp
    std::int64_t* offset;  // (T) bytes from the data's first row

    // From slot to slot: a line of the cache more than a power of two, or all would share a few sets of it.
    static std::int64_t slot_step(std::int64_t T) { return T + 64 / std::int64_t(sizeof(Real)); }
    static int strips_of(const Components& c) {
        const bool in_registers = c.D <= small || (c.D <= small_triangle && !c.diagonal && !c.offset);
        return in_registers ? 0 : int((c.D + lanes<Real> - 1) / lanes<Real>);
    }
    static std::size_t bytes(const Components& c) {
        const std::int64_t T = tile_rows<Real>(c), padded = strips_of(c) * lanes<Real>;
        const std::int64_t reals = (c.D + 2 * padded + 4) * T + (c.K + 1) * slot_step(T) + 2 * c.D * panel_rows<Real> + padded +
                                   (c.offset ? (c.K + 1) * padded : 0);
        return reals * sizeof(Real) + T * 8 + 64;
    }
    Tile(const Components& components, void* workspace)
        : c(components), D(int(components.D)), K(int(components.K)), capacity(int(tile_rows<Real>(components))),
          strips(strips_of(components)) {
        const std::int64_t T = capacity;
        Real* next = static_cast<Real*>(workspace);
        auto take = [&](std::int64_t count) { Real* start = next; next += count; return start; };
        const std::int64_t padded = strips * lanes<Real>;
        x = take(D * T), residual = take(D * panel_rows<Real>), whitened = take(D * panel_rows<Real>);
        x_strips = take(padded * T), weighted = take(padded * T);
        log_density = take(T), scale = take(T), weight = take(T);
        gamma = take((K + 1) * slot_step(T)), padded_mean = take(padded);
        root_mass = take(T);
        if (c.offset) padded_centre = take(padded), padded_offset = take(K * padded), pad_means(padded);
        offset = reinterpret_cast<std::int64_t*>(next);
        for (std::int64_t i = 0; i < padded * T; ++i) x_strips[i] = 0;
        for (std::int64_t i = 0; i < padded; ++i) padded_mean[i] = 0;
    }
    void pad_means(std::int64_t padded) {
        for (std::int64_t j = 0; j < padded; ++j) {
            padded_centre[j] = j < D ? static_cast<const Real*>(c.centre)[j] : Real(0);
            for (int k = 0; k < K; ++k) padded_offset[k * padded + j] = j < D ? Real(c.offset[std::int64_t(k) * D + j]) : Real(0);
        }
    }
    void use(std::int64_t rows) {
        filled = int(rows < capacity ? rows : capacity);
        T = (filled + panel_rows<Real> - 1) / panel_rows<Real> * panel_rows<Real>;
    }
    // l_k, then e_k, of component k; of the noise component for k = K.
    Real* slot(int k) const { return gamma + k * slot_step(capacity); }
    // Feature j of row t; a vector of lanes from there on holds it for the rows t, t + 1, ...
    Real* feature(int j, int t) const {
        const int within = t % panel_rows<Real>;
        return x + std::int64_t(t - within) * D + std::int64_t(j) * panel_rows<Real> + within;
    }
    const Real* mean(int k) const { return static_cast<const Real*>(c.mean_high) + std::int64_t(k) * D; }
    const Real* rest(int k) const { return static_cast<const Real*>(c.rest) + std::int64_t(k) * D; }
    const Real* root(int k) const {
        const std::int64_t size = c.diagonal ? D : triangle(D);
        return static_cast<const Real*>(c.whitening) + (c.shared ? 0 : k) * size;
    }
};

// Whether rows lie one behind the other.
inline bool adjacent(const Rows& rows, int D) {
    return rows.column_step == (rows.single ? 4 : 8) && rows.row_step == D * rows.column_step;
}

// ---- rows -> x ----------------------------------------------------------------------------------------------------

// Features [first, last) of the tile, one value after the other; `row` (t) is where row t starts.
template <class Real, class From, class Start>
inline void copy_features(const Tile<Real>& tile, std::int64_t column_step, int first, int last, Start row) {
    constexpr int L = lanes<Real>, P = panel_rows<Real>;
    auto value = [](const char* from) {
        From value;
        std::memcpy(&value, from, sizeof value);
        return Real(value);
    };
    for (int j = first; j < last; ++j)
        for (int begin = 0; begin < tile.T; begin += P) {
            Real* to = tile.feature(j, begin);
            for (int t = 0; t < P; ++t) to[t] = value(row(begin + t) + j * column_step);
        }
    for (int j = first; j < last && tile.strips; ++j) {
        Real* to = tile.x_strips + std::int64_t(j / L) * tile.capacity * L + j % L;
        for (int t = 0; t < tile.T; ++t) to[t * L] = *tile.feature(j, t);
    }
}

// L rows of `Count` adjacent features at a time, at most L, turned in registers.
template <class Real, class From, int Count, class Start>
inline void copy_squares(const Tile<Real>& tile, int first, int last, Start row) {
    constexpr int L = lanes<Real>, P = panel_rows<Real>;
    const std::int64_t strip = tile.strips ? tile.capacity : 0;
    Real* strips = tile.x_strips;
    for (int t = 0; t < tile.T; t += L)
        for (int j = first; j + Count <= last; j += Count) {
            Vector<Real> square[L];
            unrolled<L>([&](auto i) { square[i] = load_as<Real, From, Count>(row(t + i) + j * sizeof(From)); });
            if (strip) unrolled<L>([&](auto i) { store(strips + j * strip + (t + i) * L, square[i]); });
            turn<Real>(square);
            Real* to = tile.feature(j, t);
            unrolled<Count>([&](auto i) { store(to + i * P, square[i]); });
        }
}

template <class Real, class From, class Start>
inline void copy(const Tile<Real>& tile, const Rows& rows, Start row) {
    constexpr int L = lanes<Real>;
    const bool adjacent = rows.column_step == sizeof(From);
    const int whole = adjacent ? tile.D / L * L : 0, half = adjacent && tile.D - whole >= L / 2 ? whole + L / 2 : whole;
    copy_squares<Real, From, L>(tile, 0, whole, row);
    copy_squares<Real, From, L / 2>(tile, whole, half, row);
    copy_features<Real, From>(tile, rows.column_step, half, tile.D, row);
}

// Few features of rows that lie one behind the other: L rows are D vectors, whose lanes are sorted by feature. D counts up
// to the tile's; false if there are too many.
template <class Real, class From, int D = 1>
inline bool copy_narrow(const Tile<Real>& tile, const char* rows) {
    constexpr int L = lanes<Real>;
    if constexpr (D >= small || D >= L) {
        return false;
    } else if (tile.D != D) {
        return copy_narrow<Real, From, D + 1>(tile, rows);
    } else {
        for (int t = 0; t < tile.T; t += L) {
            Vector<Real> part[D];
            unrolled<D>([&](auto i) { part[i] = load_as<Real, From, L>(rows + (t * D + i * L) * sizeof(From)); });
            unrolled<D>([&](auto j) {
                Vector<Real> feature = part[0];
                unrolled<D - 1>([&](auto before) {
                    feature = shuffle<Real>(feature, part[before + 1], [](int lane) {
                        constexpr int i = decltype(before)::value + 1;
                        const int at = lane * D + decltype(j)::value;
                        return at / L == i ? L + at % L : i == 1 ? at % L : lane;
                    });
                });
                store(tile.feature(j, t), feature);
            });
        }
        return true;
    }
}

template <class Real, class From>
void fill(Tile<Real>& tile, const Rows& rows, std::int64_t begin) {
    auto index = [&](std::int64_t t) { return rows.order ? std::int64_t(rows.order[begin + t]) : begin + t; };
    for (int t = 0; t < tile.T; ++t) tile.weight[t] = Real(t < tile.filled);
    for (int t = 0; t < tile.filled && rows.weights; ++t) tile.weight[t] = Real(rows.weights[index(t)]);
    if (rows.order || tile.filled < tile.T) {
        std::int64_t* offset = tile.offset;
        for (int t = 0; t < tile.T; ++t) offset[t] = index(t < tile.filled ? t : 0) * rows.row_step;
        copy<Real, From>(tile, rows, [offset, data = rows.data](int t) { return data + offset[t]; });
    } else {
        const char* first = rows.data + begin * rows.row_step;
        if (adjacent(rows, tile.D) && copy_narrow<Real, From>(tile, first)) return;
        copy<Real, From>(tile, rows, [first, step = rows.row_step](int t) { return first + t * step; });
    }
}

// x - mu without rounding mu to Real first.
template <class Real>
inline Vector<Real> minus(Vector<Real> x, Real high, Real low) {
    if constexpr (sizeof(Real) == 8) return x - high;
    return (x - high) - low;
}

// What W (x - mu) starts from, besides W (x - high): see Components.
template <class Real>
inline Vector<Real> rest_of_whitened(const Real* rest, int i) {
    return sizeof(Real) == 8 || !rest ? Vector<Real>{} : splat<Real>(rest[i]);
}

}  // namespace
