// Bayes' theorem, eqs. (4), (5): from l_k to responsibilities and ln p, by a log-sum-exp shifted by the maximum.
#pragma once
#include "tile.hpp"

namespace {

// Sum over rows of ln p = m + ln s, in double. Rows of weight one take one logarithm for several: ln(s s' s'' ...), of so
// many sums s, each between 1 and the number of slots, that the product stays in range.
template <class Real>
class LogLikelihood {
    static constexpr int parts = sizeof(double) / sizeof(Real);
    Vector<double> total[parts] = {};
    Vector<Real> product = splat<Real>(1);
    const int factors;
    int left = factors;

    void add(Vector<Real> v) {
        typedef Real Part __attribute__((vector_size(GAUSSMIX_BYTES / parts)));
        Part part[parts];
        std::memcpy(part, &v, sizeof part);
        for (int i = 0; i < parts; ++i) total[i] += __builtin_convertvector(part[i], Vector<double>);
    }
    void flush() {
        add(log_positive<Real>(product));
        product = splat<Real>(1), left = factors;
    }

public:
    explicit LogLikelihood(int slots) : factors(Traits<Real>::bias / (32 - __builtin_clz(unsigned(slots)))) {}
    void add_rows(Vector<Real> largest, Vector<Real> s, Vector<Real> weight) {
        add(weight > Real(0) ? largest : Vector<Real>{});
        product *= weight > Real(0) ? s : splat<Real>(1);
        if (--left == 0) flush();
    }
    void add_weighted_rows(Vector<Real> largest, Vector<Real> s, Vector<Real> weight) {
        add(weight > Real(0) ? weight * (largest + log_positive<Real>(s)) : Vector<Real>{});
    }
    double value() {
        flush();
        for (int i = 1; i < parts; ++i) total[0] += total[i];
        return sum<double>(total[0]);
    }
};

// l_k -> e_k = exp(l_k - max l_k) of a panel of rows from t on. Returns the maximum and s = sum e_k; where no l_k is finite
// the maximum is -inf, e_k is 0 and s is 1, a positive number that does no harm.
template <class Real, bool Subnormal>
inline Panel<Real> exponentials(const Tile<Real>& tile, int t, Panel<Real>& s) {
    constexpr Real infinity = std::numeric_limits<Real>::infinity();
    Panel<Real> largest = Panel<Real>::load(tile.slot(0) + t), total{};
    for (int a = 1; a < tile.slots; ++a) {
        const auto l = Panel<Real>::load(tile.slot(a) + t);
        largest = Panel<Real>::of([&](auto i) { return l.v[i] > largest.v[i] ? l.v[i] : largest.v[i]; });
    }
    const auto shift = Panel<Real>::of([&](auto i) { return largest.v[i] > -infinity ? largest.v[i] : Vector<Real>{}; });
    for (int a = 0; a < tile.slots; ++a) {
        const auto l = Panel<Real>::load(tile.slot(a) + t) - shift;
        const auto e = Panel<Real>::of([&](auto i) { return exp_negative<Real, Subnormal>(l.v[i]); });
        e.store(tile.slot(a) + t);
        total += e;
    }
    s = Panel<Real>::of([&](auto i) { return total.v[i] > Real(0) ? total.v[i] : splat<Real>(1); });
    return largest;
}

// For sums: l_k -> e_k, with w / s per row; returns the tile's sum of w ln p.
template <class Real>
[[gnu::noinline, gnu::flatten]] double bayes(Tile<Real>& tile, bool weighted) {
    LogLikelihood<Real> likelihood(tile.slots);
    for (int t = 0; t < tile.T; t += panel_rows<Real>) {
        Panel<Real> s;
        const auto largest = exponentials<Real, false>(tile, t, s), weight = Panel<Real>::load(tile.weight + t);
        unrolled<width>([&](auto i) {
            if (weighted) likelihood.add_weighted_rows(largest.v[i], s.v[i], weight.v[i]);
            else likelihood.add_rows(largest.v[i], s.v[i], weight.v[i]);
        });
        Panel<Real>::of([&](auto i) { return weight.v[i] / s.v[i]; }).store(tile.scale + t);
    }
    return likelihood.value();
}

// For outputs: l_k -> e_k down to subnormal ones, with ln p and 1 / s per row.
template <class Real>
[[gnu::noinline, gnu::flatten]] void bayes_of_each_row(Tile<Real>& tile) {
    for (int t = 0; t < tile.T; t += panel_rows<Real>) {
        Panel<Real> s;
        const auto largest = exponentials<Real, true>(tile, t, s);
        Panel<Real>::of([&](auto i) { return largest.v[i] + log_positive<Real>(s.v[i]); }).store(tile.log_density + t);
        Panel<Real>::of([&](auto i) { return Real(1) / s.v[i]; }).store(tile.scale + t);
    }
}

// The first component that attains max l_k, K for noise. In float32, -1 where none is finite: squares have overflowed,
// so the caller is to compute in float64.
template <class Real>
void classify(const Tile<Real>& tile, std::int64_t* label) {
    constexpr int L = lanes<Real>;
    for (int t = 0; t < tile.filled; t += L) {
        Vector<Real> largest = splat<Real>(-std::numeric_limits<Real>::infinity()), best = splat<Real>(sizeof(Real) == 8 ? 0 : -1);
        for (int a = 0; a < tile.slots; ++a) {
            const Vector<Real> l = load(tile.slot(a) + t);
            best = l > largest ? splat<Real>(Real(a)) : best;
            largest = l > largest ? l : largest;
        }
        for (int i = 0; i < L && t + i < tile.filled; ++i) label[t + i] = std::int64_t(best[i]);
    }
}

}  // namespace
