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
    bool diagonal;          // whitening (K, D); otherwise packed triangles, see pack() in driver.hpp
    bool shared;            // one whitening and one second moment for all components (tied)
    double log_noise;       // ln pi_0 - ln V, or -inf
    const double* constant; // (K) ln pi_k - D/2 ln 2pi + ln|W_k|
    const void* mean_high;  // (K, D) Real: the mean, rounded
    const void* mean_low;   // (K, D) Real: what the rounding left (zero for double)
    const void* whitening;  // (K or 1, D) or (K or 1, D(D+1)/2) Real, rows of the lower triangle
    // Pruning: a component is left out of a tile where its log density is below the best one's by `reach` everywhere.
    double reach;           // infinity: nothing is left out
    const double* norm;     // (K) an upper bound on the spectral norm of W_k
    const bool* always;     // (K) components so light that leaving them out could matter
    // Means and whitening again, in groups of one vector of components: (K / L, D, L), (K / L, D(D+1)/2 or D, L).
    const double *turned_means, *turned_roots;
};

// Sums over rows, float64: eqs. (7), (8) before division. The second moment is a lower triangle, or a diagonal.
struct Sums {
    double* mass;    // (K)
    double* first;   // (K, D)
    double* second;  // (K or 1, D, D), lower triangle filled; or (K, D)
    double noise, weight, log_likelihood;
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

// One instruction set's kernel: everything in it is called through these pointers.
struct Level {
    const char* name;
    int lanes;  // doubles in a vector
    std::int64_t (*tile_rows)(const Components&, bool single);
    std::size_t (*workspace_bytes)(const Components&, bool single);
    // Rows [begin, end): adds to `sums` if not null, fills `outputs` if not null. Returns the work, in
    // thirds of what a component costs a tile when nothing is left out.
    std::int64_t (*visit)(const Rows&, const Components&, bool single, std::int64_t begin, std::int64_t end,
                          void* workspace, const Watch&, Sums* sums, const Outputs* outputs);
    // The whitening (D, D) of a covariance (D, D), with (D, D) more to work in; false if it has none.
    bool (*whiten)(const double* covariance, std::int64_t D, double* inverse, double* upper);
};

}  // namespace gaussmix
