// The pass over rows that leaves out components which have nothing to do with them; see neighbours.hpp for the bound.
//
//   settle   each row gets a home: a component near it, searched among those near its tile
//   (homes)  rows are grouped by home, those far from it first, which are looked at alone, then the farthest of the others
//   visit    per home: its neighbourhood; per block of its rows:
//            for each neighbour k:  a plane bounds l_k on a vector of rows; where it may matter, l_k itself
//            e_k, ln p as in bayes.hpp, of the pairs (row, k) with l_k > max l + ln(epsilon pi_k)
//            for each k left: its rows, one after the other, features in the lanes    eqs. (7), (8)
#pragma once
#include "neighbours.hpp"

namespace {

constexpr int block_rows = 64;

// A component and a vector of the block's rows.
struct Piece {
    std::int32_t component, vector;
};

// A few rows, twice: samples in the lanes, and features in the lanes (filled up with zeros).
template <class Real>
struct Block {
    static constexpr int L = lanes<Real>;
    const Components& c;
    const int D, strips;  // vectors that hold a row
    int filled = 0, vectors = 0;
    Real* x;                                        // (D, block_rows)
    float* from_home;                               // (D, block_rows) x - mu of the home
    float* most_single;                             // (block_rows) no more than `most`
    Real *row, *residual, *weighted;                // (block_rows, strips L)
    Real *weight, *most, *total, *scale, *log_density, *noise;  // (block_rows)
    Vector<Real>*r, *y;                             // (D)
    Real* l;                                        // (pieces, L): l_k, then e_k
    Piece* piece;
    int pieces = 0;

