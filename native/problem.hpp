// What a visit to some rows needs to know, and what it leaves behind. Plain data only: this header is shared by
// translation units compiled for different instruction sets, so it must hold no function (an inline one compiled
// for AVX2 could be the copy that the linker keeps for the baseline).
#pragma once
#include <cstddef>
#include <cstdint>

namespace gaussmix {

struct Rows {
    const char* data;       // (N, D) float32 or float64, any strides
    std::int64_t count;     // N
    std::int64_t row_step;  // bytes from row to row
    std::int64_t column_step;
    bool single;            // float32
    const double* weights;  // (N) or null
    const std::int32_t* order;  // (N) or null: visit row order[i] as the i-th, so that tiles are compact in space
};

// Parameters of the mixture, eq. (1), prepared for the pass. `Real` arrays are float or double.
struct Components {
    std::int64_t K, D;
    bool diagonal;          // whitening (K, D); otherwise packed triangles, see prepared.hpp
    bool shared;            // one whitening and one second moment for all components (tied)
    double log_noise;       // ln pi_0 - ln V, or -inf
    const double* constant; // (K) ln pi_k - D/2 ln 2pi + ln|W_k|
    // Tiles form residuals about the rounded means; whitening adds what the rounding left, and sums are moved to the
    // means at the end, in double.
    const void* mean_high;  // (K, D) Real: the mean, rounded; readable for 64 bytes behind them
    const void* mean_low;   // (K, D) Real: what the rounding left (zero for double); likewise readable
    const void* rest;       // (K, D) Real: -W_k mean_low
    const void* centre;     // (D) Real, tied: rows are whitened once, about it; null where that would lose digits
    const void* centred;    // (K, D) Real: W (mu_k - centre)
    const void* offset;     // (K, D) Real: mu_k - centre, where tied statistics come from pairs of means, see tied.hpp; or null
    const void* offset_low; // (K, D) Real: what the rounding left
    const void* whitening;  // (K or 1, D) or (K or 1, D(D+1)/2) Real, rows of the lower triangle
};

// What a pruned pass knows besides; see neighbours.hpp and homes.hpp. A home is a place in the sequence.
struct Homes {
    const std::int32_t* sequence;  // (K) the components, neighbours in space beside each other
    const double* origin;          // (D) median of the means
    const float* means;            // (K, D) from the origin
    const float* roots;            // W_k, as Components::whitening
    const float* factors;          // their inverses L_k, likewise
    const float* factor_norm;      // (K) |L_k|_F
    const float* size;             // (K) |mu_k| from the origin
    const float* rounding;         // (K) 20 (D + 2) u |W_k|_F
    const float* stretch;          // (K) 1 + (D + 2) u |W_k|_F |L_k|_F
    const double* drop;            // (K) ln(epsilon pi_k); -inf: kept everywhere; inf: nowhere
    const float* own;              // (K) o_k = c_k - drop_k, rounded up
    std::int64_t cell, cells;      // components in a cell of the sequence, how many cells
    std::int64_t most_cells;       // how many a row looks into for its home
    const float* centres;          // (D, stride) of the cells, from the origin; behind them infinity
    std::int64_t stride;           // a multiple of any vector's lanes
    const float* unit;             // (D) 1 / variance within components, typically
    std::int32_t* home;            // (N) of each row
    float* distance;               // (N) of each row from its home, rho, rounded up
    float expected, far;           // from home few rows lie farther than this; and those that are looked at alone
    const std::int64_t* begin;     // (K + 1) rows order[begin[h], begin[h + 1]) are at home h
};

// Sums over rows, float64: eqs. (7), (8) before division. The second moment is a lower triangle, or a diagonal.
struct alignas(64) Sums {  // threads write to theirs
    double* mass;    // (K)
    double* first;   // (K, D)
    double* second;  // (K or 1, D, D), lower triangle filled; or (K, D)
    double noise, weight, log_likelihood;
    bool* touched;   // (K) or null: components that got anything
    double* joint;   // (D + K, D + K) lower triangle, see tied.hpp; or null
};

// What a pruned pass has computed.
struct Work {
    std::int64_t densities;  // vectors of rows, each with a component
    std::int64_t planes;     // vectors of rows in float32, likewise
    std::int64_t pairs;      // of a row and a component that it matters to
    std::int64_t alone;      // rows that were looked at alone
};

// What evaluation writes for each row of the whole; null where it is not wanted.
struct Outputs {
    double* log_density;       // (N)
    std::int64_t* label;       // (N), K for noise; float32: -1 where every density is zero
    double* responsibilities;  // (N, columns)
    std::int64_t columns;      // K, or K + 1 with noise
};

// Asked between components: false ends the visit at once, its results are then not used.
struct Watch {
    bool (*go_on)(void* self);
    void* self;
};

// Features up to which the compiler knows a component's whole triangle, so that most of it stays in registers.
constexpr int small = 8;

// One instruction set's kernel: everything in it is called through these pointers.
struct Level {
    const char* name;
    int lanes;  // doubles in a vector
    std::int64_t (*tile_rows)(const Components&, bool single);
    std::size_t (*workspace_bytes)(const Components&, bool single);
    // Rows [begin, end): adds to `sums` if not null, fills `outputs` if not null.
    void (*visit)(const Rows&, const Components&, bool single, std::int64_t begin, std::int64_t end, void* workspace,
                  const Watch&, Sums* sums, const Outputs* outputs);
    // The whitening (D, D) of a covariance (D, D), with (D, D) more to work in; false if it has none.
    bool (*whiten)(const double* covariance, std::int64_t D, double* inverse, double* upper);
    // Turns each pair of columns (count, D) until they are orthogonal, once around; whether any was turned. Fills their
    // squares (count,).
    bool (*orthogonalise)(double* columns, double* squares, std::int64_t count, std::int64_t D);
    // Fills out (n) with squared distances of points (D, n) from one of them, at most the limit (n); returns their sum
    // times the weights (n).
    double (*squared_distances)(const double* points, const double* weights, std::int64_t n, std::int64_t D, std::int64_t from,
                                const double* limit, double* out);
    // A pruned pass over rows order[begin, end): finds their homes; and, once they are ordered by home, adds to `sums`
    // if not null.
    std::size_t (*pruned_bytes)(const Components&, bool single);
    Work (*settle)(const Rows&, const Components&, const Homes&, bool single, std::int64_t begin, std::int64_t end,
                   void* workspace, const Watch&);
    Work (*visit_homes)(const Rows&, const Components&, const Homes&, bool single, std::int64_t begin, std::int64_t end,
                        void* workspace, const Watch&, Sums* sums);
};

}  // namespace gaussmix
