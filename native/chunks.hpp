// Cuts a pass into chunks, gives them to threads, and has them merged in order.
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
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <numeric>
#include <thread>
#include <vector>
#ifdef __linux__
#include <pthread.h>
#include <sched.h>
#endif

#include "sums.hpp"

namespace gaussmix {

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

// Parts for so many threads: one that is computed and one that waits for its turn, unless there is one thread; no more
// than chunks.
inline int parts_for(std::int64_t chunks, int threads) {
    return int(std::min<std::int64_t>(chunks, threads > 1 ? 2 * threads : 1));
}

// A new thread may be put on the core that its creator keeps busy, and wait there for milliseconds until the system sees that
// others rest. So it begins on one of these, and may then run wherever its creator may. Asked in vain, it begins where it is;
// of one that has ended already the system may ask the caller, who comes out with the cores that it had.
inline void begin_elsewhere([[maybe_unused]] std::thread& thread) {
#ifdef __linux__
    cpu_set_t allowed;
    if (pthread_getaffinity_np(pthread_self(), sizeof allowed, &allowed) != 0) return;
    cpu_set_t others = allowed;
    CPU_CLR(sched_getcpu(), &others);
    for (const cpu_set_t* cores : {&others, &allowed}) pthread_setaffinity_np(thread.native_handle(), sizeof *cores, cores);
#endif
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
    struct alignas(exclusive) {
        std::atomic<bool> flag = false;
    } read_by_all;
    struct alignas(exclusive) {
        unsigned calls = 0;
    } callers_own;
    std::atomic<bool>& stop = read_by_all.flag;
    constexpr int none = -1;
    std::vector<int> part_of(chunks, none), free_parts(parts_for(chunks, threads));
    std::iota(free_parts.begin(), free_parts.end(), 0);

    auto end_all = [&] {
        std::lock_guard<std::mutex> lock(mutex);
        stop = true;
        turn.notify_all();
    };
    // The calling thread's watch looks at the clock, the others' at what it decided.
    auto asked = std::chrono::steady_clock::now();
    constexpr auto often = std::chrono::milliseconds(20);
    auto look = [&] {
        const auto now = std::chrono::steady_clock::now();
        if (now - asked < often) return;
        asked = now;
        if (interrupted()) end_all();
    };
    auto ask = [&] {
        if (++callers_own.calls % 16 == 0) look();
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
        for (int i = 1; i < threads; ++i) begin_elsewhere(others.emplace_back(work_on, std::cref(others_watch), i));
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

}  // namespace gaussmix
