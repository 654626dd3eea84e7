// The pass over a tile of rows: log densities, log-sum-exp, statistics, in one visit. Eq. numbers as in
// docs/derivation.md. Included once per instruction set; everything has internal linkage.
//
//   rows (T, D)  --transpose-->  x (D, T): samples lie in the vector lanes
//   for each k:  r = x - mu_k,  y = W_k r,  l_k = c_k - |y|^2 / 2            E-step, log of pi_k N(x | mu_k, Sigma_k)
//   per lane:    m = max l_k,  e_k = exp(l_k - m),  s = sum e_k,  ln p = m + ln s        eqs. (4), (5), (6)
//   for each k:  g = w e_k / s,  r = x - mu_k,  mass += g,  first += g r,  second += g r r^T   eqs. (7), (8)
//
// In a large mixture most components have nothing to do with a compact tile. With its centre c and radius R,
// |W_k(x - mu_k)| >= |W_k(c - mu_k)| - |W_k| R bounds l_k from above on the whole tile; a component whose bound lies
// `reach` below what the likeliest component attains everywhere is left out of both steps.
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

template <class Real>
void form_residuals(const Tile<Real>& tile, int k) {
    const Real *high = tile.high(k), *low = tile.low(k);
    for (int j = 0; j < tile.D; ++j)
        for (int t = 0; t < tile.T; t += lanes<Real>)
            store(tile.residual + j * tile.T + t, minus(load(tile.x + j * tile.T + t), high[j], low[j]));
}

// ---- E-step: l_k --------------------------------------------------------------------------------------------------

// All of a small triangle in registers.
template <class Real, int D>
void distances_small(const Tile<Real>& tile, int k, Real constant, Real* out) {
    const Real *high = tile.high(k), *low = tile.low(k), *root = tile.root(k);
    for (int t = 0; t < tile.T; t += lanes<Real>) {
        Vector<Real> r[D], total{};
#pragma GCC unroll 4
        for (int j = 0; j < D; ++j) r[j] = minus(load(tile.x + j * tile.T + t), high[j], low[j]);
#pragma GCC unroll 4
        for (int i = 0; i < D; ++i) {
            Vector<Real> y = r[0] * root[i * (i + 1) / 2];
#pragma GCC unroll 4
            for (int j = 1; j <= i; ++j) y += r[j] * root[i * (i + 1) / 2 + j];
            total += y * y;
        }
        store(out + t, constant - Real(0.5) * total);
    }
}

// y = W r for `Height` rows of the triangle from row i on and `width` vectors of lanes; adds |y|^2 to total.
//
//            r_0 r_1 ...                      width x lanes samples
//   W row i    * *  . . . .  +---+---+---+---+
//   W row i+1  * *  *        | accumulators  |  Height x width of them
//   W row i+2  * *  * *      +---+---+---+---+
template <class Real, int Height>
inline void whiten_rows(const Real* root, const Real* residual, int i, int T, Vector<Real>* total) {
    Vector<Real> y[Height][width] = {};
    const Real* w[Height];
    for (int h = 0; h < Height; ++h) w[h] = root + (i + h) * (i + h + 1) / 2;
    for (int j = 0; j <= i; ++j) {
#pragma GCC unroll 4
        for (int v = 0; v < width; ++v) {
            const Vector<Real> r = load(residual + j * T + v * lanes<Real>);
#pragma GCC unroll 4
            for (int h = 0; h < Height; ++h) y[h][v] += r * w[h][j];
        }
    }
#pragma GCC unroll 4
    for (int g = 1; g < Height; ++g) {  // the corner above the diagonal is left out
#pragma GCC unroll 4
        for (int v = 0; v < width; ++v) {
            const Vector<Real> r = load(residual + (i + g) * T + v * lanes<Real>);
#pragma GCC unroll 4
            for (int h = g; h < Height; ++h) y[h][v] += r * w[h][i + g];
        }
    }
#pragma GCC unroll 4
    for (int h = 0; h < Height; ++h)
#pragma GCC unroll 4
        for (int v = 0; v < width; ++v) total[v] += y[h][v] * y[h][v];
}

