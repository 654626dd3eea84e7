// Cuts a pass into chunks, gives them to threads, and merges their sums in order.
//
// Chunks depend on the shape of the problem alone, and chunk i is added to the total after chunk i - 1, whoever
// computed it: the result has the same bits for any number of threads. Threads live for one pass. The calling thread
// works too; between components of a tile it asks `interrupted` every 20 ms, and all stop when it says so.
#pragma once
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include "problem.hpp"

namespace gaussmix {

// Whether the statistics of tied components cost less through pairs of means, see tied.hpp: measured. Where all sums of a
// component fit into registers they do not.
inline bool pairs_pay(std::int64_t K, std::int64_t D) {
    constexpr std::int64_t largest = 1 << 14;  // means whose pairs are added up within a tenth of a second
    return K > 2 && K <= 256 && K * D <= largest && K * K + 4 * K * D + D * D < 2 * K * D * D;
}
inline Components suited_to(Components c) {
    if (c.D <= small) c.offset = nullptr;
    return c;
}

// Parameters as the kernel wants them: constants of eq. (1), means split in two, triangles packed, in `Real`.
template <class Real>
struct Prepared {
    std::vector<double> constant;
    std::vector<Real> high, low, rest, whitening, centre, centred, offset, offset_low;
    Components components;

    Prepared(std::int64_t K, std::int64_t D, bool diagonal, std::int64_t slices, const double* log_weights,
             const double* means, const double* roots, double log_noise)
        : constant(K), high(K * D + 64 / sizeof(Real)), low(K * D), rest(K * D) {
        whitening.reserve(slices * (diagonal ? D : D * (D + 1) / 2));
        std::vector<double> log_root(slices);
        for (std::int64_t k = 0; k < slices; ++k)
            for (std::int64_t i = 0; i < D; ++i) {
                const double* row = roots + (diagonal ? k * D : (k * D + i) * D);
                for (std::int64_t j = diagonal ? i : 0; j <= i; ++j) whitening.push_back(Real(row[j]));
                log_root[k] += std::log(row[i]);
            }
        const double normalisation = -0.5 * double(D) * std::log(2 * 3.14159265358979323846);
        for (std::int64_t k = 0; k < K; ++k) constant[k] = log_weights[k] + normalisation + log_root[slices == 1 ? 0 : k];
        for (std::int64_t i = 0; i < K * D; ++i) high[i] = Real(means[i]), low[i] = Real(means[i] - double(high[i]));
        for (std::int64_t k = 0; k < K; ++k)
            for (std::int64_t i = 0; i < D; ++i) {
                const double* row = roots + (diagonal ? k * D : ((slices == 1 ? 0 : k) * D + i) * D);
                double whitened = 0;
                for (std::int64_t j = diagonal ? i : 0; j <= i; ++j) whitened += row[j] * double(low[k * D + j]);
                rest[k * D + i] = Real(-whitened);
            }
        components = {K, D, diagonal, slices == 1, log_noise, constant.data(), high.data(), low.data(), rest.data(),
                      nullptr, nullptr, nullptr, nullptr, whitening.data()};
        if (!diagonal && slices == 1 && K > 1 && D > 2) centre_rows(means, roots);
    }

