// Which components may have anything to do with a row, without looking at the row: its neighbourhood.
//
// Every row x has a home j, a component near it, and its distance from home rho = |W_j(x - mu_j)|. So x = mu_j + L_j z
// with L_j = W_j^-1, |z| = rho. For any other component k let a = W_k(mu_j - mu_k), d = |a|, v = W_k^T a. Then
//
//     d |W_k(x - mu_k)| >= a^T W_k(x - mu_k) = d^2 + v^T(x - mu_j) >= d^2 - |L_j^T v| rho,
//
// a plane between the two ellipsoids (Cauchy & Schwarz, twice). Component k is left out of x where
// l_k <= max l + ln(epsilon pi_k), and max l >= c_j - rho^2 / 2; so it cannot matter to any row of j within rho where
//
//     (d^2 - |L_j^T v| rho)_+^2 > d^2 q,    q = 2 (o_k - c_j) + rho^2,    o_k = c_k - ln(epsilon pi_k).
//
// What passes is kept with its plane, d^2 and v: for a row at hand the first inequality says more.
//
// All this is computed in float32, with homes in the lanes. With u = 2^-24 the rounding of a, of v, of the means (taken
// from their median) and of rows about their home takes at most d m from d^2 + v^T(x - mu_j),
//     m = 20 (D + 2) u |W_k|_F (|mu_j| + |mu_k| + |L_j| rho),
// and |L_k^T v| may be d (1 + (D + 2) u |W_k|_F |L_k|_F) instead of d. Both are allowed for: d m <= (t d^2 + m^2 / t) / 2.
#pragma once
#include "small.hpp"

namespace {

using gaussmix::Homes;
using gaussmix::Work;

constexpr float tolerated = 1e-3f;  // t

// Components that may matter, each with its plane: v (D), d^2 less what rounding may take, d^2 with what it may add, o_k.
struct Neighbourhood {
    int count;
    std::int32_t* component;  // (K)
    float* plane;             // (K, D + 3)
};

// One home in each lane, with its parameters turned so that the lanes hold them.
struct HomeLanes {
    static constexpr int L = lanes<float>, together = 8;
    const int D;
    int count = 0;
    std::int64_t home[L], begin[L], end[L];  // the component, and its rows
    bool alone[L];                           // one row, in the place of its home's mean
    float *mean, *factor;                    // (D, L), (D(D+1)/2 or D, L) L_j
    Vector<float>*r, *a, *plane;             // (D), (D), (together, D + 2)
    float radius[L], needed[L], size[L];     // rho, rho^2 - 2 c_j, |mu_j| + |L_j| rho

    static std::size_t bytes(const Components& c) {
        return (3 * c.D + together * (c.D + 2) + (c.diagonal ? c.D : triangle(int(c.D)))) * sizeof(Vector<float>);
    }
    HomeLanes(const Components& c, char* memory) : D(int(c.D)) {
        r = reinterpret_cast<Vector<float>*>(memory), a = r + D, plane = a + D;
        mean = reinterpret_cast<float*>(plane + together * (D + 2)), factor = mean + D * L;
    }

