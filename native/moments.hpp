// Statistics of a tile: mass, first and second moments of each component about its mean, eqs. (7), (8).
#pragma once
#include "tile.hpp"

namespace {

// to[0..count) += v, in double.
template <class Real>
inline void add_to(double* to, Vector<Real> v, int count = lanes<Real>) {
    for (int i = 0; i < lanes<Real> && i < count; ++i) to[i] += v[i];
}

// ---- few features: samples in the lanes, all sums in registers ------------------------------------------------------

// Rows [From, To) of the second moment, with their first moments; the mass if From is 0.
template <class Real, int D, bool Diagonal, int From, int To>
inline void moments_rows(const Tile<Real>& tile, int k, const Real* e, Sums& sums) {
    constexpr int L = lanes<Real>, P = panel_rows<Real>, rows = To - From, begin = Diagonal ? From : 0;
    const Real *mean = tile.mean(k), *scale = tile.scale;
    Vector<Real> mass{}, first[rows] = {}, second[rows][To] = {};
    for (int t = 0; t < tile.T; t += L) {
        reread(mean);
        const Real* x = tile.feature(0, t);
        const Vector<Real> g = load(e + t) * load(scale + t);
        if constexpr (From == 0) mass += g;
        Vector<Real> gr[rows];
        unrolled<To - begin>([&](auto step) {
            constexpr int j = To - 1 - step;  // the last first: what it and its like are multiplied with
            const Vector<Real> r = load(x + j * P) - mean[j];
            if constexpr (j >= From) {
                gr[j - From] = g * r;
                first[j - From] += gr[j - From];
            }
            unrolled<rows>([&](auto i) {
                if constexpr (Diagonal ? j == From + i : j <= From + i) second[i][j] += gr[i] * r;
            });
        });
    }
    if constexpr (From == 0) sums.mass[k] += sum<Real>(mass);
    double* to = sums.second + (tile.c.shared ? 0 : k) * D * (Diagonal ? 1 : D);
    unrolled<rows>([&](auto i) {
        sums.first[k * D + From + i] += sum<Real>(first[i]);
        unrolled<To - begin>([&](auto step) {
            constexpr int j = begin + step;
            if constexpr (Diagonal) {
                if (j == From + i) to[j] += sum<Real>(second[i][j]);
            } else if (j <= From + i) {
                to[(From + i) * D + j] += sum<Real>(second[i][j]);
            }
        });
    });
}

// Where a visit that begins with row `from` of a triangle ends: sums and operands of more rows leave 32 registers. With 16
// some wait in the nearest cache, which costs no more than shorter visits, and more of them.
constexpr int end_of_visit(int from, int D) {
    if (from == 0 && (D == 6 || D == 7)) return 4;  // the rest is a visit, too, and not a short one
    int to = from, sums = 0;
    while (to < D && (to == from || sums + to + 2 <= 26)) sums += ++to + 1;
    return to;
}

template <class Real, int D, bool Diagonal, int From = 0>
void moments_small(const Tile<Real>& tile, int k, const Real* e, Sums& sums) {
    constexpr int to = Diagonal ? D : end_of_visit(From, D);
    moments_rows<Real, D, Diagonal, From, to>(tile, k, e, sums);
    if constexpr (to < D) moments_small<Real, D, Diagonal, to>(tile, k, e, sums);
}

// ---- more features: strips ------------------------------------------------------------------------------------------

// e_k -> g, or its square root; the sum of g is the mass.
template <class Real, bool Root>
void weigh(const Tile<Real>& tile, int k, Real* e, Sums& sums) {
    constexpr int L = lanes<Real>;
    const Real* scale = tile.scale;
    Vector<Real> mass[width] = {};
    for (int t = 0; t < tile.T; t += panel_rows<Real>)
#pragma GCC unroll 4
        for (int v = 0; v < width; ++v) {
            const Vector<Real> g = load(e + t + v * L) * load(scale + t + v * L);
            store(e + t + v * L, Root ? square_root<Real>(g) : g);
            mass[v] += g;
        }
    sums.mass[k] += sum<Real>((mass[0] + mass[1]) + (mass[2] + mass[3]));
}

// mu_k, filled up with zeros to whole strips.
template <class Real>
void fill_mean(const Tile<Real>& tile, int k) {
    for (int j = 0; j < tile.D; ++j) tile.padded_mean[j] = tile.mean(k)[j];
}

// Rows of a block of sum q q^T, q = sqrt(g) (x - mu): with three strips as many accumulators stay in registers.
constexpr int rows_of_block = GAUSSMIX_BYTES == 64 ? 8 : 4;

// Height rows from i on, `Strips` strips of columns from `column` on, over the whole tile: for each t, Height
// broadcasts against Strips vectors,
//
//     q_i      x   q_column ...   q_column+L ...   q_column+2L ...
//     q_i+1    x
//
// Where the last strip lies on the diagonal (`Corner`), the first rows need no more than its first half. The first block
// of a strip of rows makes their q on its way (`Make`), a panel ahead of the products so that they find it in the
// nearest cache, and their first moment, the sum of sqrt(g) q.
template <class Real, int Height, int Strips, bool Make, bool Corner>
inline void outer_block(const Tile<Real>& tile, const Real* root, int i, int column, double* first, double* second) {
    constexpr int L = lanes<Real>, P = panel_rows<Real>, made = Height > L ? Height / L : 1;
    constexpr int halves = !Corner ? 0 : Height < L / 2 ? Height : L / 2;
    const std::int64_t strip = std::int64_t(tile.capacity) * L;
    Real* left = tile.weighted + i / L * strip;
    const Real *right = tile.weighted + column / L * strip, *x = tile.x_strips + i / L * strip;
    Vector<Real> mean[made], sum_q[made] = {}, total[Height][Strips] = {};
    HalfVector<Real> half_total[halves + 1] = {};
    for (int m = 0; m < made; ++m) mean[m] = load(tile.padded_mean + i + m * L);
    for (std::int64_t begin = 0; begin < tile.T; begin += P) {
        if constexpr (Make)
            for (int m = 0; m < made; ++m) {
                Vector<Real> part[4] = {};
                for (std::int64_t t = begin; t < begin + P; t += 4)
#pragma GCC unroll 4
                    for (int u = 0; u < 4; ++u) {
                        const Vector<Real> q = (load(x + m * strip + (t + u) * L) - mean[m]) * root[t + u];
                        store(left + m * strip + (t + u) * L, q);
                        part[u] += q * root[t + u];
                    }
                sum_q[m] += (part[0] + part[1]) + (part[2] + part[3]);
            }
        for (std::int64_t t = begin; t < begin + P; ++t) {
            Vector<Real> q[Strips];
            unrolled<Strips>([&](auto s) { q[s] = load(right + s * strip + t * L); });
            const HalfVector<Real> half = load_half(right + (Strips - 1) * strip + t * L);
            unrolled<Height>([&](auto h) {
                const Real each = left[h / L * strip + (i + h) % L + t * L];
                unrolled<Strips - (h < halves)>([&](auto s) { total[h][s] += splat<Real>(each) * q[s]; });
                if constexpr (h < halves) half_total[h] += each * half;
            });
        }
    }
    const int D = tile.D;
    if constexpr (Make)
        for (int m = 0; m < made; ++m) add_to<Real>(first + i + m * L, sum_q[m], D - i - m * L);
    unrolled<Height>([&](auto h) {
        if (i + h >= D) return;
        double* row = second + std::int64_t(i + h) * D + column;
        unrolled<Strips - (h < halves)>([&](auto s) { add_to<Real>(row + s * L, total[h][s], D - column - s * L); });
        if constexpr (h < halves)
            for (int v = 0; v <= h; ++v) row[(Strips - 1) * L + v] += half_total[h][v];
    });
}

// Rows of the lower triangle from i on, in blocks of three strips of columns, up to the strip of the last row; what lies
// above the diagonal is not read.
template <class Real, int Height, bool Make, bool Corner>
inline void outer_rows(const Tile<Real>& tile, const Real* root, int i, double* first, double* second) {
    constexpr int L = lanes<Real>;
    const int strips = (i + Height - 1) / L + 1 < tile.strips ? (i + Height - 1) / L + 1 : tile.strips;
    int s = 0;
    auto block = [&](auto count, auto make) {
        if (s + count == strips) outer_block<Real, Height, count, make, Corner>(tile, root, i, s * L, first, second);
        else outer_block<Real, Height, count, make, false>(tile, root, i, s * L, first, second);
        s += count;
    };
    constexpr std::bool_constant<Make> make;
    switch (strips % 3) {
        case 0: block(std::integral_constant<int, 3>{}, make); break;
        case 1: block(std::integral_constant<int, 1>{}, make); break;
        case 2: block(std::integral_constant<int, 2>{}, make); break;
    }
    while (s < strips) block(std::integral_constant<int, 3>{}, std::false_type{});
}

// All rows of the triangle; with `Make` those that begin a strip make its q.
template <class Real, bool Make>
void outer_triangle(const Tile<Real>& tile, const Real* root, double* first, double* second) {
    constexpr int L = lanes<Real>, H = rows_of_block;
    // Half a vector costs half an instruction only where whole ones are split in two.
    constexpr bool corner = GAUSSMIX_BYTES == 64 && H <= L;
    for (int i = 0; i < tile.D; i += H)
        if (i % L) {
            if (tile.D - i <= H / 2) outer_rows<Real, H / 2, false, false>(tile, root, i, first, second);
            else outer_rows<Real, H, false, false>(tile, root, i, first, second);
        } else {
            if (tile.D - i <= H / 2) outer_rows<Real, H / 2, Make, corner>(tile, root, i, first, second);
            else outer_rows<Real, H, Make, corner>(tile, root, i, first, second);
        }
}

template <class Real>
void moments_full(const Tile<Real>& tile, int k, Real* e, Sums& sums) {
    const std::int64_t D = tile.D;
    weigh<Real, true>(tile, k, e, sums);
    fill_mean(tile, k);
    outer_triangle<Real, true>(tile, e, sums.first + k * D, sums.second + (tile.c.shared ? 0 : k) * D * D);
}

// First and second moment of `Strips` strips from s on.
template <class Real, int Strips>
inline void square_strips(const Tile<Real>& tile, int k, const Real* g, int s, Sums& sums) {
    constexpr int L = lanes<Real>, unroll = 4 / Strips;
    const std::int64_t strip = std::int64_t(tile.capacity) * L, D = tile.D;
    const Real* x = tile.x_strips + s * strip;
    Vector<Real> mean[Strips], first[Strips][unroll] = {}, second[Strips][unroll] = {};
    for (int i = 0; i < Strips; ++i) mean[i] = load(tile.padded_mean + (s + i) * L);
    for (int t = 0; t < tile.T; t += unroll)
#pragma GCC unroll 4
        for (int u = 0; u < unroll; ++u)
#pragma GCC unroll 4
            for (int i = 0; i < Strips; ++i) {
                const Vector<Real> r = load(x + i * strip + (t + u) * L) - mean[i];
                const Vector<Real> gr = r * g[t + u];
                first[i][u] += gr;
                second[i][u] += gr * r;
            }
    for (int i = 0; i < Strips; ++i) {
        for (int u = 1; u < unroll; ++u) first[i][0] += first[i][u], second[i][0] += second[i][u];
        const std::int64_t at = (s + i) * L;
        add_to<Real>(sums.first + k * D + at, first[i][0], int(D - at));
        add_to<Real>(sums.second + k * D + at, second[i][0], int(D - at));
    }
}

template <class Real>
void moments_diagonal(const Tile<Real>& tile, int k, Real* e, Sums& sums) {
    weigh<Real, false>(tile, k, e, sums);
    fill_mean(tile, k);
    int s = 0;
    for (; s + 4 <= tile.strips; s += 4) square_strips<Real, 4>(tile, k, e, s, sums);
    for (; s + 2 <= tile.strips; s += 2) square_strips<Real, 2>(tile, k, e, s, sums);
    if (s < tile.strips) square_strips<Real, 1>(tile, k, e, s, sums);
}

template <class Real, int D = 1>
[[gnu::always_inline]] inline void moments_in_registers(const Tile<Real>& tile, int k, const Real* e, Sums& sums) {
    if (tile.D == D) {
        if constexpr (D <= small)
            if (tile.c.diagonal) return moments_small<Real, D, true>(tile, k, e, sums);
        moments_small<Real, D, false>(tile, k, e, sums);
    } else if constexpr (D < small_triangle) {
        moments_in_registers<Real, D + 1>(tile, k, e, sums);
    }
}

template <class Real>
void moments(const Tile<Real>& tile, int k, Real* e, Sums& sums) {
    if (tile.strips == 0) moments_in_registers(tile, k, e, sums);
    else if (tile.c.diagonal) moments_diagonal(tile, k, e, sums);
    else moments_full(tile, k, e, sums);
}

}  // namespace
