// Bayes' theorem, eqs. (4), (5): from l_k to responsibilities and ln p, by a log-sum-exp shifted by the maximum.
#pragma once
#include "tile.hpp"

namespace {

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

}  // namespace