template <class Real>
void distances_full(const Tile<Real>& tile, int k, Real constant, Real* out) {
    form_residuals(tile, k);
    const Real* root = tile.root(k);
    for (int t = 0; t < tile.T; t += width * lanes<Real>) {
        Vector<Real> total[width] = {};
        const Real* r = tile.residual + t;
        int i = 0;
        for (; i + height <= tile.D; i += height) whiten_rows<Real, height>(root, r, i, tile.T, total);
        switch (tile.D - i) {
            case 1: whiten_rows<Real, 1>(root, r, i, tile.T, total); break;
            case 2: whiten_rows<Real, 2>(root, r, i, tile.T, total); break;
            case 3: whiten_rows<Real, 3>(root, r, i, tile.T, total); break;
        }
        for (int v = 0; v < width; ++v)
            store(out + t + v * lanes<Real>, constant - Real(0.5) * total[v]);
    }
}

template <class Real>
void distances_diagonal(const Tile<Real>& tile, int k, Real constant, Real* out) {
    const Real *high = tile.high(k), *low = tile.low(k), *root = tile.root(k);
    for (int t = 0; t < tile.T; t += width * lanes<Real>) {
        Vector<Real> total[width] = {};
        for (int j = 0; j < tile.D; ++j)
#pragma GCC unroll 4
            for (int v = 0; v < width; ++v) {
                const Vector<Real> x = load(tile.x + j * tile.T + t + v * lanes<Real>);
                const Vector<Real> y = minus(x, high[j], low[j]) * root[j];
                total[v] += y * y;
            }
        for (int v = 0; v < width; ++v)
            store(out + t + v * lanes<Real>, constant - Real(0.5) * total[v]);
    }
}

// ---- Bayes' theorem, eqs. (4), (5) --------------------------------------------------------------------------------

// l_k -> e_k = exp(l_k - max), with ln p and w / s per row; a row without any finite l_k gets ln p = -inf, e_k = 0.
template <class Real, bool Subnormal>
void bayes(Tile<Real>& tile, std::int64_t* label) {
    constexpr Real infinity = std::numeric_limits<Real>::infinity();
    const int L = lanes<Real>, T = tile.T;
    const int components = tile.used + (tile.c.log_noise > -std::numeric_limits<double>::infinity());
    for (int t = 0; t < T; t += L) {
        Vector<Real> largest = load(tile.slot(0) + t);
        for (int k = 1; k < components; ++k) {
            const Vector<Real> l = load(tile.slot(k) + t);
            largest = l > largest ? l : largest;
        }
        if (label)  // the first component that attains the maximum
            for (int i = t; i < t + L && i < tile.filled; ++i) {
                int k = 0;
                while (k + 1 < components && tile.slot(k)[i] != largest[i - t]) ++k;
                label[i] = k < tile.used ? tile.active[k] : tile.K;
            }
        const Vector<Real> shift = largest > -infinity ? largest : Vector<Real>{};
        Vector<Real> s{};
        for (int k = 0; k < components; ++k) {
            const Vector<Real> e = exp_negative<Real, Subnormal>(load(tile.slot(k) + t) - shift);
            store(tile.slot(k) + t, e);
            s += e;
        }
        const Vector<Real> seen = s > Real(0) ? s : splat<Real>(1);
        const Vector<Real> lowest = splat<Real>(-infinity);
        store(tile.log_density + t, largest > -infinity ? largest + log_positive<Real>(seen) : lowest);
        store(tile.scale + t, load(tile.weight + t) / seen);
    }
}

// ---- statistics, eqs. (7), (8) ------------------------------------------------------------------------------------

