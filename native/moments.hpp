// Statistics of a tile: mass, first and second moments of each component about its mean, eqs. (7), (8).
#pragma once
#include "tile.hpp"

namespace {

// ---- few features: samples in the lanes, all sums in registers ------------------------------------------------------

// Part of a matrix of moments: of the rows [from, to) the columns [left, right), up to the diagonal or, of a diagonal matrix,
// on it. The part that ends with the diagonal has its rows' first moments, too; the first of all, the mass.
struct Part {
    int from, to, left, right;
    bool diagonal = false;

    constexpr bool ends() const { return right == to; }
    constexpr bool has(int i, int j) const { return left <= j && j < right && (diagonal ? j == i : j <= i); }
};

// The part that follows: as many sums and operands as 32 registers hold. With 16 some wait in the nearest cache, which costs
// no more than shorter visits, and more of them. Rows go together, since one would load a feature for each of its products.
constexpr Part part_from(int from, int left, int D) {
    const int most = from == 0 ? (D == 6 || D == 7 ? 4 : 5) : from < 8 ? 3 : 4, rows = most < D - from ? most : D - from;
    const int sums_of_all = rows * (from - left) + rows * (rows + 3) / 2, right = left + 24 / rows;
    return {from, from + rows, left, sums_of_all <= 26 ? from + rows : right < from ? right : from};
}

// One part, whatever D is: it is compiled once for all triangles that have it.
template <class Real, Part part>
[[gnu::noinline]] void moments_of(const Tile<Real>& tile, int k, const Real* e, Sums& sums) {
    constexpr int L = lanes<Real>, P = panel_rows<Real>, from = part.from, rows = part.to - from;
    // Two vectors of rows at a time: a sum that waits in the cache is fetched once for both. With so many registers that none
    // does, one where two would leave them too few.
    constexpr int N = GAUSSMIX_BYTES == 64 && part.to > 4 ? 1 : 2;
    using Some = Wide<Real, N>;
    const Real *mean = tile.mean(k), *scale = tile.scale;
    Vector<Real> mass{}, first[rows] = {}, second[rows][part.to] = {};
    for (int t = 0; t < tile.T; t += N * L) {
        reread(mean);
        const Real* x = tile.feature(0, t);
        Some gr[rows], g = Some::load(e + t) * Some::load(scale + t);
        if constexpr (from == 0) unrolled<N>([&](auto u) { mass += g.v[u]; });
        unrolled<part.to>([&](auto step) {
            constexpr int j = part.to - 1 - step;  // the last first: what it and its like are multiplied with
            if constexpr (j < from && !part.has(from, j)) return;
            const Some r = Some::load(x + j * P) - mean[j];
            if constexpr (j >= from) gr[j - from] = g * r;
            unrolled<N>([&](auto u) {
                if constexpr (part.ends() && j >= from) first[j - from] += gr[j - from].v[u];
                unrolled<rows>([&](auto i) {
                    if constexpr (part.has(from + i, j)) second[i][j] += gr[i].v[u] * r.v[u];
                });
            });
        });
    }
    if constexpr (from == 0) sums.mass[k] += sum<Real>(mass);
    const std::int64_t D = tile.D, step = part.diagonal ? 0 : D;
    double *to_first = sums.first + k * D, *to = sums.second + (tile.c.shared ? 0 : k) * D * (part.diagonal ? 1 : D);
    unrolled<rows>([&](auto i) {
        if constexpr (part.ends()) to_first[from + i] += sum<Real>(first[i]);
        unrolled<part.to>([&](auto j) {
            if constexpr (part.has(from + i, j)) to[(from + i) * step + j] += sum<Real>(second[i][j]);
        });
    });
}

template <class Real, int D, int From = 0, int Left = 0>
void moments_in_registers(const Tile<Real>& tile, int k, const Real* e, Sums& sums) {
    constexpr Part part = part_from(From, Left, D);
    moments_of<Real, part>(tile, k, e, sums);
    if constexpr (!part.ends()) moments_in_registers<Real, D, From, part.right>(tile, k, e, sums);
    else if constexpr (part.to < D) moments_in_registers<Real, D, part.to>(tile, k, e, sums);
}

// ---- more features: strips ------------------------------------------------------------------------------------------

// e_k -> g, or its square root; the sum of g is the mass.
template <class Real, bool Root>
void weigh(const Tile<Real>& tile, int k, Real* e, Sums& sums) {
    Panel<Real> mass{};
    for (int t = 0; t < tile.T; t += panel_rows<Real>) {
        const Panel<Real> g = Panel<Real>::load(e + t) * Panel<Real>::load(tile.scale + t);
        mass += g;
        (Root ? g.root() : g).store(e + t);
    }
    sums.mass[k] += sum<Real>(mass.total());
}

// First and second moments of each feature.
template <class Real>
void squares(const Tile<Real>& tile, const Real* means, const Real* g, double* first, double* second) {
    constexpr int L = lanes<Real>;
    const Real* x = tile.x_strips;
    for (int j = 0; j < tile.D; j += L, x += std::int64_t(tile.capacity) * L) {
        const Vector<Real> mean = load(means + j);
        Wide<Real, 4> one{}, two{};
        for (int t = 0; t < tile.T; t += 4)
            unrolled<4>([&](auto u) {
                const Vector<Real> r = load(x + (t + u) * L) - mean, gr = r * g[t + u];
                one.v[u] += gr, two.v[u] += gr * r;
            });
        add_to<Real>(first + j, one.total(), tile.D - j), add_to<Real>(second + j, two.total(), tile.D - j);
    }
}

// sum q q^T over the tile's rows, the lower triangle. With `Make` q = sqrt(g) (x - mean) is made on the way, and with it the
// first moment, the sum of sqrt(g) q.
template <class Real>
struct Outer {
    const Tile<Real>& tile;  // q and, to make it, x_strips
    const int n;             // numbers in q
    double* const second;    // (n, n)
    const Real* const mean = nullptr;  // (n), and readable up to a whole strip
    const Real* const root = nullptr;  // (T) sqrt(g)
    double* const first = nullptr;     // (n)
};

// With three strips as many accumulators stay in registers.
constexpr int rows_of_block = GAUSSMIX_BYTES == 64 ? 8 : 4;

// Height rows from i on, `Strips` strips of columns from `column` on, over the whole tile: for each t, Height
// broadcasts against Strips vectors,
//
//     q_i      x   q_column ...   q_column+L ...   q_column+2L ...
//     q_i+1    x
//
// The first block of a strip of rows makes their q (`Make`), a panel ahead of the products so that they find it in the
// nearest cache.
template <class Real, int Height, int Strips, bool Make>
[[gnu::noinline]] void outer_block(const Outer<Real>& outer, int i, int column) {
    constexpr int L = lanes<Real>, P = panel_rows<Real>, made = Height > L ? Height / L : 1;
    const Tile<Real>& tile = outer.tile;
    const std::int64_t strip = std::int64_t(tile.capacity) * L;
    Real* left = tile.q + i / L * strip + i % L;  // the block's rows lie in one strip, or are all of some
    const Real *right = tile.q + column / L * strip, *x = tile.x_strips + i / L * strip, *root = outer.root;
    Vector<Real> mean[made], sum_q[made] = {}, total[Height][Strips] = {};
    unrolled<Make ? made : 0>([&](auto m) { mean[m] = load(outer.mean + i + m * L); });
    // The sums are asked for now: those of all components may fill the nearer caches, and at the end nothing hides the wait.
    for (int h = 0; h < Height; ++h) ask_for(outer.second + std::int64_t(i + h) * outer.n + column, Strips * L);
    for (std::int64_t begin = 0; begin < tile.T; begin += P) {
        if constexpr (Make)
            unrolled<made>([&](auto m) {
                Wide<Real, 4> part{};
                for (std::int64_t t = begin; t < begin + P; t += 4)
                    unrolled<4>([&](auto u) {
                        const Vector<Real> q = (load(x + m * strip + (t + u) * L) - mean[m]) * root[t + u];
                        store(left + m * strip + (t + u) * L, q);
                        part.v[u] += q * root[t + u];
                    });
                sum_q[m] += part.total();
            });
        for (std::int64_t four = begin; four < begin + P; four += 4)
            unrolled<4>([&](auto u) {
                const std::int64_t t = four + u;
                Vector<Real> q[Strips];
                unrolled<Strips>([&](auto s) { q[s] = load(right + s * strip + t * L); });
                unrolled<Height>([&](auto h) {
                    const Real each = left[h / L * strip + h % L + t * L];
                    unrolled<Strips>([&](auto s) { total[h][s] += splat<Real>(each) * q[s]; });
                });
            });
    }
    const int n = outer.n;
    unrolled<Make ? made : 0>([&](auto m) { add_to<Real>(outer.first + i + m * L, sum_q[m], n - i - m * L); });
    unrolled<Height>([&](auto h) {
        if (i + h >= n) return;
        double* row = outer.second + std::int64_t(i + h) * n + column;
        unrolled<Strips>([&](auto s) { add_to<Real>(row + s * L, total[h][s], n - column - s * L); });
    });
}

// Rows from i on, up to the strip of the last row; what lies above the diagonal is not read. Blocks have three strips, some
// before them two: of one alone there would be too few sums to hide how long each addition takes.
template <class Real, int Height, bool Make>
inline void outer_rows(const Outer<Real>& outer, int i) {
    constexpr int L = lanes<Real>;
    const int last = (i + Height - 1) / L + 1, strips = last < outer.tile.strips ? last : outer.tile.strips;
    for (int s = 0, left = strips; left > 0; left = strips - s)
        as_constant<1, 3>(left % 3 == 0 ? 3 : left == 1 ? 1 : 2, [&](auto count) {
            as_constant<0, 1>(s == 0, [&](auto first) { outer_block<Real, Height, count, Make && first>(outer, i, s * L); });
            s += count;
        });
}

template <class Real, bool Make>
void outer_triangle(const Outer<Real>& outer) {
    constexpr int L = lanes<Real>, H = rows_of_block;
    for (int i = 0; i < outer.n; i += H) {
        as_constant<0, 3>(2 * (i % L == 0) + (outer.n - i <= H / 2), [&](auto kind) {  // begins a strip; few rows are left
            outer_rows<Real, kind & 1 ? H / 2 : H, Make && kind / 2>(outer, i);
        });
    }
}

template <class Real>
void moments(const Tile<Real>& tile, int k, Real* e, Sums& sums) {
    const std::int64_t D = tile.D;
    double *first = sums.first + k * D, *second = sums.second + (tile.c.shared ? 0 : k) * D * (tile.c.diagonal ? 1 : D);
    if (tile.c.diagonal) {
        if (as_constant<1, small>(tile.D, [&](auto D) { moments_of<Real, Part{0, D, 0, D, true}>(tile, k, e, sums); })) return;
        weigh<Real, false>(tile, k, e, sums);
        squares(tile, tile.mean(k), e, first, second);
    } else {
        if (as_constant<1, small_triangle>(tile.D, [&](auto D) { moments_in_registers<Real, D>(tile, k, e, sums); })) return;
        weigh<Real, true>(tile, k, e, sums);
        outer_triangle<Real, true>({tile, tile.D, second, tile.mean(k), e, first});
    }
}

}  // namespace