    static std::size_t bytes(const Components& c) {
        const std::int64_t padded = (c.D + L - 1) / L * L, pieces = (c.K + 1) * (block_rows / L);
        return sizeof(Real) * (block_rows * (c.D + 3 * padded + 6) + 2 * c.D * L + pieces * L) +
               sizeof(float) * block_rows * (c.D + 1) + pieces * sizeof(Piece);
    }
    Block(const Components& components, char* memory)
        : c(components), D(int(c.D)), strips((D + L - 1) / L) {
        Real* next = reinterpret_cast<Real*>(memory);
        auto take = [&](std::int64_t count) { Real* start = next; next += count; return start; };
        r = reinterpret_cast<Vector<Real>*>(take(D * L)), y = reinterpret_cast<Vector<Real>*>(take(D * L));
        x = take(D * block_rows);
        row = take(strips * L * block_rows), residual = take(strips * L * block_rows), weighted = take(strips * L * block_rows);
        weight = take(block_rows), most = take(block_rows), total = take(block_rows), scale = take(block_rows);
        log_density = take(block_rows), noise = take(block_rows);
        l = take((c.K + 1) * block_rows);
        from_home = reinterpret_cast<float*>(next), most_single = from_home + D * block_rows;
        piece = reinterpret_cast<Piece*>(most_single + block_rows);
        for (int i = 0; i < strips * L * block_rows; ++i) row[i] = 0;
        for (int i = 0; i < D * block_rows; ++i) x[i] = 0;
    }
    const Real* high(std::int64_t k) const { return static_cast<const Real*>(c.mean_high) + k * D; }
    const Real* low(std::int64_t k) const { return static_cast<const Real*>(c.mean_low) + k * D; }
    const Real* root(std::int64_t k) const {
        return static_cast<const Real*>(c.whitening) + (c.shared ? 0 : k) * (c.diagonal ? D : triangle(D));
    }
};

// Rows order[begin, end) into the block; what is left of the last vector repeats the last row with weight zero.
template <class Real, class From>
void take_rows(Block<Real>& block, const Rows& rows, std::int64_t begin, std::int64_t end) {
    constexpr int L = lanes<Real>;
    const int width = block.strips * L;
    block.filled = int(end - begin), block.vectors = (block.filled + L - 1) / L;
    for (int t = 0; t < block.vectors * L; ++t) {
        const std::int64_t source = rows.order[begin + (t < block.filled ? t : block.filled - 1)];
        const char* from = rows.data + source * rows.row_step;
        Real* row = block.row + t * width;
        int j = 0;
        for (; rows.column_step == sizeof(From) && j + L <= block.D; j += L)
            store(row + j, load_as<Real, From, L>(from + j * sizeof(From)));
        for (; j < block.D; ++j) {
            From value;
            std::memcpy(&value, from + j * rows.column_step, sizeof value);
            row[j] = Real(value);
        }
        block.weight[t] = t < block.filled ? (rows.weights ? Real(rows.weights[source]) : Real(1)) : Real(0);
        const std::int64_t later = begin + t + block_rows;  // rows come from all over the memory, and across its lines
        if (later < rows.count) {
            const char* const next = rows.data + rows.order[later] * rows.row_step;
            __builtin_prefetch(next), __builtin_prefetch(next + (block.D - 1) * rows.column_step);
        }
    }
    for (int t = 0; t < block.vectors * L; t += L)
        for (int j = 0; j < width; j += L) {
            Vector<Real> square[L];
            unrolled<L>([&](auto i) { square[i] = load(block.row + (t + i) * width + j); });
            turn<Real>(square);
            for (int i = 0; i < L && j + i < block.D; ++i) store(block.x + (j + i) * block_rows + t, square[i]);
        }
}

template <class Real>
void take_rows(Block<Real>& block, const Rows& rows, std::int64_t begin, std::int64_t end) {
    if (rows.single) take_rows<Real, float>(block, rows, begin, end);
    else take_rows<Real, double>(block, rows, begin, end);
}

// |W_k(x - mu_k)|^2 for the rows in vector v.
template <class Real, int Fixed>
inline Vector<Real> distance_squared(Block<Real>& block, std::int64_t k, int v) {
    const int D = Fixed ? Fixed : block.D;
    const Real *high = block.high(k), *low = block.low(k), *x = block.x + v * lanes<Real>;
    Vector<Real> in_registers[2][Fixed ? Fixed : 1];
    Vector<Real>*r = Fixed ? in_registers[0] : block.r, *y = Fixed ? in_registers[1] : block.y;
#pragma GCC unroll 8
    for (int j = 0; j < D; ++j) r[j] = minus(load(x + j * block_rows), high[j], low[j]);
    whiten<Real, Fixed>(block.root(k), r, y, D, block.c.diagonal);
    return norm_squared<Real, Fixed>(y, D);
}

// ---- a home for each row --------------------------------------------------------------------------------------------

// Squared distances of the block's centre from those of the cells, in units of the features' spread within components.
template <class Real>
void cells_from_centre(Block<Real>& block, const Homes& homes, float* squared) {
    constexpr int L = lanes<float>;
    float* centre = block.from_home;  // not used here otherwise
    for (int j = 0; j < block.D; ++j) {
        Vector<Real> total{};
        for (int v = 0; v < block.vectors; ++v) total += load(block.x + j * block_rows + v * lanes<Real>) - Real(homes.origin[j]);
        centre[j] = float(sum<Real>(total)) / float(block.vectors * lanes<Real>);
    }
    for (std::int64_t cell = 0; cell < homes.cells; cell += L) {
        Vector<float> total{};
        for (int j = 0; j < block.D; ++j) {
            const Vector<float> gap = load(homes.centres + j * homes.stride + cell) - centre[j];
            total += gap * gap * homes.unit[j];
        }
        store(squared + cell, total);
    }
}

// The first of the smallest of `count` numbers, which are filled up with infinities.
inline std::int64_t smallest(const float* values, std::int64_t count) {
    constexpr int L = lanes<float>;
    Vector<float> lowest = load(values);
    for (std::int64_t i = L; i < count; i += L) lowest = load(values + i) < lowest ? load(values + i) : lowest;
    const float limit = least<float>(lowest);
    std::int64_t i = 0;
    while (i + L < count && !any<float>(load(values + i) <= limit)) i += L;
    const unsigned found = lane_bits<float>(load(values + i) <= limit);
    return found ? i + __builtin_ctz(found) : i;  // none: not a number
}

// Compares the rows with the components of the nearest cells, until they lie where a component expects its rows.
template <class Real, int Fixed>
void settle_block(Block<Real>& block, const Homes& homes, float* squared, const std::int32_t* rows, Work& work) {
    constexpr int L = lanes<Real>;
    constexpr Real infinity = std::numeric_limits<Real>::infinity();
    const Real expected = Real(homes.expected) * Real(homes.expected);
    Real home[block_rows] = {}, best[block_rows], nearest[block_rows];
    for (int t = 0; t < block_rows; ++t) best[t] = -infinity, nearest[t] = infinity;
    cells_from_centre(block, homes, squared);
    bool waiting[block_rows / L];
    for (bool& each : waiting) each = true;
    for (int round = 0; round < homes.most_cells; ++round) {
        const std::int64_t cell = smallest(squared, homes.cells);
        squared[cell] = std::numeric_limits<float>::infinity();
        const std::int64_t first = cell * homes.cell, last = first + homes.cell < block.c.K ? first + homes.cell : block.c.K;
        bool any_waiting = false;
        for (int v = 0; v < block.vectors; ++v) {
            if (!waiting[v]) continue;
            Vector<Real> where = load(home + v * L), most = load(best + v * L), least = load(nearest + v * L);
            for (std::int64_t rank = first; rank < last; ++rank) {
                const std::int64_t k = homes.sequence[rank];
                const Vector<Real> distance = distance_squared<Real, Fixed>(block, k, v);
                const Vector<Real> l = Real(block.c.constant[k]) - Real(0.5) * distance;
                const auto better = l > most;
                most = better ? l : most, least = better ? distance : least;
                where = better ? splat<Real>(Real(rank)) : where;
            }
            store(home + v * L, where), store(best + v * L, most), store(nearest + v * L, least);
            waiting[v] = any<Real>(least > expected);
            any_waiting |= waiting[v];
            work.densities += last - first;
        }
        if (!any_waiting) break;
    }
    for (int t = 0; t < block.filled; ++t) {
        const float distance = float(std::sqrt(nearest[t]) * Real(1 + 1e-5));
        if (!(distance < homes.distance[rows[t]])) continue;
        homes.home[rows[t]] = std::int32_t(home[t]), homes.distance[rows[t]] = distance;
    }
}

// Homes for a few rows together, and for those that found none where they were expected once more alone.
template <class Real, int Fixed>
Work settle_rows(const Rows& rows, const Components& c, const Homes& homes, std::int64_t begin, std::int64_t end,
                 void* workspace, const Watch& watch) {
    constexpr int together = lanes<Real> > 8 ? lanes<Real> : 8;
    Block<Real> block(c, static_cast<char*>(workspace));
    float* squared = reinterpret_cast<float*>(block.l);  // not used here otherwise
    Work work{};
    for (; begin < end && watch.go_on(watch.self); begin += together) {
        const std::int64_t last = begin + together < end ? begin + together : end;
        for (std::int64_t t = begin; t < last; ++t)
            homes.home[rows.order[t]] = 0, homes.distance[rows.order[t]] = std::numeric_limits<float>::infinity();
        take_rows(block, rows, begin, last);
        settle_block<Real, Fixed>(block, homes, squared, rows.order + begin, work);
        for (std::int64_t t = begin; t < last; ++t) {
            if (homes.distance[rows.order[t]] <= homes.expected) continue;
            take_rows(block, rows, t, t + 1);
            settle_block<Real, Fixed>(block, homes, squared, rows.order + t, work);
        }
    }
    return work;
}

// ---- E-step ---------------------------------------------------------------------------------------------------------

// A float that is no more than l.
template <class Real>
inline float below(Real l) {
    const float rounded = float(l);
    return rounded - 2e-7f * (rounded < 0 ? -rounded : rounded);
}

// l_k of a piece, which becomes the next of those that are kept if it may matter to one of its rows.
template <class Real, int Fixed>
inline void evaluate(Block<Real>& block, const Homes& homes, Piece piece) {
    constexpr int L = lanes<Real>;
    const int k = piece.component, v = piece.vector;
    const Vector<Real> l = Real(block.c.constant[k]) - Real(0.5) * distance_squared<Real, Fixed>(block, k, v);
    const Vector<Real> before = load(block.most + v * L), most = l > before ? l : before;
    store(block.most + v * L, most);
    store(block.l + std::int64_t(block.pieces) * L, l);
    block.piece[block.pieces] = piece;
    block.pieces += any<Real>(l > most + Real(homes.drop[k]));
}

// Rows relative to their home's mean; zero where a row is alone.
template <class Real>
void leave_home(Block<Real>& block, std::int64_t home, bool alone, int padded) {
    const Real *high = block.high(home), *low = block.low(home);
    for (int j = 0; j < block.D; ++j) {
        const Real* x = block.x + j * block_rows;
        float* to = block.from_home + j * block_rows;
        for (int t = 0; t < padded; ++t) to[t] = alone ? 0.0f : float((x[t] - high[j]) - low[j]);
    }
}

// All l_k that may matter, and the largest for each row. Which planes a row is behind cannot be predicted: pieces are listed
// by all of them first, without a branch, then evaluated.
template <class Real, int Fixed>
void densities(Block<Real>& block, const Homes& homes, std::int64_t home, bool alone, const Neighbourhood& near, Work& work) {
    constexpr int L = lanes<float>, parts = L / lanes<Real>;
    constexpr unsigned all = (1u << L) - 1, one_part = (1u << lanes<Real>) - 1;
    const int D = Fixed ? Fixed : block.D, vectors = (block.filled + L - 1) / L;
    const unsigned all_of_last = all >> (vectors * L - block.filled);
    for (int t = 0; t < block_rows; ++t) block.most[t] = Real(block.c.log_noise);
    block.pieces = 0;
    for (int v = 0; v < block.vectors; ++v) evaluate<Real, Fixed>(block, homes, {std::int32_t(home), v});
    for (int t = 0; t < vectors * L; ++t) block.most_single[t] = below(block.most[t]);
    leave_home(block, home, alone, vectors * L);
    const int first = block.pieces;
    int last = first;
    for (int e = 0; e < near.count; ++e) {
        const std::int32_t k = near.component[e];
        if (k == home) continue;
        const float *plane = near.plane + std::int64_t(e) * (D + 3), least = plane[D], own = plane[D + 2];
        const float twice = 2 * plane[D + 1];
        for (int f = 0; f < vectors; ++f) {
            const float* r = block.from_home + f * L;
            Vector<float> ahead = load(r) * plane[0] + least;
#pragma GCC unroll 8
            for (int j = 1; j < D; ++j) ahead += load(r + j * block_rows) * plane[j];
            ahead = ahead > 0.0f ? ahead : Vector<float>{};
            const Vector<float> limit = (own - load(block.most_single + f * L)) * twice;
            const unsigned bits = lane_bits<float>(~(ahead * ahead > limit)) & (f + 1 < vectors ? all : all_of_last);
            for (int part = 0; part < parts; ++part) {
                block.piece[last] = {k, f * parts + part};
                last += (bits >> (part * lanes<Real>) & one_part) != 0;
            }
        }
    }
    for (int p = first; p < last; ++p) evaluate<Real, Fixed>(block, homes, block.piece[p]);
    work.planes += std::int64_t(vectors) * near.count, work.densities += block.vectors + last - first;
}

// Bayes' theorem for the pairs that matter: l_k -> e_k, 0 for the others; ln p and w / s per row. Eqs. (4), (5).
template <class Real>
void weigh_pieces(Block<Real>& block, const Homes& homes, Work& work) {
    constexpr int L = lanes<Real>;
    constexpr Real infinity = std::numeric_limits<Real>::infinity();
    const Real noise = Real(block.c.log_noise);
    for (int t = 0; t < block.vectors * L; t += L) {
        const Vector<Real> most = load(block.most + t), shift = most > -infinity ? most : Vector<Real>{};
        store(block.noise + t, exp_negative<Real, false>(noise - shift));
        store(block.total + t, load(block.noise + t));
    }
    int kept = 0;
    for (int p = 0; p < block.pieces; ++p) {
        const Piece piece = block.piece[p];
        const int t = piece.vector * L;
        const Vector<Real> most = load(block.most + t), l = load(block.l + std::int64_t(p) * L);
        const auto matters = l > most + Real(homes.drop[piece.component]);
        const Vector<Real> e = matters ? exp_negative<Real, false>(l - most) : Vector<Real>{};
        store(block.total + t, load(block.total + t) + e);
        store(block.l + std::int64_t(kept) * L, e);
        block.piece[kept] = piece;
        const unsigned rows = lane_bits<Real>(matters);
        kept += rows != 0, work.pairs += __builtin_popcount(rows);
    }
    block.pieces = kept;
    for (int t = 0; t < block.vectors * L; t += L) {
        const Vector<Real> most = load(block.most + t), total = load(block.total + t);
        const Vector<Real> seen = total > Real(0) ? total : splat<Real>(1);
        store(block.log_density + t, most > -infinity ? most + log_positive<Real>(seen) : splat<Real>(-infinity));
        store(block.scale + t, load(block.weight + t) / seen);
    }
}

// ---- statistics, eqs. (7), (8) ----------------------------------------------------------------------------------------

// Rows with mass in the pieces [first, last), all of component k: x - mu and g (x - mu) with features in the lanes. Returns
// how many, and adds their responsibilities g to the mass.
template <class Real>
int collect(Block<Real>& block, int first, int last, std::int64_t k, double& mass) {
    constexpr int L = lanes<Real>;
    const int width = block.strips * L;
    const Real *high = block.high(k), *low = block.low(k);
    int count = 0;
    for (int p = first; p < last; ++p) {
        const int t = block.piece[p].vector * L;
        const Vector<Real> g = load(block.l + std::int64_t(p) * L) * load(block.scale + t);
        Real gamma[L];
        store(gamma, g);
        for (unsigned rows = lane_bits<Real>(g > Real(0)); rows; rows &= rows - 1, ++count) {
            const int v = __builtin_ctz(rows);
            for (int j = 0; j < width; j += L) {
                Vector<Real> r = load(block.row + (t + v) * width + j) - load(high + j);
                if constexpr (sizeof(Real) == 4) r -= load(low + j);
                store(block.residual + count * width + j, r);
                store(block.weighted + count * width + j, r * gamma[v]);
            }
            mass += double(gamma[v]);
        }
    }
    return count;
}

// Rows i to i + Height of sum g r r^T, up to the diagonal, over `count` rows.
template <class Real, int Height>
void outer_rows(const Block<Real>& block, int count, int i, double* second) {
    constexpr int L = lanes<Real>;
    const int width = block.strips * L;
    for (int j = 0; j < i + Height && j < block.D; j += L) {
        Vector<Real> total[Height] = {};
        for (int t = 0; t < count; ++t) {
            const Vector<Real> r = load(block.residual + t * width + j);
            const Real* gr = block.weighted + t * width + i;
#pragma GCC unroll 8
            for (int h = 0; h < Height; ++h) total[h] += r * gr[h];
        }
        for (int h = 0; h < Height && i + h < block.D; ++h) {
            // Above the diagonal nothing is read.
            const int columns = j + L <= block.D ? L : i + h + 1 - j;
            add_to<Real>(second + (i + h) * block.D + j, total[h], columns);
        }
    }
}

// Adds the `count` rows in the block to the moments of component k.
template <class Real>
void add_moments(const Block<Real>& block, int count, std::int64_t k, Sums& sums) {
    constexpr int L = lanes<Real>;
    const int D = block.D, width = block.strips * L;
    double* const second = sums.second + (block.c.shared ? 0 : k) * D * (block.c.diagonal ? 1 : D);
    for (int j = 0; j < D; j += L) {
        Vector<Real> total{}, squares{};
        for (int t = 0; t < count; ++t) {
            const Vector<Real> gr = load(block.weighted + t * width + j);
            total += gr;
            if (block.c.diagonal) squares += gr * load(block.residual + t * width + j);
        }
        const int columns = D - j < L ? D - j : L;
        add_to<Real>(sums.first + k * D + j, total, columns);
        if (block.c.diagonal) add_to<Real>(second + j, squares, columns);
    }
    if (block.c.diagonal) return;
    int i = 0;
    for (; i + 4 < D; i += 8) outer_rows<Real, 8>(block, count, i, second);
    if (i < D) outer_rows<Real, 4>(block, count, i, second);
}

template <class Real>
void add_block(Block<Real>& block, const Rows& rows, std::int64_t begin, Sums& sums) {
    for (int t = 0; t < block.filled; ++t) {
        const double w = rows.weights ? rows.weights[rows.order[begin + t]] : 1.0;
        sums.weight += w;
        if (w > 0) sums.log_likelihood += w * double(block.log_density[t]);
        sums.noise += double(block.noise[t]) * double(block.scale[t]);
    }
    for (int first = 0, last = 0; first < block.pieces; first = last) {
        const std::int64_t k = block.piece[first].component;
        while (last < block.pieces && block.piece[last].component == k) ++last;
        const int count = collect(block, first, last, k, sums.mass[k]);
        if (count == 0) continue;
        if (sums.touched) sums.touched[k] = true;
        add_moments(block, count, k, sums);
    }
}

// ---- one home after the other -----------------------------------------------------------------------------------------

template <class Real, int Fixed>
Work visit_homes(const Rows& rows, const Components& c, const Homes& homes, std::int64_t begin, std::int64_t end,
                 void* workspace, const Watch& watch, Sums* sums) {
    constexpr int L = lanes<float>;
    char* memory = static_cast<char*>(workspace);
    Block<Real> block(c, memory);
    memory += (Block<Real>::bytes(c) + 63) / 64 * 64;
    HomeLanes at(c, memory);
    memory += (HomeLanes::bytes(c) + 63) / 64 * 64;
    float* alone = reinterpret_cast<float*>(memory);  // (D)
    memory += (c.D + 7) / 8 * 64;
    Neighbourhood near[L];
    for (Neighbourhood& each : near) {
        each.plane = reinterpret_cast<float*>(memory), memory += c.K * (c.D + 3) * sizeof(float);
        each.component = reinterpret_cast<std::int32_t*>(memory), memory += c.K * 4;
    }
    Work work{};
    std::int64_t home = 0;
    for (std::int64_t high = c.K; home < high;) {  // the last home that begins at or before the first row
        const std::int64_t middle = (home + high + 1) / 2;
        if (homes.begin[middle] <= begin) home = middle;
        else high = middle - 1;
    }
    while (begin < end) {
        for (at.count = 0; at.count < L && begin < end;) {
            while (homes.begin[home + 1] <= begin) ++home;
            const std::int64_t last = homes.begin[home + 1] < end ? homes.begin[home + 1] : end, j = homes.sequence[home];
            const float farthest = homes.distance[rows.order[begin]];
            if (farthest > homes.far) {
                take_rows(block, rows, begin, begin + 1);
                for (int i = 0; i < block.D; ++i) alone[i] = float(double(block.row[i]) - homes.origin[i]);
                at.add(c, homes, j, begin, begin + 1, farthest, alone), ++begin, ++work.alone;
            } else {
                at.add(c, homes, j, begin, last, farthest, nullptr), begin = last;
            }
        }
        at.fill(c, homes);
        if (!find_neighbours<Fixed>(c, homes, at, near, watch)) return work;
        for (int lane = 0; lane < at.count; ++lane)
            for (std::int64_t from = at.begin[lane]; from < at.end[lane]; from += block_rows) {
                if (!watch.go_on(watch.self)) return work;
                take_rows(block, rows, from, from + block_rows < at.end[lane] ? from + block_rows : at.end[lane]);
                densities<Real, Fixed>(block, homes, at.home[lane], at.alone[lane], near[lane], work);
                weigh_pieces(block, homes, work);
                if (sums) add_block(block, rows, from, *sums);
            }
    }
    return work;
}

template <class Real>
std::size_t pruned_bytes(const Components& c) {
    const std::size_t lists = lanes<float> * c.K * (c.D + 4) * 4;
    return Block<Real>::bytes(c) + HomeLanes::bytes(c) + (c.D + 7) / 8 * 64 + lists + 256;
}

// function(D) with a constant of few features, which the compiler then knows, or 0 for others.
template <class Function>
Work known_to_compiler(std::int64_t D, Function function) {
    switch (D) {
        case 2: return function(std::integral_constant<int, 2>{});
        case 3: return function(std::integral_constant<int, 3>{});
        case 4: return function(std::integral_constant<int, 4>{});
        case 8: return function(std::integral_constant<int, 8>{});
        default: return function(std::integral_constant<int, 0>{});
    }
}

}  // namespace
