// The copies of the kernel that were compiled, and which of them this machine can run.
// For translation units without flags of an instruction set only: it holds functions.
#pragma once
#include <vector>

#include "problem.hpp"

namespace gaussmix {

#if defined(__x86_64__)
extern const Level level_baseline, level_avx2, level_avx512;
#elif defined(__aarch64__)
extern const Level level_neon;
#else
extern const Level level_baseline;
#endif

// The widest last.
inline const std::vector<const Level*>& available_levels() {
    static const std::vector<const Level*> levels = [] {
#if defined(__x86_64__)
        std::vector<const Level*> found{&level_baseline};
        __builtin_cpu_init();
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back(&level_avx2);
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
            found.push_back(&level_avx512);
        return found;
#elif defined(__aarch64__)
        return std::vector<const Level*>{&level_neon};  // every 64-bit ARM has it
#else
        return std::vector<const Level*>{&level_baseline};
#endif
    }();
    return levels;
}

}  // namespace gaussmix
