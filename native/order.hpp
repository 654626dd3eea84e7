// An order of the rows in which neighbours in the order are neighbours in space: the leaves, one after the other, of a
// tree that cuts every set of rows between its two clusters. It depends on the rows alone, so it is found once and
// serves every pass. (Cuts along features, a k-d tree, would need far more rows: in D dimensions its leaves are long.)
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <future>
#include <numeric>
#include <queue>
#include <vector>

#include "values.hpp"

namespace gaussmix {

// Rows as points of float32: (x - mean) / deviation of each feature, so that neither units nor places of features
// matter, and filled up with zeros to vectors of four.
class Standardised {
    static constexpr float largest = 1e6f;  // rows farther out lie here: squares stay in range
    const Rows& rows;
    const std::int64_t D;
    std::vector<double> mean, unit;  // (D) over at most 1024 rows; 1 / deviation, or 0

    template <class From>
    void fill_from(std::int64_t row, float* point) const {
        for (std::int64_t j = 0; j < D; ++j) {
            const float standard = float((value<From>(rows, row, j) - mean[j]) * unit[j]);
            point[j] = std::min(std::max(standard, -largest), largest);
        }
        std::fill(point + D, point + width, 0.0f);
    }

public:
    const std::int64_t width;

    Standardised(const Rows& rows, std::int64_t D) : rows(rows), D(D), mean(D), unit(D), width((D + 3) / 4 * 4) {
        const std::int64_t step = std::max<std::int64_t>(1, rows.count / 1024);
        double count = 0;
        for (std::int64_t i = 0; i < rows.count; i += step) {
            ++count;
            for (std::int64_t j = 0; j < D; ++j) {
                const double from_mean = value(rows, i, j) - mean[j];
                mean[j] += from_mean / count;
                unit[j] += from_mean * (value(rows, i, j) - mean[j]);
            }
        }
        for (double& each : unit) each = each > 0 ? 1 / std::sqrt(each / count) : 0.0;
    }
    // The point (width) of a row.
    void fill(std::int64_t row, float* point) const {
        if (rows.single) fill_from<float>(row, point);
        else fill_from<double>(row, point);
    }
};

inline float dot(const float* a, const float* b, std::int64_t width) {
    float part[4] = {};
    for (std::int64_t j = 0; j < width; j += 4)
        for (int v = 0; v < 4; ++v) part[v] += a[j + v] * b[j + v];
    return (part[0] + part[1]) + (part[2] + part[3]);
}

inline float apart(const float* a, const float* b, std::int64_t width) {
    float part[4] = {};
    for (std::int64_t j = 0; j < width; j += 4)
        for (int v = 0; v < 4; ++v) part[v] += (a[j + v] - b[j + v]) * (a[j + v] - b[j + v]);
    return (part[0] + part[1]) + (part[2] + part[3]);
}

class SpatialOrder {
    static constexpr std::int64_t most_seen = 128;  // points in which clusters are looked for
    static constexpr std::int64_t kept = 1 << 19;   // numbers of points that a thread keeps while it arranges them

    const Standardised standardised;
    const std::int64_t leaf, width, few;
    std::int32_t* order;  // (N)

    struct Plane {
        std::vector<float> normal;  // (width)
        float threshold;
    };

    // Between the centres of two clusters of points (count, width): far apart to begin with, then k-means.
    Plane between_clusters(const std::vector<float>& points) const {
        const std::int64_t count = std::int64_t(points.size()) / width;
        auto farthest = [&](const float* from) {
            const float *best = from;
            float most = -1;
            for (std::int64_t i = 0; i < count; ++i) {
                const float distance = apart(&points[i * width], from, width);
                if (distance > most) most = distance, best = &points[i * width];
            }
            return std::vector<float>(best, best + width);
        };
        std::vector<float> centres[2] = {farthest(points.data())}, sums[2];
        centres[1] = farthest(centres[0].data());
        Plane plane{std::vector<float>(width), 0};
        for (int round = 0;; ++round) {
            for (std::int64_t j = 0; j < width; ++j) plane.normal[j] = centres[1][j] - centres[0][j];
            plane.threshold = (dot(plane.normal.data(), centres[0].data(), width) +
                               dot(plane.normal.data(), centres[1].data(), width)) / 2;
            if (round == 4) return plane;
            float counts[2] = {0, 0};
            for (auto& each : sums) each.assign(width, 0.0f);
            for (std::int64_t i = 0; i < count; ++i) {
                const float* point = &points[i * width];
                const int side = dot(plane.normal.data(), point, width) > plane.threshold;
                ++counts[side];
                for (std::int64_t j = 0; j < width; ++j) sums[side][j] += point[j];
            }
            if (counts[0] == 0 || counts[1] == 0) return plane;
            for (int side : {0, 1})
                for (std::int64_t j = 0; j < width; ++j) centres[side][j] = sums[side][j] / counts[side];
        }
    }