    // One whitening for all components: y_k = W (x - centre) - W (mu_k - centre), unless its terms are so much larger than
    // one that their difference would lose more than these bits.
    void centre_rows(const double* means, const double* root) {
        const std::int64_t K = components.K, D = components.D;
        const double largest = sizeof(Real) == 8 ? 256 : 16;
        centre.resize(D), centred.resize(K * D);
        for (std::int64_t j = 0; j < D; ++j) {
            double total = 0;
            for (std::int64_t k = 0; k < K; ++k) total += means[k * D + j] / double(K);
            centre[j] = Real(total);
        }
        for (std::int64_t k = 0; k < K; ++k)
            for (std::int64_t i = 0; i < D; ++i) {
                double whitened = 0, magnitude = 0;
                for (std::int64_t j = 0; j <= i; ++j) {
                    const double term = root[i * D + j] * (means[k * D + j] - double(centre[j]));
                    whitened += term, magnitude += std::abs(term);
                }
                if (!(magnitude <= largest)) return;
                centred[k * D + i] = Real(whitened);
            }
        components.centre = centre.data(), components.centred = centred.data();
        if (!pairs_pay(K, D)) return;
        for (std::int64_t i = 0; i < K * D; ++i) {
            const double exact = means[i] - double(centre[i % D]);
            offset.push_back(Real(exact)), offset_low.push_back(Real(exact - double(offset[i])));
        }
        components.offset = offset.data(), components.offset_low = offset_low.data();
    }
};

// Numbers in a second moment, and in all sums of a chunk: those of the components, or the joint ones of tied.hpp.
inline std::int64_t size_of_second(const Components& c) { return (c.shared ? 1 : c.K) * c.D * (c.diagonal ? 1 : c.D); }
inline std::int64_t size_of_sums(const Components& c) {
    return c.offset ? (c.D + c.K) * (c.D + c.K) : c.K + c.K * c.D + size_of_second(c);
}

// Where chunks begin: a 64th of the rows each, the last ones shorter and shorter, so that threads end together. None has
// fewer than 5e5 operations, or so few that to add its sums costs more than a twentieth of them; those before the last have
// four times as many, and no more than 1e8 where that leaves them as many.
struct Partition {
    std::vector<std::int64_t> begin;  // of each chunk, and the end of the last
    std::int64_t worth_threads;       // so many have enough to do