template <class Real, int D>
void moments_small(const Tile<Real>& tile, int k, Real* e, Sums& sums) {
    constexpr int unroll = D == 1 ? 4 : D == 2 ? 2 : 1, pairs = D * (D + 1) / 2;
    const Real *high = tile.high(k), *low = tile.low(k);
    Vector<Real> mass[unroll] = {}, first[unroll][D] = {}, second[unroll][pairs] = {};
    for (int t = 0; t < tile.T; t += unroll * lanes<Real>)
#pragma GCC unroll 4
        for (int u = 0; u < unroll; ++u) {
            const int at = t + u * lanes<Real>;
            const Vector<Real> g = load(e + at) * load(tile.scale + at);
            Vector<Real> r[D];
            mass[u] += g;
#pragma GCC unroll 4
            for (int i = 0; i < D; ++i) {
                r[i] = minus(load(tile.x + i * tile.T + at), high[i], low[i]);
                const Vector<Real> gr = g * r[i];
                first[u][i] += gr;
#pragma GCC unroll 4
                for (int j = 0; j <= i; ++j) second[u][i * (i + 1) / 2 + j] += gr * r[j];
            }
        }
    double* to = sums.second + (tile.c.shared ? 0 : k) * D * D;
    for (int u = 0; u < unroll; ++u) {
        sums.mass[k] += sum<Real>(mass[u]);
        for (int i = 0; i < D; ++i) {
            sums.first[k * D + i] += sum<Real>(first[u][i]);
            for (int j = 0; j <= i; ++j) to[i * D + j] += sum<Real>(second[u][i * (i + 1) / 2 + j]);
        }
    }
}

// e_k -> g for one component; its sum is the mass.
template <class Real>
void weigh(const Tile<Real>& tile, int k, Real* e, Sums& sums) {
    Vector<Real> mass[width] = {};
    for (int t = 0; t < tile.T; t += width * lanes<Real>)
#pragma GCC unroll 4
        for (int v = 0; v < width; ++v) {
            const int at = t + v * lanes<Real>;
            const Vector<Real> g = load(e + at) * load(tile.scale + at);
            store(e + at, g);
            mass[v] += g;
        }
    sums.mass[k] += sum<Real>((mass[0] + mass[1]) + (mass[2] + mass[3]));
}

// g and g r for one component; their sums are the mass and the first moment.
template <class Real>
void weigh_residuals(const Tile<Real>& tile, int k, Real* e, Sums& sums) {
    const Real *high = tile.high(k), *low = tile.low(k);
    weigh(tile, k, e, sums);
    for (int j = 0; j < tile.D; ++j) {
        Vector<Real> first[width] = {};
        for (int t = 0; t < tile.T; t += width * lanes<Real>)
#pragma GCC unroll 4
            for (int v = 0; v < width; ++v) {
                const int at = t + v * lanes<Real>;
                const Vector<Real> r = minus(load(tile.x + j * tile.T + at), high[j], low[j]);
                const Vector<Real> gr = load(e + at) * r;
                store(tile.residual + j * tile.T + at, r);
                store(tile.weighted + j * tile.T + at, gr);
                first[v] += gr;
            }
        sums.first[k * tile.D + j] += sum<Real>((first[0] + first[1]) + (first[2] + first[3]));
    }
}

// Height x Width entries of sum g r r^T from (i, j) on, over the whole tile.
template <class Real, int Height, int Width>
inline void outer_block(const Real* weighted, const Real* residual, int T, double* to, int stride) {
    Vector<Real> total[Height][Width] = {};
    for (int t = 0; t < T; t += lanes<Real>) {
        Vector<Real> r[Width];
#pragma GCC unroll 4
        for (int v = 0; v < Width; ++v) r[v] = load(residual + v * T + t);
#pragma GCC unroll 4
        for (int h = 0; h < Height; ++h) {
            const Vector<Real> gr = load(weighted + h * T + t);
#pragma GCC unroll 4
            for (int v = 0; v < Width; ++v) total[h][v] += gr * r[v];
        }
    }
    for (int h = 0; h < Height; ++h)
        if constexpr (Width == 4)
            add_sums_of_four<Real>(total[h][0], total[h][1], total[h][2], total[h][3], to + h * stride);
        else
            for (int v = 0; v < Width; ++v) to[h * stride + v] += sum<Real>(total[h][v]);
}

