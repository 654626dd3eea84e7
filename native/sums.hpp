// Sums of chunks: their memory, how they are added up, and what turns them into the sums that were asked for.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "problem.hpp"

namespace gaussmix {

// Numbers in a second moment, and in all sums of a chunk: those of the components, or the joint ones of tied.hpp.
inline std::int64_t size_of_second(const Components& c) { return (c.shared ? 1 : c.K) * c.D * (c.diagonal ? 1 : c.D); }
inline std::int64_t size_of_sums(const Components& c) {
    return c.offset ? (c.D + c.K) * (c.D + c.K) : c.K + c.K * c.D + size_of_second(c);
}

// Bytes that cores hand to one another together. What a thread writes all the time stands where nobody else reads or writes.
constexpr std::size_t exclusive = 128;

// Pieces of memory side by side. The allocator keeps them together for the next pass; of large ones apart it would give each
// back to the system, which clears every page before it comes again.
class Pieces {
    std::size_t each;
    std::unique_ptr<char, decltype(&std::free)> memory;

public:
    Pieces(int count, std::size_t bytes)
        : each((bytes + exclusive - 1) / exclusive * exclusive),
          memory(static_cast<char*>(std::aligned_alloc(exclusive, count * each)), &std::free) {
        if (!memory && count * each > 0) throw std::bad_alloc();
    }
    void* operator[](int i) const { return memory.get() + i * each; }
};

inline void clear(Sums& sums, const Components& c) {
    sums.noise = sums.weight = sums.log_likelihood = 0;
    if (sums.touched) std::fill_n(sums.touched, c.K, false);
    if (c.offset) return void(std::fill_n(sums.joint, size_of_sums(c), 0.0));
    std::fill_n(sums.mass, c.K, 0.0);
    std::fill_n(sums.first, c.K * c.D, 0.0);
    std::fill_n(sums.second, size_of_second(c), 0.0);
}

// Numbers are handed over: what they were is zero then, for the next chunk, in the same visit to the cache.
inline void move(double* from, double* to, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) to[i] += std::exchange(from[i], 0.0);
}
// The lower triangle of a matrix (n, n), which is all that a pass fills.
inline void move_triangle(double* from, double* to, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) move(from + i * n, to + i * n, i + 1);
}
inline void move(Sums& from, Sums& to, const Components& c) {
    for (auto number : {&Sums::noise, &Sums::weight, &Sums::log_likelihood}) move(&(from.*number), &(to.*number), 1);
    if (c.offset) return move_triangle(from.joint, to.joint, c.D + c.K);
    auto move_second = [&](std::int64_t k) {
        if (c.diagonal) move(from.second + k * c.D, to.second + k * c.D, c.D);
        else move_triangle(from.second + k * c.D * c.D, to.second + k * c.D * c.D, c.D);
    };
    for (std::int64_t k = 0; k < c.K; ++k) {
        if (from.touched && !std::exchange(from.touched[k], false)) continue;
        move(from.mass + k, to.mass + k, 1);
        move(from.first + k * c.D, to.first + k * c.D, c.D);
        if (!c.shared) move_second(k);
    }
    if (c.shared) move_second(0);
}

// Sums of the chunks under way, one for each part; what was moved out of one leaves it clear for the next chunk.
class Parts {
    struct alignas(exclusive) Part {
        Sums sums{};
        bool used = false;
    };
    const Components& c;
    const Pieces memory;
    std::vector<Part> parts;

public:
    Parts(int count, const Components& components, bool touches)
        : c(components), memory(count, size_of_sums(c) * sizeof(double) + (touches ? c.K : 0)), parts(count) {
        for (int i = 0; i < count; ++i) {
            Sums& sums = parts[i].sums;
            double* const values = static_cast<double*>(memory[i]);
            if (c.offset) sums.joint = values;
            else sums.mass = values, sums.first = values + c.K, sums.second = values + c.K + c.K * c.D;
            if (touches) sums.touched = reinterpret_cast<bool*>(values + size_of_sums(c));
        }
    }
    // Clear when it is asked for first, by the thread that will use it.
    Sums& operator[](int i) {
        if (!std::exchange(parts[i].used, true)) clear(parts[i].sums, c);
        return parts[i].sums;
    }
};

// From sums about the rounded means to sums about the means: with o = mean_low and first moment F, the second moment
// changes by -o F^T - F o^T + N o o^T.
inline void move_to_means(Sums& sums, const Components& c) {
    for (std::int64_t k = 0; k < c.K; ++k) {
        const float* low = static_cast<const float*>(c.offset ? c.offset_low : c.mean_low) + k * c.D;
        const std::vector<double> o(low, low + c.D);
        double *first = sums.first + k * c.D, *second = sums.second + (c.shared ? 0 : k) * c.D * (c.diagonal ? 1 : c.D);
        for (std::int64_t i = 0; i < c.D; ++i)
            for (std::int64_t j = c.diagonal ? i : 0; j <= i; ++j)
                second[c.diagonal ? i : i * c.D + j] += sums.mass[k] * o[i] * o[j] - o[i] * first[j] - first[i] * o[j];
        for (std::int64_t i = 0; i < c.D; ++i) first[i] -= sums.mass[k] * o[i];
    }
}

// The sums of tied components, of the joint ones; about the means as they were rounded.
template <class Real>
void finish_tied(Sums& sums, const Components& c) {
    const Real* offset = static_cast<const Real*>(c.offset);
    const std::int64_t n = c.D + c.K;
    std::vector<double> apart(c.D);
    for (std::int64_t i = 0; i < c.D; ++i)
        for (std::int64_t j = 0; j <= i; ++j) sums.second[i * c.D + j] += sums.joint[i * n + j];
    for (std::int64_t k = 0; k < c.K; ++k) {
        const double *of_first = sums.joint + (c.D + k) * n, *of_pairs = of_first + c.D;
        double* first = sums.first + k * c.D;
        sums.mass[k] += of_pairs[k];
        for (std::int64_t i = 0; i < c.D; ++i) first[i] += of_first[i];
        for (std::int64_t l = 0; l < k; ++l) {
            const double pair = of_pairs[l];
            sums.mass[k] += pair, sums.mass[l] += pair;
            for (std::int64_t i = 0; i < c.D; ++i) apart[i] = double(offset[k * c.D + i]) - double(offset[l * c.D + i]);
            for (std::int64_t i = 0; i < c.D; ++i) {
                first[i] -= pair * apart[i], sums.first[l * c.D + i] += pair * apart[i];
                for (std::int64_t j = 0; j <= i; ++j) sums.second[i * c.D + j] += pair * apart[i] * apart[j];
            }
        }
    }
}

}  // namespace gaussmix
