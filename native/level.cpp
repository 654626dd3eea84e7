// One instruction set's copy of the kernel. Compiled once per level with GAUSSMIX_LEVEL (its name) and
// GAUSSMIX_BYTES (the width of a vector) defined and the compiler's flags for that level; exports only its table.
#include "pruned.hpp"
#include "solve.hpp"
#include "visit.hpp"

namespace gaussmix {

#define GAUSSMIX_JOIN_(a, b) a##b
#define GAUSSMIX_JOIN(a, b) GAUSSMIX_JOIN_(a, b)
#define GAUSSMIX_STRING_(a) #a
#define GAUSSMIX_STRING(a) GAUSSMIX_STRING_(a)

extern const Level GAUSSMIX_JOIN(level_, GAUSSMIX_LEVEL);

const Level GAUSSMIX_JOIN(level_, GAUSSMIX_LEVEL) = {
    GAUSSMIX_STRING(GAUSSMIX_LEVEL),
    lanes<double>,
    [](const Components& c, bool single) { return single ? tile_rows<float>(c) : tile_rows<double>(c); },
    [](const Components& c, bool single) { return single ? Tile<float>::bytes(c) : Tile<double>::bytes(c); },
    [](const Rows& rows, const Components& c, bool single, std::int64_t begin, std::int64_t end, void* workspace,
       const Watch& watch, Sums* sums, const Outputs* outputs) {
        return single ? visit<float>(rows, c, begin, end, workspace, watch, sums, outputs)
                      : visit<double>(rows, c, begin, end, workspace, watch, sums, outputs);
    },
    whiten,
    orthogonalise,
    squared_distances,
    [](const Components& c, bool single) { return single ? pruned_bytes<float>(c) : pruned_bytes<double>(c); },
    [](const Rows& rows, const Components& c, const Homes& homes, bool single, std::int64_t begin, std::int64_t end,
       void* workspace, const Watch& watch) {
        return known_to_compiler(c.D, [&](auto D) {
            return single ? settle_rows<float, D>(rows, c, homes, begin, end, workspace, watch)
                          : settle_rows<double, D>(rows, c, homes, begin, end, workspace, watch);
        });
    },
    [](const Rows& rows, const Components& c, const Homes& homes, bool single, std::int64_t begin, std::int64_t end,
       void* workspace, const Watch& watch, Sums* sums) {
        return known_to_compiler(c.D, [&](auto D) {
            return single ? visit_homes<float, D>(rows, c, homes, begin, end, workspace, watch, sums)
                          : visit_homes<double, D>(rows, c, homes, begin, end, workspace, watch, sums);
        });
    },
};

}  // namespace gaussmix
