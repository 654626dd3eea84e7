// Vectors of the width of the instruction set at hand, with exp and log on them.
// Included once per instruction set; everything has internal linkage.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

template <class Real>
struct Traits;

template <>
struct Traits<double> {
    using Int = std::int64_t;
    static constexpr int mantissa = 52, bias = 1023;
    static constexpr double round_shift = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer
    static constexpr double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
    // ln of the smallest number kept: in sums (products with it stay clear of slow subnormals), and at all.
    static constexpr double lowest_in_sums = -690.0, lowest = -745.2;
    static constexpr int exp_terms = 13, log_terms = 11;
};

template <>
struct Traits<float> {
    using Int = std::int32_t;
    static constexpr int mantissa = 23, bias = 127;
    static constexpr float round_shift = 12582912.0f;  // 1.5 * 2^23
    static constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    static constexpr float lowest_in_sums = -80.0f, lowest = -103.3f;
    static constexpr int exp_terms = 7, log_terms = 5;
};

template <class Real>
struct VectorOf {
    typedef Real type __attribute__((vector_size(GAUSSMIX_BYTES)));
    typedef typename Traits<Real>::Int integer __attribute__((vector_size(GAUSSMIX_BYTES)));
};
template <class Real>
using Vector = typename VectorOf<Real>::type;
template <class Real>
using Integers = typename VectorOf<Real>::integer;
template <class Real>
constexpr int lanes = GAUSSMIX_BYTES / sizeof(Real);

template <class Real>
inline Vector<Real> load(const Real* from) {
    Vector<Real> v;
    std::memcpy(&v, from, sizeof v);
    return v;
}
template <class Real>
inline void store(Real* to, Vector<Real> v) {
    std::memcpy(to, &v, sizeof v);
}
template <class Real>
inline Vector<Real> splat(Real x) {
    return x - Vector<Real>{};
}
// Hides from the compiler that what `from` points to stays the same, so that it is read where it is used: held in
// registers through a loop, it would drive out the accumulators.
template <class Real>
inline void reread(const Real*& from) {
    asm("" : "+r"(from));
}

// L adjacent values of another precision.
template <class Real, class From>
inline Vector<Real> load_as(const char* from) {
    From values[lanes<Real>];
    std::memcpy(values, from, sizeof values);
    Vector<Real> v;
    for (int i = 0; i < lanes<Real>; ++i) v[i] = Real(values[i]);
    return v;
}
template <class Real>
inline Vector<Real> square_root(Vector<Real> v) {
    for (int i = 0; i < lanes<Real>; ++i) v[i] = std::sqrt(v[i]);
    return v;
}

// Transposes a square of L vectors: blocks of 1, 2, 4, ... lanes beside the diagonal change places.
template <class Real, int Block = 1>
inline void turn(Vector<Real>* square) {
    constexpr int L = lanes<Real>;
    if constexpr (Block < L) {
        Integers<Real> upper, lower;
        for (int i = 0; i < L; ++i) {
            upper[i] = i & Block ? L + i - Block : i;
            lower[i] = i & Block ? L + i : i + Block;
        }
#pragma GCC unroll 16
        for (int i = 0; i < L; ++i)
            if (!(i & Block)) {
                const Vector<Real> a = square[i], b = square[i + Block];
                square[i] = __builtin_shuffle(a, b, upper);
                square[i + Block] = __builtin_shuffle(a, b, lower);
            }
        turn<Real, 2 * Block>(square);
    }
}

template <class Real>
inline double sum(Vector<Real> v) {
    double total = 0;
    if constexpr (lanes<Real> >= 4) {
        // Halve until two lanes are left: the compiler sees extracts and adds.
        typedef Real Half __attribute__((vector_size(GAUSSMIX_BYTES / 2)));
        Half low, high;
        std::memcpy(&low, &v, sizeof low);
        std::memcpy(&high, reinterpret_cast<const char*>(&v) + sizeof low, sizeof high);
        low += high;
        if constexpr (lanes<Real> >= 8) {
            typedef Real Quarter __attribute__((vector_size(GAUSSMIX_BYTES / 4)));
            Quarter a, b;
            std::memcpy(&a, &low, sizeof a);
            std::memcpy(&b, reinterpret_cast<const char*>(&low) + sizeof a, sizeof b);
            a += b;
            for (int i = 0; i < lanes<Real> / 4; ++i) total += a[i];
        } else {
            for (int i = 0; i < lanes<Real> / 2; ++i) total += low[i];
        }
    } else {
        for (int i = 0; i < lanes<Real>; ++i) total += v[i];
    }
    return total;
}

