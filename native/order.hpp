// An order of the rows in which neighbours in the order are neighbours in space: the leaves, one after the other, of a
// tree that cuts every set of rows between its two clusters. It depends on the rows alone, so it is found once and
// serves every pass. (Cuts along features, a k-d tree, would need far more rows: in D dimensions its leaves are long.)
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <future>
#include <utility>
#include <vector>

#include "problem.hpp"

namespace gaussmix {

struct SpatialOrder {
    const Rows& rows;
    std::int64_t D, leaf;
    std::vector<double> unit;  // (D) one over the feature's spread, so that units of features do not matter
    std::int32_t* order;

    double value(std::int64_t row, std::int64_t j) const {
        const char* from = rows.data + row * rows.row_step + j * rows.column_step;
        if (rows.single) {
            float single;
            std::memcpy(&single, from, sizeof single);
            return single;
        }
        double number;
        std::memcpy(&number, from, sizeof number);
        return number;
    }

    using Point = std::vector<double>;

    Point point(std::int64_t i) const {
        Point p(D);
        for (std::int64_t j = 0; j < D; ++j) p[j] = value(order[i], j) * unit[j];
        return p;
    }
    static double apart(const Point& a, const Point& b) {
        double squared = 0;
        for (std::size_t j = 0; j < a.size(); ++j) squared += (a[j] - b[j]) * (a[j] - b[j]);
        return squared;
    }

    // Centres of two clusters among at most 256 rows of [begin, end): far apart to begin with, then k-means.
    std::pair<Point, Point> two_centres(std::int64_t begin, std::int64_t end) const {
        std::vector<Point> some;
        const std::int64_t step = std::max<std::int64_t>(1, (end - begin) / 256);
        for (std::int64_t i = begin; i < end; i += step) some.push_back(point(i));
        auto farthest = [&](const Point& from) {
            return *std::max_element(some.begin(), some.end(), [&](const Point& a, const Point& b) {
                return apart(a, from) < apart(b, from);
            });
        };
        Point first = farthest(some[0]), second = farthest(first);
        for (int round = 0; round < 6; ++round) {
            Point sums[2] = {Point(D), Point(D)};
            double counts[2] = {0, 0};
            for (const Point& p : some) {
                const int side = apart(p, second) < apart(p, first);
                counts[side] += 1;
                for (std::int64_t j = 0; j < D; ++j) sums[side][j] += p[j];
            }
            if (counts[0] == 0 || counts[1] == 0) break;
            for (std::int64_t j = 0; j < D; ++j) first[j] = sums[0][j] / counts[0], second[j] = sums[1][j] / counts[1];
        }
        return {first, second};
    }

    // Cuts [begin, end) between its two clusters, at a multiple of `leaf`, until leaves are left.
    void arrange(std::int64_t begin, std::int64_t end, int threads) const {
        if (end - begin <= leaf) return;
        struct Key {
            double value;
            std::int32_t row;
            bool operator<(const Key& other) const {
                return value != other.value ? value < other.value : row < other.row;
            }
        };
        const auto [first, second] = two_centres(begin, end);
        Point normal(D);
        double threshold = 0;
        for (std::int64_t j = 0; j < D; ++j) {
            normal[j] = (second[j] - first[j]) * unit[j];
            threshold += (second[j] - first[j]) * (second[j] + first[j]) / 2;
        }
        std::int64_t middle;
        {
            std::vector<Key> keys(end - begin);
            std::int64_t natural = 0;
            for (std::int64_t i = begin; i < end; ++i) {
                double along = 0;
                for (std::int64_t j = 0; j < D; ++j) along += value(order[i], j) * normal[j];
                keys[i - begin] = {along, order[i]};
                natural += along < threshold;
            }
            const std::int64_t last = (end - begin - 1) / leaf * leaf;
            middle = std::clamp((natural + leaf / 2) / leaf * leaf, leaf, last);
            std::nth_element(keys.begin(), keys.begin() + middle, keys.end());
            for (std::int64_t i = begin; i < end; ++i) order[i] = keys[i - begin].row;
            middle += begin;
        }
        if (threads > 1) {
            auto other = std::async(std::launch::async, [=, this] { arrange(begin, middle, threads / 2); });
            arrange(middle, end, threads - threads / 2);
            other.get();
        } else {
            arrange(begin, middle, 1);
            arrange(middle, end, 1);
        }
    }

    // Standard deviation of each feature over at most 1024 rows.
    Point spread() const {
        Point mean(D), square(D);
        const std::int64_t step = std::max<std::int64_t>(1, rows.count / 1024);
        double count = 0;
        for (std::int64_t i = 0; i < rows.count; i += step) {
            ++count;
            for (std::int64_t j = 0; j < D; ++j) {
                const double from_mean = value(i, j) - mean[j];
                mean[j] += from_mean / count;
                square[j] += from_mean * (value(i, j) - mean[j]);
            }
        }
        for (double& each : square) each = std::sqrt(each / count);
        return square;
    }
};

inline void spatial_order(const Rows& rows, std::int64_t D, std::int64_t leaf, int threads, std::int32_t* order) {
    for (std::int64_t i = 0; i < rows.count; ++i) order[i] = std::int32_t(i);
    SpatialOrder tree{rows, D, leaf, std::vector<double>(D, 1.0), order};
    const std::vector<double> wide = tree.spread();
    for (std::int64_t j = 0; j < D; ++j) tree.unit[j] = wide[j] > 0 ? 1 / wide[j] : 0.0;
    tree.arrange(0, rows.count, threads);
    for (std::int64_t begin = 0; begin < rows.count; begin += leaf)
        std::sort(order + begin, order + std::min(begin + leaf, rows.count));
}

}  // namespace gaussmix
