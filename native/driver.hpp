// The pass over all rows that visits every component.
#pragma once
#include <functional>
#include <vector>

#include "chunks.hpp"
#include "prepared.hpp"

namespace gaussmix {

// Runs the pass; returns false if it was interrupted. `sums` must be zero on entry.
inline bool run(const Level& level, const Rows& rows, const Components& given, bool single, int n_threads, Sums* sums,
                const Outputs* outputs, const std::function<bool()>& interrupted) {
    const Components c = suited_to(given);
    const Partition partition(c, rows.count, level.tile_rows(c, single), sums != nullptr);
    const int threads = useful_threads(partition.worth_threads, n_threads);
    std::vector<double> joint(sums && c.offset ? size_of_sums(c) : 0);
    if (sums) sums->joint = joint.data();
    // All memory first: nothing may throw once threads run.
    const Pieces workspaces(threads, level.workspace_bytes(c, single));
    Parts parts(sums ? parts_for(partition.chunks(), threads) : 0, c, false);
    const bool finished = run_chunks(
        partition.chunks(), threads, interrupted,
        [&](std::int64_t i, int thread, int part, const Watch& watch) {
            level.visit(rows, c, single, partition.begin[i], partition.begin[i + 1], workspaces[thread], watch,
                        sums ? &parts[part] : nullptr, outputs);
        },
        [&](std::int64_t, int part) {
            if (sums) move(parts[part], *sums, c);
        });
    if (sums && finished && c.offset) single ? finish_tied<float>(*sums, c) : finish_tied<double>(*sums, c);
    if (sums && finished && single) move_to_means(*sums, c);
    if (sums) sums->joint = nullptr;
    return finished;
}

}  // namespace gaussmix
