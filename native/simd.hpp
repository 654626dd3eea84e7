// Vectors of the width of the instruction set at hand, with exp and log on them.
// Included once per instruction set; everything has internal linkage.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>
#include <type_traits>

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
    // exp(r) = 1 + r + r^2 sum_j exp_tail[j] r^j for |r| <= ln 2 / 2, to 1.7e-17 of it (interpolated at Chebyshev's points).
    static constexpr double exp_tail[] = {0.500000000000000102,   0.166666666666666675,    0.0416666666666241279,
                                          0.00833333333333006183, 0.00138888889172137169,  0.000198412698630536169,
                                          2.48015212959543751e-5, 2.75572684599970648e-6,  2.76200884454097482e-7,
                                          2.51003854955103191e-8};
    // artanh(z) = z + z^3 sum_j log_tail[j] z^2j for |z| <= (sqrt 2 - 1) / (sqrt 2 + 1), likewise, to 4.6e-18.
    static constexpr double log_tail[] = {0.333333333333333484, 0.199999999999497216,  0.142857143130016344, 0.111111055651299385,
                                          0.0909144472783747302, 0.0766585530910538578, 0.0730829271244431099};
};

template <>
struct Traits<float> {
    using Int = std::int32_t;
    static constexpr int mantissa = 23, bias = 127;
    static constexpr float round_shift = 12582912.0f;  // 1.5 * 2^23
    static constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    static constexpr float lowest_in_sums = -80.0f, lowest = -103.3f;
    static constexpr float exp_tail[] = {0.5f, 0.166665769896987757f, 0.0416665546172045742f, 0.00836317905272257737f,
                                         0.00139261835877134945f};  // to 1.0e-8
    static constexpr float log_tail[] = {0.333333425225780145f, 0.199943891410814039f, 0.147900265215942211f};  // 2.8e-9
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
inline Integers<Real> bits_of(Vector<Real> v) {
    Integers<Real> bits;
    std::memcpy(&bits, &v, sizeof bits);
    return bits;
}
template <class Real>
inline Vector<Real> from_bits(Integers<Real> bits) {
    Vector<Real> v;
    std::memcpy(&v, &bits, sizeof v);
    return v;
}
template <class Real>
inline Vector<Real> splat(Real x) {
    return x - Vector<Real>{};
}
// f(0), f(1), ..., f(N - 1) with constants for arguments: arrays indexed by them live in registers.
template <int N, int I = 0, class F>
[[gnu::always_inline]] inline void unrolled(const F& f) {
    if constexpr (I < N) {
        f(std::integral_constant<int, I>{});
        unrolled<N, I + 1>(f);
    }
}

// f(constant) with that one of the constants From, ..., To which equals the value; false if none does.
template <int From, int To, class F>
[[gnu::always_inline]] inline bool as_constant(int value, const F& f) {
    if constexpr (From <= To) {
        if (value != From) return as_constant<From + 1, To>(value, f);
        f(std::integral_constant<int, From>{});
        return true;
    }
    return false;
}

// f(i, N) for i = 0, N, 2 N, ...; at the end with a smaller constant for what is left of the count.
template <int N, class F>
[[gnu::always_inline]] inline void in_steps_of(int count, const F& f) {
    int i = 0;
    for (; i + N <= count; i += N) f(i, std::integral_constant<int, N>{});
    as_constant<1, N - 1>(count - i, [&](auto left) { f(i, left); });
}

// Hides from the compiler that what `from` points to stays the same, so that it is read where it is used: held in
// registers through a loop, it would drive out the accumulators.
template <class Real>
inline void reread(const Real*& from) {
    asm("" : "+r"(from));
}

// `Count` adjacent values, perhaps of another precision; zeros behind them.
template <class Real, class From, int Count>
inline Vector<Real> load_as(const char* from) {
    typedef From Values __attribute__((vector_size(Count * sizeof(From))));
    typedef Real Reals __attribute__((vector_size(Count * sizeof(Real))));
    Values values;
    std::memcpy(&values, from, sizeof values);
    const Reals reals = __builtin_convertvector(values, Reals);
#if defined(__clang__) || __GNUC__ >= 12
    return [&]<int... I>(std::integer_sequence<int, I...>) {
        return __builtin_shufflevector(reals, Reals{}, (I < Count ? I : Count)...);
    }(std::make_integer_sequence<int, lanes<Real>>{});
#else
    Vector<Real> v{};
    for (int i = 0; i < Count; ++i) v[i] = reals[i];
    return v;
#endif
}
template <class Real>
inline Vector<Real> square_root(Vector<Real> v) {
    for (int i = 0; i < lanes<Real>; ++i) v[i] = std::sqrt(v[i]);
    return v;
}

// Lanes of a and b, numbered one after the other: the i-th becomes that which `lane` says.
template <class Real, class Lane>
inline Vector<Real> shuffle(Vector<Real> a, Vector<Real> b, Lane lane) {
    return [&]<int... I>(std::integer_sequence<int, I...>) {
#ifdef __clang__
        return __builtin_shufflevector(a, b, Lane{}(I)...);
#else
        return __builtin_shuffle(a, b, Integers<Real>{lane(I)...});
#endif
    }(std::make_integer_sequence<int, lanes<Real>>{});
}

// Transposes a square of L vectors: blocks of 1, 2, 4, ... lanes beside the diagonal change places.
template <class Real, int Block = 1>
[[gnu::always_inline]] inline void turn(Vector<Real>* square) {
    constexpr int L = lanes<Real>;
    if constexpr (Block < L) {
        constexpr auto upper = [](int i) { return i & Block ? L + i - Block : i; };
        constexpr auto lower = [](int i) { return i & Block ? L + i : i + Block; };
        unrolled<L>([&](auto i) {
            if constexpr (!(i & Block)) {
                const Vector<Real> a = square[i], b = square[i + Block];
                square[i] = shuffle<Real>(a, b, upper);
                square[i + Block] = shuffle<Real>(a, b, lower);
            }
        });
        turn<Real, 2 * Block>(square);
    }
}

// All lanes in one, halves on halves.
template <class Real, int Half = lanes<Real> / 2, class Both>
[[gnu::always_inline]] inline Real reduced(Vector<Real> v, const Both& both) {
    if constexpr (Half == 0)
        return v[0];
    else
        return reduced<Real, Half / 2>(both(v, shuffle<Real>(v, v, [](int i) { return i ^ Half; })), both);
}
template <class Real>
inline Real sum(Vector<Real> v) {
    return reduced<Real>(v, [](Vector<Real> a, Vector<Real> b) { return a + b; });
}
template <class Real>
inline Real least(Vector<Real> v) {
    return reduced<Real>(v, [](Vector<Real> a, Vector<Real> b) { return a < b ? a : b; });
}

// to[0..count) += v, in double; no more than v has.
template <class Real>
inline void add_to(double* to, Vector<Real> v, int count) {
    typedef double Doubles __attribute__((vector_size(lanes<Real> * sizeof(double))));
    if (count < lanes<Real>) {
        for (int i = 0; i < count; ++i) to[i] += v[i];
        return;
    }
    Doubles sum;
    std::memcpy(&sum, to, sizeof sum);
    sum += __builtin_convertvector(v, Doubles);
    std::memcpy(to, &sum, sizeof sum);
}

// Has the cache fetch a line: the second level, to read it, or the first, to add to it. Without the asm a function that does
// no more than this has no effect in the compiler's eyes, and what calls it loses the call.
template <bool Add>
inline void ask_for_line(const void* line) {
    __builtin_prefetch(line, Add, Add ? 3 : 2);
    asm volatile("");
}

// The same for the `count` numbers from `to` on, wherever its lines of 8 begin, to add to them later.
inline void ask_for(const double* to, int count) {
    for (int i = 0; i <= count; i += 8) ask_for_line<true>(to + i);
}

// N vectors side by side, each in a register.
template <class Real, int N>
struct Wide {
    Vector<Real> v[N];