    Partition(const Components& c, std::int64_t count, std::int64_t tile, bool sums) {
        const double K = double(c.K), D = double(c.D);
        const double flops_per_row = c.offset ? 60 * K + K * K + 8 * K * D + 2 * D * D
                                              : K * (60 + 4 * D * (c.diagonal ? 2 : D + 1));
        const double least = std::max(5e5, sums ? 2500 * double(size_of_sums(c)) : 0) / flops_per_row;
        const double most = std::clamp(double(count) / 64, 4 * least, std::max(1e8 / flops_per_row, 4 * least));
        for (std::int64_t at = 0; at < count;) {
            begin.push_back(at);
            const double wanted = std::clamp(double(count - at) / 4, least, most);
            at += std::max<std::int64_t>(1, std::llround(wanted / double(tile))) * tile;
        }
        begin.push_back(count);
        const double each = 2e6;  // operations for a thread; not even two are started for fewer than four times as many
        const double flops = double(count) * flops_per_row;
        worth_threads = flops < 4 * each ? 1 : std::min(chunks(), std::int64_t(flops / each));
    }
    std::int64_t chunks() const { return std::int64_t(begin.size()) - 1; }
};

// Pieces of memory side by side. The allocator keeps them together for the next pass; of large ones apart it would give each
// back to the system, which clears every page before it comes again.
class Pieces {
    std::size_t each;
    std::unique_ptr<char, decltype(&std::free)> memory;

public:
    Pieces(int count, std::size_t bytes)
        : each((bytes + 63) / 64 * 64), memory(static_cast<char*>(std::aligned_alloc(64, count * each)), &std::free) {
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
    const Components& c;
    const Pieces memory;
    const std::unique_ptr<bool[]> touched;  // (count, K) or none
    std::vector<Sums> sums;
    std::vector<char> used;

public:
    Parts(int count, const Components& components, bool touches)
        : c(components), memory(count, size_of_sums(c) * sizeof(double)), touched(touches ? new bool[count * c.K] : nullptr),
          sums(count), used(count) {
        for (int i = 0; i < count; ++i) {
            double* const values = static_cast<double*>(memory[i]);
            if (c.offset) sums[i].joint = values;
            else sums[i].mass = values, sums[i].first = values + c.K, sums[i].second = values + c.K + c.K * c.D;
            if (touches) sums[i].touched = touched.get() + i * c.K;
        }
    }
    // Clear when it is asked for first, by the thread that will use it.
    Sums& operator[](int i) {
        if (!std::exchange(used[i], true)) clear(sums[i], c);
        return sums[i];
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

// Parts for so many threads: one that is computed and one that waits for its turn, unless there is one thread; no more
// than chunks.
inline int parts_for(std::int64_t chunks, int threads) {
    return int(std::min<std::int64_t>(chunks, threads > 1 ? 2 * threads : 1));
}

// Calls work(i, thread, part, watch) for every chunk i, each on some thread and with some one of the parts, which nobody
// else has until it was merged: merge(i, part) is called in the order of the chunks. A thread whose chunk cannot be merged
// yet leaves that to whoever computes the one before, and goes on with another part. Returns false if it was interrupted.
template <class Work, class Merge>
bool run_chunks(std::int64_t chunks, int threads, const std::function<bool()>& interrupted, Work work, Merge merge) {
    std::mutex mutex;
    std::condition_variable turn;
    std::int64_t next = 0, merged = 0;
    bool merging = false;
    alignas(64) std::atomic<bool> stop = false;  // all threads read it all the time: nothing else is written on its line
    constexpr int none = -1;
    alignas(64) std::vector<int> part_of(chunks, none), free_parts(parts_for(chunks, threads));
    std::iota(free_parts.begin(), free_parts.end(), 0);

    auto end_all = [&] {
        std::lock_guard<std::mutex> lock(mutex);
        stop = true;
        turn.notify_all();
    };
    // The calling thread's watch looks at the clock, the others' at what it decided.
    auto asked = std::chrono::steady_clock::now();
    unsigned calls = 0;
    constexpr auto often = std::chrono::milliseconds(20);
    auto look = [&] {
        const auto now = std::chrono::steady_clock::now();
        if (now - asked < often) return;
        asked = now;
        if (interrupted()) end_all();
    };
    auto ask = [&] {
        if (++calls % 16 == 0) look();
        return !stop.load();
    };
    const Watch callers{[](void* self) { return (*static_cast<decltype(ask)*>(self))(); }, &ask};
    const Watch others_watch{[](void* self) { return !static_cast<std::atomic<bool>*>(self)->load(); }, &stop};

    // Waits; the calling thread goes on looking at the clock.
    auto wait = [&](std::unique_lock<std::mutex>& lock, bool caller, auto ready) {
        if (!caller) return turn.wait(lock, ready);
        while (!turn.wait_for(lock, often, ready)) {
            lock.unlock();
            look();
            lock.lock();
        }
    };
    // Merges what has its turn, outside the lock, so that meanwhile others go on.
    auto merge_in_order = [&](std::unique_lock<std::mutex>& lock) {
        if (merging) return;
        for (merging = true; merged < chunks && part_of[merged] != none && !stop; ++merged) {
            const int part = part_of[merged];
            lock.unlock();
            merge(merged, part);
            lock.lock();
            free_parts.push_back(part);
            turn.notify_one();
        }
        merging = false;
        if (merged == chunks) turn.notify_all();
    };
    auto work_on = [&](const Watch& watch, int thread) {
        std::unique_lock<std::mutex> lock(mutex);
        for (;;) {
            wait(lock, thread == 0, [&] { return stop || next == chunks || !free_parts.empty(); });
            if (stop || next == chunks) break;
            const std::int64_t i = next++;
            const int part = free_parts.back();
            free_parts.pop_back();
            lock.unlock();
            work(i, thread, part, watch);
            const bool go_on = watch.go_on(watch.self);
            lock.lock();
            if (!go_on) return;
            part_of[i] = part;
            merge_in_order(lock);
            if (next == chunks) turn.notify_all();
        }
        if (thread == 0) wait(lock, true, [&] { return stop || merged == chunks; });
    };

    std::vector<std::thread> others;
    others.reserve(threads);
    try {
        for (int i = 1; i < threads; ++i) others.emplace_back(work_on, std::cref(others_watch), i);
    } catch (const std::exception&) {
        // The system grants no more threads: those that run do the work.
    }
    work_on(callers, 0);
    for (std::thread& other : others) other.join();
    return !stop;
}

// Threads to start where so many have enough to do.
inline int useful_threads(std::int64_t worth, int n_threads) {
    return int(std::max<std::int64_t>(1, std::min<std::int64_t>(n_threads, worth)));
}

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