    // Cuts [begin, end) of `order` between its two clusters, at a multiple of `leaf`; returns where. `point_of(row)` is
    // that of a row until it is called again.
    template <class PointOf>
    std::int64_t cut(std::int64_t begin, std::int64_t end, PointOf point_of) const {
        std::vector<float> some;
        for (std::int64_t i = begin; i < end; i += (end - begin + most_seen - 1) / most_seen) {
            const float* point = point_of(order[i]);
            some.insert(some.end(), point, point + width);
        }
        const Plane plane = between_clusters(some);
        std::vector<std::pair<float, std::int32_t>> keys(end - begin);  // how far along the normal, the row
        std::int64_t natural = 0;
        for (std::int64_t i = begin; i < end; ++i) {
            keys[i - begin] = {dot(plane.normal.data(), point_of(order[i]), width), order[i]};
            natural += keys[i - begin].first < plane.threshold;
        }
        const std::int64_t last = (end - begin - 1) / leaf * leaf;
        const std::int64_t middle = std::clamp((natural + leaf / 2) / leaf * leaf, leaf, last);
        std::nth_element(keys.begin(), keys.begin() + middle, keys.end());
        for (std::int64_t i = begin; i < end; ++i) order[i] = keys[i - begin].second;
        return begin + middle;
    }

    void arrange(std::int64_t begin, std::int64_t end, int threads) const {
        if (end - begin <= few) return arrange_few(begin, end);
        std::vector<float> point(width);
        const std::int64_t middle = cut(begin, end, [&](std::int32_t row) {
            standardised.fill(row, point.data());
            return point.data();
        });
        std::future<void> other;
        auto first_half = [=, this] { arrange(begin, middle, std::max(1, threads / 2)); };
        try {
            if (threads > 1) other = std::async(std::launch::async, first_half);
        } catch (const std::system_error&) {
            // The system grants no more threads.
        }
        if (!other.valid()) first_half();
        arrange(middle, end, std::max(1, threads - threads / 2));
        if (other.valid()) other.get();
    }

    // The same where all points fit into the cache: `order` holds places among them meanwhile.
    void arrange_few(std::int64_t begin, std::int64_t end) const {
        const std::vector<std::int32_t> row(order + begin, order + end);
        std::vector<float> points(row.size() * width);
        for (std::size_t i = 0; i < row.size(); ++i) standardised.fill(row[i], &points[i * width]);
        std::iota(order + begin, order + end, 0);
        arrange_points(begin, end, points);
        for (std::int64_t i = begin; i < end; ++i) order[i] = row[order[i]];
    }
    void arrange_points(std::int64_t begin, std::int64_t end, const std::vector<float>& points) const {
        if (end - begin <= leaf) return;
        const std::int64_t middle = cut(begin, end, [&](std::int32_t place) { return &points[place * width]; });
        arrange_points(begin, middle, points);
        arrange_points(middle, end, points);
    }

public:
    SpatialOrder(const Rows& rows, std::int64_t D, std::int64_t leaf, int threads, std::int32_t* order)
        : standardised(rows, D), leaf(leaf), width(standardised.width), few(kept / width), order(order) {
        std::iota(order, order + rows.count, 0);
        arrange(0, rows.count, threads);
        for (std::int64_t begin = 0; begin < rows.count; begin += leaf)
            std::sort(order + begin, order + std::min(begin + leaf, rows.count));
    }
};

// Runs of `leaf` rows of the order (N) are compact in space.
inline void spatial_order(const Rows& rows, std::int64_t D, std::int64_t leaf, int threads, std::int32_t* order) {
    SpatialOrder(rows, D, leaf, threads, order);
}

// Rows in tiles that are compact in space, from all over the data: some rows of a sample, each with its nearest there. For
// a look at K components; all rows need no order for that.
inline std::vector<std::int32_t> compact_tiles(const Rows& rows, std::int64_t D, std::int64_t K) {
    constexpr std::int64_t tile = 32;
    const std::int64_t tiles = std::clamp<std::int64_t>(rows.count / (800 * tile), 4, 32);
    const std::int64_t sample = std::min(rows.count, std::max<std::int64_t>(4096, 2 * tile * K));
    const Standardised points(rows, D);
    using Neighbour = std::pair<float, std::int32_t>;  // how far, the row
    std::vector<std::priority_queue<Neighbour>> nearest(tiles);
    std::vector<float> first(tiles * points.width), point(points.width);
    for (std::int64_t i = 0; i < tiles; ++i)
        points.fill((2 * i + 1) * sample / (2 * tiles) * rows.count / sample, &first[i * points.width]);
    for (std::int64_t s = 0; s < sample; ++s) {
        const std::int64_t row = s * rows.count / sample;
        points.fill(row, point.data());
        for (std::int64_t i = 0; i < tiles; ++i) {
            const Neighbour found{apart(&first[i * points.width], point.data(), points.width), std::int32_t(row)};
            if (std::int64_t(nearest[i].size()) == tile) {
                if (!(found < nearest[i].top())) continue;
                nearest[i].pop();
            }
            nearest[i].push(found);
        }
    }
    std::vector<std::int32_t> some;
    for (auto& each : nearest)
        for (; !each.empty(); each.pop()) some.push_back(each.top().second);
    return some;
}

}  // namespace gaussmix