// 2^n for integral n within the exponent's range.
template <class Real>
inline Vector<Real> power_of_two(Vector<Real> n) {
    using T = Traits<Real>;
    Vector<Real> shifted = n + (T::round_shift + T::bias);
    Integers<Real> bits;
    std::memcpy(&bits, &shifted, sizeof bits);
    bits <<= T::mantissa;
    Vector<Real> power;
    std::memcpy(&power, &bits, sizeof power);
    return power;
}

// exp(x) for x <= 0, to about one unit in the last place; zero below Traits::lowest_in_sums or, with `Subnormal`,
// below the smallest subnormal. x = n ln 2 + r with |r| <= ln 2 / 2; `exp_terms` terms of exp(r)'s Taylor series.
template <class Real, bool Subnormal>
inline Vector<Real> exp_negative(Vector<Real> x) {
    using T = Traits<Real>;
    const auto kept = x > (Subnormal ? T::lowest : T::lowest_in_sums);
    x = kept ? x : Vector<Real>{};
    Vector<Real> n = (x * Real(1.4426950408889634) + T::round_shift) - T::round_shift;
    Vector<Real> r = (x - n * T::ln2_high) - n * T::ln2_low;
    constexpr double inverse_factorial[] = {
        1.0,         1.0,          1.0 / 2,       1.0 / 6,        1.0 / 24,        1.0 / 120,       1.0 / 720,
        1.0 / 5040,  1.0 / 40320,  1.0 / 362880,  1.0 / 3628800,  1.0 / 39916800,  1.0 / 479001600, 1.0 / 6227020800};
    Vector<Real> series = splat<Real>(Real(inverse_factorial[T::exp_terms]));
#pragma GCC unroll 16
    for (int i = T::exp_terms - 1; i >= 0; --i) series = series * r + Real(inverse_factorial[i]);
    if constexpr (Subnormal) {  // in two steps, so that a result below the normal range is rounded, not lost
        const Vector<Real> half = (n * Real(0.5) + T::round_shift) - T::round_shift;
        series *= power_of_two<Real>(half);
        n -= half;
    }
    return kept ? series * power_of_two<Real>(n) : Vector<Real>{};
}

// ln(x) for normal x > 0: x = 2^e m with m in [1/sqrt 2, sqrt 2); ln m = 2 artanh((m - 1)/(m + 1)).
template <class Real>
inline Vector<Real> log_positive(Vector<Real> x) {
    using T = Traits<Real>;
    using Int = typename T::Int;
    Integers<Real> bits;
    std::memcpy(&bits, &x, sizeof bits);
    constexpr Int one = Int(T::bias) << T::mantissa, mask = (Int(1) << T::mantissa) - 1;
    const Int root_half = sizeof(Real) == 8 ? Int(0x3fe6a09e667f3bcdLL) : Int(0x3f3504f3);
    // Exponents are counted from sqrt(1/2), so that the mantissa lies around one.
    Integers<Real> moved = bits - root_half + one;
    Integers<Real> exponent = (moved >> T::mantissa) - T::bias;
    Integers<Real> mantissa_bits = (moved & mask) + root_half;
    Vector<Real> m;
    std::memcpy(&m, &mantissa_bits, sizeof m);
    // Small integers to floating point through the bits of 1.5 * 2^mantissa.
    Vector<Real> shift = splat<Real>(T::round_shift), e;
    Integers<Real> shift_bits;
    std::memcpy(&shift_bits, &shift, sizeof shift_bits);
    shift_bits += exponent;
    std::memcpy(&e, &shift_bits, sizeof e);
    e -= T::round_shift;
    Vector<Real> z = (m - Real(1)) / (m + Real(1)), z2 = z * z;
    Vector<Real> series = splat<Real>(Real(1.0 / (2 * T::log_terms + 1)));
#pragma GCC unroll 16
    for (int i = T::log_terms - 1; i >= 1; --i) series = series * z2 + Real(1.0 / (2 * i + 1));
    // ln 2 in two parts: e times the high one is exact.
    return e * T::ln2_high + (z * Real(2) + (z * Real(2) * z2 * series + e * T::ln2_low));
}

}  // namespace