template <class Real, int Height>
inline void outer_row(const Real* weighted, const Real* residual, int T, double* to, int stride, int columns) {
    int j = 0;
    for (; j + 4 <= columns; j += 4) outer_block<Real, Height, 4>(weighted, residual + j * T, T, to + j, stride);
    switch (columns - j) {
        case 1: outer_block<Real, Height, 1>(weighted, residual + j * T, T, to + j, stride); break;
        case 2: outer_block<Real, Height, 2>(weighted, residual + j * T, T, to + j, stride); break;
        case 3: outer_block<Real, Height, 3>(weighted, residual + j * T, T, to + j, stride); break;
    }
}

template <class Real>
void moments_full(const Tile<Real>& tile, int k, Real* e, Sums& sums) {
    weigh_residuals(tile, k, e, sums);
    const int D = tile.D, T = tile.T;
    double* to = sums.second + (tile.c.shared ? 0 : std::int64_t(k)) * D * D;
    int i = 0;
    // A block of rows takes the columns up to its last diagonal entry; what lies above the diagonal is not read.
    for (; i + height <= D; i += height)
        outer_row<Real, height>(tile.weighted + i * T, tile.residual, T, to + i * D, D, i + height);
    switch (D - i) {
        case 1: outer_row<Real, 1>(tile.weighted + i * T, tile.residual, T, to + i * D, D, D); break;
        case 2: outer_row<Real, 2>(tile.weighted + i * T, tile.residual, T, to + i * D, D, D); break;
        case 3: outer_row<Real, 3>(tile.weighted + i * T, tile.residual, T, to + i * D, D, D); break;
    }
}

template <class Real>
void moments_diagonal(const Tile<Real>& tile, int k, Real* e, Sums& sums) {
    const Real *high = tile.high(k), *low = tile.low(k);
    weigh(tile, k, e, sums);
    for (int j = 0; j < tile.D; ++j) {
        Vector<Real> first[width] = {}, second[width] = {};
        for (int t = 0; t < tile.T; t += width * lanes<Real>)
#pragma GCC unroll 4
            for (int v = 0; v < width; ++v) {
                const int at = t + v * lanes<Real>;
                const Vector<Real> r = minus(load(tile.x + j * tile.T + at), high[j], low[j]);
                const Vector<Real> gr = load(e + at) * r;
                first[v] += gr;
                second[v] += gr * r;
            }
        sums.first[k * tile.D + j] += sum<Real>((first[0] + first[1]) + (first[2] + first[3]));
        sums.second[k * tile.D + j] += sum<Real>((second[0] + second[1]) + (second[2] + second[3]));
    }
}

// ---- one tile after the other -------------------------------------------------------------------------------------

// l_k of one component for the whole tile.
template <class Real>
void distances(const Tile<Real>& tile, int k, Real* out) {
    const Real constant = Real(tile.c.constant[k]);
    if (tile.c.diagonal) return distances_diagonal(tile, k, constant, out);
    switch (tile.D) {
        case 1: return distances_small<Real, 1>(tile, k, constant, out);
        case 2: return distances_small<Real, 2>(tile, k, constant, out);
        case 3: return distances_small<Real, 3>(tile, k, constant, out);
        case 4: return distances_small<Real, 4>(tile, k, constant, out);
        default: return distances_full(tile, k, constant, out);
    }
}

