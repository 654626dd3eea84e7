// How rows come into a tile: into panels, samples in the lanes; and from memory before their turn.
#pragma once
#include "tile.hpp"

namespace {

// Whether rows lie one behind the other.
inline bool adjacent(const Rows& rows, int D) {
    return rows.column_step == (rows.single ? 4 : 8) && rows.row_step == D * rows.column_step;
}

// One value after the other, wherever it lies.
template <class Real, class From>
inline void copy_values(const Tile<Real>& tile, std::int64_t column_step) {
    for (int j = 0; j < tile.D; ++j)
        for (int t = 0; t < tile.T; ++t) {
            From value;
            std::memcpy(&value, tile.row[t] + j * column_step, sizeof value);
            *tile.feature(j, t) = Real(value);
        }
}

// L rows of `Count` adjacent features at a time, turned in registers; the last ones overlap those before.
template <class Real, class From, int Count>
inline void copy_squares(const Tile<Real>& tile) {
    constexpr int L = lanes<Real>, P = panel_rows<Real>;
    for (int t = 0; t < tile.T; t += L)
        for (int i = 0; i < tile.D; i += Count) {
            const int j = i + Count <= tile.D ? i : tile.D - Count;
            Vector<Real> square[L];
            unrolled<L>([&](auto r) { square[r] = load_as<Real, From, Count>(tile.row[t + r] + j * sizeof(From)); });
            turn<Real>(square);
            Real* to = tile.feature(j, t);
            unrolled<Count>([&](auto r) { store(to + r * P, square[r]); });
        }
}

// Few features of rows that lie one behind the other: L rows are D vectors, whose lanes are sorted by feature.
template <class Real, class From, int D>
inline void copy_narrow(const Tile<Real>& tile, const char* rows) {
    constexpr int L = lanes<Real>;
    for (int t = 0; t < tile.T; t += L) {
        Real* to = tile.feature(0, t);
        Vector<Real> part[D];
        unrolled<D>([&](auto i) { part[i] = load_as<Real, From, L>(rows + (t * D + i * L) * sizeof(From)); });
        unrolled<D>([&](auto j) {
            Vector<Real> feature = part[0];
            unrolled<D - 1>([&](auto before) {
                feature = shuffle<Real>(feature, part[before + 1], [](int lane) {
                    constexpr int i = decltype(before)::value + 1;
                    const int at = lane * D + decltype(j)::value;
                    return at / L == i ? L + at % L : i == 1 ? at % L : lane;
                });
            });
            store(to + j * panel_rows<Real>, feature);
        });
    }
}

// Rows [begin, begin + filled), with their weights.
template <class Real, class From>
[[gnu::noinline, gnu::flatten]] void fill(Tile<Real>& tile, const Rows& rows, std::int64_t begin) {
    constexpr int L = lanes<Real>;
    auto index = [&](int t) { return rows.order ? std::int64_t(rows.order[begin + t]) : begin + t; };
    for (int t = 0; t < tile.T; ++t) tile.weight[t] = Real(t < tile.filled);
    for (int t = 0; t < tile.filled && rows.weights; ++t) tile.weight[t] = Real(rows.weights[index(t)]);
    auto narrow = [&](auto D) { copy_narrow<Real, From, D>(tile, rows.data + begin * rows.row_step); };
    const bool whole = !rows.order && tile.filled == tile.T && adjacent(rows, tile.D);
    if (whole && as_constant<1, (small < L ? small : L) - 1>(tile.D, narrow)) return;
    for (int t = 0; t < tile.T; ++t) tile.row[t] = rows.data + index(t < tile.filled ? t : 0) * rows.row_step;
    if (rows.column_step != sizeof(From) || tile.D < L / 2) copy_values<Real, From>(tile, rows.column_step);
    else if (tile.D < L) copy_squares<Real, From, L / 2>(tile);
    else copy_squares<Real, From, L>(tile);
}

// Asks for one of the parts of the tile that comes after the one at `begin`, before `end`, so that memory works while that is
// computed; for none where rows do not lie one behind the other.
template <class Real>
void ask_ahead(const Tile<Real>& tile, const Rows& rows, std::int64_t begin, std::int64_t end, int part, int parts) {
    const std::int64_t first = begin + tile.capacity, last = first + tile.capacity < end ? first + tile.capacity : end;
    if (first >= end || rows.order || !adjacent(rows, tile.D)) return;
    const std::int64_t bytes = (last - first) * rows.row_step;
    const char* const from = rows.data + first * rows.row_step;
    for (std::int64_t at = bytes * part / parts; at < bytes * (part + 1) / parts; at += 64) ask_for_line<false>(from + at);
}

}  // namespace