    template <class F>
    [[gnu::always_inline]] static Wide of(const F& f) {
        Wide w;
        unrolled<N>([&](auto i) { w.v[i] = f(i); });
        return w;
    }
    static Wide load(const Real* from) { return of([=](auto i) { return ::load(from + i * lanes<Real>); }); }
    static Wide splat(Real x) { return of([=](auto) { return ::splat<Real>(x); }); }
    void store(Real* to) const { unrolled<N>([&](auto i) { ::store(to + i * lanes<Real>, v[i]); }); }
    Wide operator-(const Wide& b) const { return of([&](auto i) { return v[i] - b.v[i]; }); }
    Wide operator*(const Wide& b) const { return of([&](auto i) { return v[i] * b.v[i]; }); }
    Wide operator-(Real b) const { return of([&](auto i) { return v[i] - b; }); }
    Wide operator*(Real b) const { return of([&](auto i) { return v[i] * b; }); }
    Wide operator+(const Wide& b) const { return of([&](auto i) { return v[i] + b.v[i]; }); }
    Wide root() const { return of([&](auto i) { return square_root<Real>(v[i]); }); }
    // v[0] + v[1] + ..., pairs first.
    template <int From = 0, int Count = N>
    Vector<Real> total() const {
        if constexpr (Count == 1) return v[From];
        else return total<From, Count / 2>() + total<From + Count / 2, Count / 2>();
    }
    void operator+=(const Wide& b) { unrolled<N>([&](auto i) { v[i] += b.v[i]; }); }
};

// c[0] + c[1] x + c[2] x^2 + ...; where there are many terms in two short chains, the even powers and the odd ones.
template <class Real, int Terms>
inline Vector<Real> polynomial(const Real (&c)[Terms], Vector<Real> x) {
    constexpr int chains = Terms > 6 ? 2 : 1;
    const Vector<Real> step = chains == 2 ? x * x : x;
    Vector<Real> sum[chains];
    unrolled<chains>([&](auto i) { sum[i] = splat<Real>(c[Terms - 1 - i]); });
    unrolled<Terms - chains>([&](auto i) { sum[i % chains] = sum[i % chains] * step + c[Terms - 1 - chains - i]; });
    if constexpr (chains == 2) return sum[Terms % 2] * x + sum[1 - Terms % 2];
    return sum[0];
}

// v 2^n, where n + Traits::round_shift was rounded: n stands in the last bits of `shifted`.
template <class Real>
inline Vector<Real> times_power_of_two(Vector<Real> v, Vector<Real> shifted) {
    return from_bits<Real>(bits_of<Real>(v) + (bits_of<Real>(shifted) << Traits<Real>::mantissa));
}

// exp(x) for x <= 0, to about one unit in the last place, or one of x's; zero below Traits::lowest_in_sums or, with
// `Subnormal`, below the smallest subnormal. x = n ln 2 + r with |r| <= ln 2 / 2; the rounding of ln 2 is less than x's own.
template <class Real, bool Subnormal>
inline Vector<Real> exp_negative(Vector<Real> x) {
    using T = Traits<Real>;
    const Vector<Real> shifted = x * Real(1.4426950408889634) + T::round_shift, n = shifted - T::round_shift;
    const Vector<Real> r = x - n * Real(0.69314718055994530942);
    Vector<Real> power = (polynomial(T::exp_tail, r) * r + Real(1)) * r + Real(1);
    if constexpr (Subnormal) {  // in two steps, so that a result below the normal range is rounded, not lost
        const Vector<Real> half = n * Real(0.5) + T::round_shift;
        power = times_power_of_two<Real>(power, half);
        const Vector<Real> rest = n - (half - T::round_shift);
        power *= times_power_of_two<Real>(splat<Real>(1), rest + T::round_shift);
    } else {
        power = times_power_of_two<Real>(power, shifted);
    }
    return x > (Subnormal ? T::lowest : T::lowest_in_sums) ? power : Vector<Real>{};
}

// ln(x) for normal x > 0: x = 2^e m with m in [1/sqrt 2, sqrt 2); ln m = 2 artanh((m - 1)/(m + 1)).
template <class Real>
inline Vector<Real> log_positive(Vector<Real> x) {
    using T = Traits<Real>;
    using Int = typename T::Int;
    constexpr Int one = Int(T::bias) << T::mantissa, mask = (Int(1) << T::mantissa) - 1;
    const Int root_half = sizeof(Real) == 8 ? Int(0x3fe6a09e667f3bcdLL) : Int(0x3f3504f3);
    // Exponents are counted from sqrt(1/2), so that the mantissa lies around one.
    const Integers<Real> moved = bits_of<Real>(x) - root_half + one;
    const Integers<Real> exponent = (moved >> T::mantissa) - T::bias;
    const Vector<Real> m = from_bits<Real>((moved & mask) + root_half);
    // Small integers to floating point through the bits of 1.5 * 2^mantissa.
    const Vector<Real> e = from_bits<Real>(bits_of<Real>(splat<Real>(T::round_shift)) + exponent) - T::round_shift;
    const Vector<Real> z = (m - Real(1)) / (m + Real(1)), z2 = z * z;
    // ln 2 in two parts: e times the high one is exact.
    return e * T::ln2_high + (z * Real(2) + (z * Real(2) * z2 * polynomial(T::log_tail, z2) + e * T::ln2_low));
}

}  // namespace