// An upper bound on every l_k over the tile from its centre c and radius: c_k - max(0, |W_k(c - mu_k)| - |W_k| R)^2 / 2.
// Components lie in the lanes. Returns the likeliest at the centre.
template <class Real>
int bound_components(const Tile<Real>& tile, double radius) {
    constexpr int L = lanes<double>;
    const Components& c = tile.c;
    const int D = tile.D, K = tile.K, rows = c.diagonal ? D : triangle(D);
    int likeliest = 0;
    double most = -std::numeric_limits<double>::infinity();
    for (int k = 0; k < K; k += L) {
        const double* mean = c.turned_means + std::int64_t(k) * D;     // (D, L)
        const double* root = c.turned_roots + std::int64_t(k) * rows;  // (D(D+1)/2, L)
        Vector<double> squared{};
        for (int i = 0; i < D; ++i) {
            Vector<double> y{};
            for (int j = c.diagonal ? i : 0; j <= i; ++j, root += L) y += load(root) * (tile.centre[j] - load(mean + j * L));
            squared += y * y;
        }
        for (int v = 0; v < L && k + v < K; ++v) {
            const double centre = c.constant[k + v] - 0.5 * squared[v];
            if (centre > most) most = centre, likeliest = k + v;
            const double nearest = std::sqrt(squared[v]) - c.norm[k + v] * radius;
            tile.bound[k + v] = c.constant[k + v] - (nearest > 0 ? 0.5 * nearest * nearest : 0.0);
        }
    }
    return likeliest;
}

// Centre of the tile's rows, and the distance of the farthest.
template <class Real>
double enclose(const Tile<Real>& tile) {
    Vector<Real> farthest{};
    for (int j = 0; j < tile.D; ++j) {
        Vector<Real> total{};
        for (int t = 0; t < tile.T; t += lanes<Real>) total += load(tile.x + j * tile.T + t);
        tile.centre[j] = sum<Real>(total) / tile.T;
    }
    for (int t = 0; t < tile.T; t += lanes<Real>) {
        Vector<Real> squared{};
        for (int j = 0; j < tile.D; ++j) {
            const Vector<Real> r = load(tile.x + j * tile.T + t) - Real(tile.centre[j]);
            squared += r * r;
        }
        farthest = squared > farthest ? squared : farthest;
    }
    double radius = 0;
    for (int i = 0; i < lanes<Real>; ++i) radius = radius > farthest[i] ? radius : farthest[i];
    return std::sqrt(radius) * (sizeof(Real) == 8 ? 1 + 1e-9 : 1 + 1e-4);
}

// Fills `active` with the components that may come within `reach` of the likeliest one somewhere in the tile.
template <class Real>
void choose_active(Tile<Real>& tile) {
    const Components& c = tile.c;
    const bool pruning = c.reach < std::numeric_limits<double>::infinity();
    double least = 0;
    int likeliest = 0;
    if (pruning) {
        likeliest = bound_components(tile, enclose(tile));
        distances(tile, likeliest, tile.distance);
        least = tile.distance[0];
        for (int t = 1; t < tile.filled; ++t) least = tile.distance[t] < least ? double(tile.distance[t]) : least;
    }
    tile.used = 0;
    for (int k = 0; k < tile.K; ++k)
        if (!pruning || tile.bound[k] > least - c.reach || c.always[k] || k == likeliest) {
            tile.place[tile.used] = tile.used;
            tile.active[tile.used++] = k;
        }
    tile.place[tile.used] = tile.used;
}

// Drops the active components whose l_k lies `reach` below the largest in every row; the others keep their order.
template <class Real>
void drop_unlikely(Tile<Real>& tile) {
    Real* largest = tile.distance;
    for (int a = 0; a < tile.used; ++a)
        for (int t = 0; t < tile.T; t += lanes<Real>) {
            const Vector<Real> l = load(tile.slot(a) + t), most = load(largest + t);
            store(largest + t, l > most ? l : most);
        }
    int kept = 0;
    for (int a = 0; a < tile.used; ++a) {
        Integers<Real> any{};
        for (int t = 0; t < tile.T; t += lanes<Real>)
            any |= load(tile.slot(a) + t) > load(largest + t) - Real(tile.c.reach);
        bool matters = tile.c.always[tile.active[a]];
        for (int i = 0; i < lanes<Real>; ++i) matters |= any[i] != 0;
        if (!matters) continue;
        tile.active[kept] = tile.active[a];
        tile.place[kept++] = tile.place[a];
    }
    tile.place[kept] = tile.place[tile.used];
    tile.used = kept;
}

