// A tile of rows: its memory, and the two ways in which rows lie there. Included once per instruction set; everything
// in the kernel but problem.hpp has internal linkage.
#pragma once
#include <cmath>
#include <limits>

#include "problem.hpp"
#include "simd.hpp"

namespace {

using namespace gaussmix;

// Vectors of lanes in a panel: with `height` rows of W, as many accumulators stay in registers.
constexpr int width = 4;
constexpr int height = GAUSSMIX_BYTES == 64 ? 6 : 3;
template <class Real>
using Panel = Wide<Real, width>;
template <class Real>
constexpr int panel_rows = width * lanes<Real>;

// Features up to which the second moment of a component is cheapest in registers, in several visits: measured.
constexpr int small_triangle = GAUSSMIX_BYTES == 64 ? 28 : GAUSSMIX_BYTES == 32 ? 20 : 14;

constexpr int triangle(int i) { return i * (i + 1) / 2; }

template <class Real>
std::int64_t tile_rows(const Components& c) {
    constexpr std::int64_t step = panel_rows<Real>;
    std::int64_t rows = (c.D <= 4 ? 512 : 256) * 8 / sizeof(Real);
    while (rows > step && rows * c.K > 65536) rows /= 2;
    return rows < step ? step : rows;
}

// Rows lie in memory twice. In panels, samples are in the lanes: what is computed for each row alone, its densities,
// needs no sum across lanes. In strips, features are in the lanes: sums over the rows need none either. Panels are
// always there; strips hold what second moments are made of, where those do not fit into registers.
//
//     panels (T / P, D, P), P = width x lanes rows          strips (S / L, T, L), the last one filled up with zeros
//     +-- P rows --+-- P rows --+                            +- L features -+- L features -+
//     | feature 0  | feature 0  |                            | row 0        | row 0        |
//     | feature 1  | feature 1  |                            | row 1        | row 1        |
template <class Real>
struct Tile {
    const Components& c;
    const int D, K, capacity;  // rows that it can hold
    const int strips;          // of the second moments, or 0 if they fit into registers
    const int slots;           // of densities: K, and one more with noise
    const std::int64_t step;   // from slot to slot: a line more than a power of two, or all would share a few sets of the cache
    int filled = 0, T = 0;     // rows in use; with the rest of the last panel, which repeats the first, with weight zero
    Real* x;                   // panels of rows
    Real *x_strips, *q;        // strips of rows, and of what is multiplied: sqrt(g) (x - mu) or z of tied.hpp
    Real *residual, *whitened; // (D, P): of one panel; the second where all components share it
    Real *weight, *scale;      // (T) w, w / s
    Real* log_density;         // (T)
    Real* gamma;               // (K + 1, step): l_k, then e_k; behind them the noise component's
    const char** row;          // (T) where each begins
    std::uintptr_t end;        // of its memory

    // Second moments of tied components are those of D + K numbers a row, see tied.hpp.
    static int strips_of(const Components& c) {
        if (!c.offset && c.D <= (c.diagonal ? small : small_triangle)) return 0;
        return int((c.D + (c.offset ? c.K : 0) + lanes<Real> - 1) / lanes<Real>);
    }
    static std::size_t bytes(const Components& c) { return Tile(c, nullptr).end; }
    Tile(const Components& components, void* workspace)
        : c(components), D(int(components.D)), K(int(components.K)), capacity(int(tile_rows<Real>(components))),
          strips(strips_of(components)), slots(K + (c.log_noise > -std::numeric_limits<double>::infinity())),
          step(capacity + 64 / std::int64_t(sizeof(Real))), end(reinterpret_cast<std::uintptr_t>(workspace)) {
        const std::int64_t T = capacity, padded = strips * lanes<Real>;
        auto take = [&](std::int64_t count) {
            Real* const start = reinterpret_cast<Real*>(end);
            end += count * sizeof(Real);
            return start;
        };
        x = take(D * T), x_strips = take(c.offset ? 0 : padded * T), q = take(padded * T);
        residual = take(D * panel_rows<Real>), whitened = take(D * panel_rows<Real>);
        weight = take(T), scale = take(T), log_density = take(T);
        gamma = take((K + 1) * step);
        row = reinterpret_cast<const char**>(end), end += T * sizeof(char*);
    }
    void use(std::int64_t rows) {
        filled = int(rows < capacity ? rows : capacity);
        T = (filled + panel_rows<Real> - 1) / panel_rows<Real> * panel_rows<Real>;
    }
    // l_k, then e_k, of component k; of the noise component for k = K.
    Real* slot(int k) const { return gamma + k * step; }
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
    // What `of(j, t)` points to, a vector of rows from t on, for j = 0, ..., count - 1: into strips.
    template <class Of>
    void turn_into(Real* to, int count, Of of) const {
        constexpr int L = lanes<Real>;
        for (int j = 0; j < count; j += L)
            for (int t = 0; t < T; t += L) {
                Vector<Real> square[L];
                unrolled<L>([&](auto i) { square[i] = j + i < count ? load(of(j + i, t)) : Vector<Real>{}; });
                turn<Real>(square);
                unrolled<L>([&](auto i) { store(to + std::int64_t(j) * capacity + (t + i) * L, square[i]); });
            }
    }
};

}  // namespace