    // Rows [first, last) of home j, none farther from it than rho. With `centre` they lie there, all of them.
    void add(const Components& c, const Homes& homes, std::int64_t j, std::int64_t first, std::int64_t last, float rho,
             const float* centre) {
        const std::int64_t entries = c.diagonal ? D : triangle(D);
        home[count] = j, begin[count] = first, end[count] = last, alone[count] = centre != nullptr;
        rho *= homes.stretch[j];
        needed[count] = rho * rho - 2 * float(c.constant[j]);
        radius[count] = centre ? 0 : rho;
        if (!centre) centre = homes.means + j * D;
        float squared = 0;
        for (int i = 0; i < D; ++i) mean[i * L + count] = centre[i], squared += centre[i] * centre[i];
        size[count] = std::sqrt(squared) + homes.factor_norm[j] * radius[count];
        const float* from = homes.factors + (c.shared ? 0 : j) * entries;
        for (int i = 0; i < entries; ++i) factor[i * L + count] = from[i];
        ++count;
    }
    // Lanes without a home repeat the first.
    void fill(const Components& c, const Homes& homes) {
        const int in_use = count;
        while (count < L) add(c, homes, home[0], 0, 0, 0, nullptr);
        count = in_use;
    }
};

// The homes that component k may matter to, a bit for each; and, to `plane` (D + 2), what their planes hold in common.
template <int Fixed>
inline unsigned near_homes(const Components& c, const Homes& homes, const HomeLanes& at, std::int64_t k, Vector<float>* plane) {
    constexpr int L = lanes<float>;
    const int D = Fixed ? Fixed : at.D, entries = c.diagonal ? D : triangle(D);
    Vector<float> in_registers[3][Fixed ? Fixed : 1];
    Vector<float>*r = Fixed ? in_registers[0] : at.r, *a = Fixed ? in_registers[1] : at.a, *v = Fixed ? in_registers[2] : plane;
    const float* mean = homes.means + k * D;
    const float* root = homes.roots + (c.shared ? 0 : k) * entries;
#pragma GCC unroll 8
    for (int i = 0; i < D; ++i) r[i] = load(at.mean + i * L) - mean[i];
    whiten<float, Fixed>(root, r, a, D, c.diagonal);
    unwhiten<float, Fixed>(root, a, v, D, c.diagonal);
    const Vector<float> squared = norm_squared<float, Fixed>(a, D);
    const Vector<float> lost = (load(at.size) + homes.size[k]) * homes.rounding[k];  // m
    const Vector<float> least = squared * (1 - tolerated / 2) - lost * lost * (0.5f / tolerated);
    // d sqrt(q) <= (d^2 / b + b q) / 2 for any b.
    constexpr float balance = 1.6f;
    const Vector<float> q = 2 * homes.own[k] + load(at.needed), radius = load(at.radius);
    const Vector<float> ahead = least - (squared * (0.5f / balance) + q * (0.5f * balance)) * homes.stretch[k];
    const Vector<float> room = ahead > 0.0f ? ahead * ahead : Vector<float>{};
#pragma GCC unroll 8
    for (int i = 0; Fixed && i < D; ++i) plane[i] = v[i];
    plane[D] = least, plane[D + 1] = squared * (homes.stretch[k] * homes.stretch[k]);
    return lane_bits<float>(~(room > spread_along<Fixed>(at.factor, v, D, c.diagonal) * (radius * radius)));
}

// Fills the neighbourhoods of the homes in the lanes; false if the watch says so. Several components are looked at before
// any plane is written: how many homes are near one is hard to predict, and a wrong guess would wait for all of its test.
template <int Fixed>
bool find_neighbours(const Components& c, const Homes& homes, HomeLanes& at, Neighbourhood* found, const Watch& watch) {
    constexpr int L = lanes<float>, together = HomeLanes::together;
    const int D = Fixed ? Fixed : at.D;
    const unsigned in_use = (1u << at.count) - 1;
    for (int lane = 0; lane < at.count; ++lane) found[lane].count = 0;
    for (std::int64_t first = 0; first < c.K; first += together) {
        if (first % 512 == 0 && !watch.go_on(watch.self)) return false;
        const int count = int(c.K - first < together ? c.K - first : together);
        unsigned near[together];
        for (int i = 0; i < count; ++i) near[i] = near_homes<Fixed>(c, homes, at, first + i, at.plane + i * (D + 2)) & in_use;
        for (int i = 0; i < count; ++i) {
            const float* planes = reinterpret_cast<const float*>(at.plane + i * (D + 2));
            for (unsigned left = near[i]; left; left &= left - 1) {
                const int lane = __builtin_ctz(left);
                Neighbourhood& to = found[lane];
                float* plane = to.plane + std::int64_t(to.count) * (D + 3);
                for (int j = 0; j < D + 2; ++j) plane[j] = planes[j * L + lane];
                plane[D + 2] = homes.own[first + i];
                to.component[to.count++] = std::int32_t(first + i);
            }
        }
    }
    return true;
}

}  // namespace
