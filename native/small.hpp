// Triangles times one vector of lanes, for work on few rows at a time. `Fixed` is D where it is known to the compiler,
// or 0. Diagonal matrices have D entries, triangles D(D+1)/2, row by row.
#pragma once
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "tile.hpp"

namespace {

// One bit for each lane, the first lane's the lowest.
template <class Real>
inline unsigned lane_bits(Integers<Real> mask) {
#if GAUSSMIX_BYTES == 64
    if constexpr (sizeof(Real) == 8) return _mm512_movepi64_mask((__m512i)mask);
    else return _mm512_movepi32_mask((__m512i)mask);
#elif GAUSSMIX_BYTES == 32
    if constexpr (sizeof(Real) == 8) return unsigned(_mm256_movemask_pd((__m256d)mask));
    else return unsigned(_mm256_movemask_ps((__m256)mask));
#elif defined(__x86_64__)
    if constexpr (sizeof(Real) == 8) return unsigned(_mm_movemask_pd((__m128d)mask));
    else return unsigned(_mm_movemask_ps((__m128)mask));
#else
    unsigned bits = 0;
    for (int lane = 0; lane < lanes<Real>; ++lane) bits |= (mask[lane] ? 1u : 0u) << lane;
    return bits;
#endif
}

template <class Real>
inline bool any(Integers<Real> mask) {
    return lane_bits<Real>(mask) != 0;
}

// x - mu without rounding mu to Real first.
template <class Real>
inline Vector<Real> minus(Vector<Real> x, Real high, Real low) {
    if constexpr (sizeof(Real) == 8) return x - high;
    return (x - high) - low;
}

// y = W r.
template <class Real, int Fixed>
inline void whiten(const Real* root, const Vector<Real>* r, Vector<Real>* y, int D, bool diagonal) {
    const int count = Fixed ? Fixed : D;
    if (diagonal) {
        for (int i = 0; i < count; ++i) y[i] = r[i] * root[i];
        return;
    }
#pragma GCC unroll 8
    for (int i = 0; i < count; ++i) {
        Vector<Real> total = r[0] * root[0];
#pragma GCC unroll 8
        for (int j = 1; j <= i; ++j) total += r[j] * root[j];
        y[i] = total, root += i + 1;
    }
}

// v = W^T y.
template <class Real, int Fixed>
inline void unwhiten(const Real* root, const Vector<Real>* y, Vector<Real>* v, int D, bool diagonal) {
    const int count = Fixed ? Fixed : D;
    if (diagonal) {
        for (int i = 0; i < count; ++i) v[i] = y[i] * root[i];
        return;
    }
#pragma GCC unroll 8
    for (int i = 0; i < count; ++i) {
#pragma GCC unroll 8
        for (int j = 0; j < i; ++j) v[j] += y[i] * root[j];
        v[i] = y[i] * root[i], root += i + 1;
    }
}

// |F^T v|^2, each lane with its own F (D(D+1)/2 or D, lanes).
template <int Fixed>
inline Vector<float> spread_along(const float* factor, const Vector<float>* v, int D, bool diagonal) {
    constexpr int L = lanes<float>;
    const int count = Fixed ? Fixed : D;
    Vector<float> total{};
#pragma GCC unroll 8
    for (int j = 0; j < count; ++j) {
        Vector<float> t = v[j] * load(factor + (diagonal ? j : triangle(j) + j) * L);
        if (!diagonal)
#pragma GCC unroll 8
            for (int i = j + 1; i < count; ++i) t += v[i] * load(factor + (triangle(i) + j) * L);
        total += t * t;
    }
    return total;
}

template <class Real, int Fixed>
inline Vector<Real> norm_squared(const Vector<Real>* y, int D) {
    const int count = Fixed ? Fixed : D;
    Vector<Real> total = y[0] * y[0];
#pragma GCC unroll 8
    for (int i = 1; i < count; ++i) total += y[i] * y[i];
    return total;
}

}  // namespace