// Returns the work in thirds of a dense component's: one for its densities, two for the rest if it is kept; far below
// zero when the visit is to end.
template <class Real>
std::int64_t e_step(Tile<Real>& tile, const Watch& watch, bool summing, std::int64_t* label) {
    choose_active(tile);
    const int evaluated = tile.used;
    for (int a = 0; a < tile.used; ++a) {
        if (!watch.go_on(watch.self)) return std::numeric_limits<std::int64_t>::min();
        distances(tile, tile.active[a], tile.slot(a));
    }
    if (tile.c.reach < std::numeric_limits<double>::infinity()) drop_unlikely(tile);
    for (int t = 0; t < tile.T; ++t) tile.slot(tile.used)[t] = Real(tile.c.log_noise);
    if (summing) bayes<Real, false>(tile, label);
    else bayes<Real, true>(tile, label);
    return evaluated + 2 * tile.used;
}

template <class Real>
void moments(const Tile<Real>& tile, int k, Real* e, Sums& sums) {
    if (tile.c.diagonal) return moments_diagonal(tile, k, e, sums);
    switch (tile.D) {
        case 1: return moments_small<Real, 1>(tile, k, e, sums);
        case 2: return moments_small<Real, 2>(tile, k, e, sums);
        case 3: return moments_small<Real, 3>(tile, k, e, sums);
        case 4: return moments_small<Real, 4>(tile, k, e, sums);
        default: return moments_full(tile, k, e, sums);
    }
}

template <class Real>
bool add_sums(const Tile<Real>& tile, const Rows& rows, std::int64_t begin, const Watch& watch, Sums& sums) {
    for (int t = 0; t < tile.filled; ++t) {
        const double w = rows.weights ? rows.weights[rows.order ? rows.order[begin + t] : begin + t] : 1.0;
        sums.weight += w;
        if (w > 0) sums.log_likelihood += w * tile.log_density[t];
    }
    if (tile.c.log_noise > -std::numeric_limits<double>::infinity())
        for (int t = 0; t < tile.filled; ++t) sums.noise += double(tile.slot(tile.used)[t]) * tile.scale[t];
    for (int a = 0; a < tile.used; ++a) {
        if (!watch.go_on(watch.self)) return false;
        moments(tile, tile.active[a], tile.slot(a), sums);
    }
    return true;
}

template <class Real>
void write_outputs(const Tile<Real>& tile, std::int64_t begin, const Outputs& out) {
    const int columns = tile.K + 1;
    const bool noise = tile.c.log_noise > -std::numeric_limits<double>::infinity();
    if (out.log_density)
        for (int t = 0; t < tile.filled; ++t) out.log_density[begin + t] = tile.log_density[t];
    if (out.responsibilities)
        for (int t = 0; t < tile.filled; ++t) {
            double* row = out.responsibilities + (begin + t) * columns;
            for (int a = 0; a < tile.K; ++a) row[a] = double(tile.slot(a)[t]) * tile.scale[t];
            row[tile.K] = noise ? double(tile.slot(tile.K)[t]) * tile.scale[t] : 0.0;
        }
}

template <class Real>
std::int64_t visit(const Rows& rows, const Components& c, std::int64_t begin, std::int64_t end, void* workspace,
                   const Watch& watch, Sums* sums, const Outputs* outputs) {
    Tile<Real> tile(c, workspace);
    std::int64_t work = 0;
    for (; begin < end; begin += tile.T) {
        tile.filled = int(end - begin < tile.T ? end - begin : tile.T);
        if (rows.single) transpose<Real, float>(tile, rows, begin);
        else transpose<Real, double>(tile, rows, begin);
        work += e_step(tile, watch, outputs == nullptr, outputs && outputs->label ? outputs->label + begin : nullptr);
        if (work < 0) return work;
        if (outputs) write_outputs(tile, begin, *outputs);
        if (sums && !add_sums(tile, rows, begin, watch, *sums)) return -1;
    }
    return work;
}

}  // namespace
