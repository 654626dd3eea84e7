// A pruned pass: prepares what neighbours.hpp needs, groups the rows by home, and holds the result to its promise.
//
// A pair of a row and a component is left out where the component's own density N(x | mu_k, Sigma_k) is below epsilon
// times the largest term of p(x). So a row loses less than epsilon of p(x), and a component less than epsilon of the
// mass that its weight lets expect. Where it got less than a tenth of that, or less than one row, the pass is repeated
// with this component kept everywhere, as one is from the beginning that expects less than two rows.
#pragma once
#include <memory>
#include <numeric>

#include "chunks.hpp"
#include "order.hpp"
#include "prepared.hpp"

namespace gaussmix {

constexpr double epsilon = 1e-14;

class Pruning {
    const Components c;  // without joint sums
    const Level& level;
    const bool single;
    const double weight;  // of all rows
    std::int64_t size;    // of a triangle
    std::vector<std::int32_t> sequence, by_home;
    std::unique_ptr<std::int32_t[]> home;
    std::unique_ptr<float[]> distance;
    std::vector<double> origin, drop;
    std::vector<float> means, roots, factors, factor_norm, mean_size, rounding, stretch, own, centres, unit;
    std::vector<std::int64_t> begin;
    const double* log_weights;
    Homes homes{};

    static Components with_own_sums(Components components) {
        components.offset = nullptr;
        return components;
    }
    // F = W^-1, lower triangular, row by row of the rows before it.
    void invert(const double* root, double* factor) const {
        for (std::int64_t i = 0; i < c.D; ++i) {
            const double* row = root + (c.diagonal ? i : i * (i + 1) / 2);
            double* to = factor + (row - root);
            const double pivot = c.diagonal ? row[0] : row[i];
            std::fill_n(to, c.diagonal ? 0 : i, 0.0);
            for (std::int64_t m = 0; m < i && !c.diagonal; ++m) {
                const double scale = row[m] / pivot, *before = factor + m * (m + 1) / 2;
                for (std::int64_t j = 0; j <= m; ++j) to[j] -= scale * before[j];
            }
            to[c.diagonal ? 0 : i] = 1 / pivot;
        }
    }
    double length(const double* values, std::int64_t count) const {
        return std::sqrt(std::inner_product(values, values + count, values, 0.0));
    }
    // Means from their median; W_k and L_k in packed rows, with their norms.
    void find_geometry(const double* given_means, const double* given_roots) {
        std::vector<double> some(c.K), root(size), factor(size);
        for (std::int64_t j = 0; j < c.D; ++j) {
            for (std::int64_t k = 0; k < c.K; ++k) some[k] = given_means[k * c.D + j];
            std::nth_element(some.begin(), some.begin() + c.K / 2, some.end());
            origin[j] = some[c.K / 2];
        }
        const double unit_roundoff = 6e-8 * double(c.D + 2);
        for (std::int64_t k = 0; k < c.K; ++k) {
            for (std::int64_t j = 0; j < c.D; ++j) means[k * c.D + j] = float(given_means[k * c.D + j] - origin[j]);
            mean_size[k] = std::sqrt(std::inner_product(&means[k * c.D], &means[k * c.D] + c.D, &means[k * c.D], 0.0f));
            if (k > 0 && c.shared) {
                factor_norm[k] = factor_norm[0], rounding[k] = rounding[0], stretch[k] = stretch[0];
                continue;
            }
            for (std::int64_t i = 0, e = 0; i < c.D; ++i)
                for (std::int64_t j = c.diagonal ? i : 0; j <= i; ++j)
                    root[e++] = given_roots[c.diagonal ? k * c.D + i : (k * c.D + i) * c.D + j];
            invert(root.data(), factor.data());
            std::copy(root.begin(), root.end(), roots.begin() + k * size);
            std::copy(factor.begin(), factor.end(), factors.begin() + k * size);
            const double errors = unit_roundoff * length(root.data(), size), spread = length(factor.data(), size);
            factor_norm[k] = float(spread * (1 + 1e-6));
            rounding[k] = float(20 * errors), stretch[k] = float(1 + 1e-6 + errors * spread);
        }
    }
    void keep_everywhere(std::int64_t k) {
        drop[k] = -std::numeric_limits<double>::infinity(), own[k] = std::numeric_limits<float>::infinity();
    }
    void find_thresholds() {
        constexpr double infinity = std::numeric_limits<double>::infinity();
        for (std::int64_t k = 0; k < c.K; ++k) {
            const bool empty = !(log_weights[k] > -infinity);
            drop[k] = empty ? infinity : std::log(epsilon) + log_weights[k];
            const double at_mean = c.constant[k] - drop[k];
            own[k] = empty ? -std::numeric_limits<float>::infinity() : float(at_mean + 2e-7 * std::abs(at_mean));
            if (!empty && std::exp(log_weights[k]) * weight < 2) keep_everywhere(k);
        }
    }
    void find_cells() {
        spatial_order({reinterpret_cast<const char*>(means.data()), c.K, c.D * 4, 4, true, nullptr, nullptr}, c.D,
                      homes.cell, 1, sequence.data());
        const std::int64_t slices = c.shared ? 1 : c.K;
        for (std::int64_t j = 0; j < c.D; ++j) {
            float variance = 0;
            for (std::int64_t k = 0; k < slices; ++k)
                for (std::int64_t i = c.diagonal ? j : 0; i <= j; ++i) {
                    const float f = factors[k * size + (c.diagonal ? j : j * (j + 1) / 2 + i)];
                    variance += f * f / float(slices);
                }
            unit[j] = 1 / variance;
            for (std::int64_t cell = 0; cell < homes.cells; ++cell) {
                const std::int64_t first = cell * homes.cell, last = std::min(first + homes.cell, c.K);
                float& centre = centres[j * homes.stride + cell];
                centre = 0;
                for (std::int64_t at = first; at < last; ++at)
                    centre += means[sequence[at] * c.D + j] / float(last - first);
            }
        }
    }
    // Orders rows by home.
    void group(const std::int32_t* rows, std::int64_t count) {
        std::fill(begin.begin(), begin.end(), 0);
        by_home.resize(count);
        for (std::int64_t i = 0; i < count; ++i) ++begin[home[rows[i]] + 1];
        std::partial_sum(begin.begin(), begin.end(), begin.begin());
        for (std::int64_t i = 0; i < count; ++i) by_home[begin[home[rows[i]]]++] = rows[i];
        std::copy_backward(begin.begin(), begin.end() - 1, begin.end());
        begin[0] = 0;
    }
    // In the part of each home that lies in [from, to): rows that are looked at alone first, then the farthest of the others.
    void put_far_rows_first(std::int64_t from, std::int64_t to) {
        for (std::int64_t h = std::upper_bound(begin.begin(), begin.end(), from) - begin.begin() - 1; from < to; ++h) {
            const std::int64_t last = std::min(begin[h + 1], to);
            const auto end = by_home.begin() + last;
            const auto others = std::partition(by_home.begin() + from, end, [&](std::int32_t i) { return distance[i] > homes.far; });
            const auto nearer = [&](std::int32_t a, std::int32_t b) { return distance[a] < distance[b]; };
            if (others != end) std::iter_swap(others, std::max_element(others, end, nearer));
            from = last;
        }
    }
    Rows ordered(Rows rows) const {
        rows.order = by_home.data();
        return rows;
    }

public:
    Pruning(const Components& components, const Level& level, bool single, const Rows& rows, const double* log_weights,
            const double* given_means, const double* given_roots)
        : c(with_own_sums(components)), level(level), single(single),
          weight(rows.weights ? std::accumulate(rows.weights, rows.weights + rows.count, 0.0) : double(rows.count)),
          size(c.diagonal ? c.D : c.D * (c.D + 1) / 2), sequence(c.K), home(std::make_unique_for_overwrite<std::int32_t[]>(rows.count)),
          distance(std::make_unique_for_overwrite<float[]>(rows.count)), origin(c.D), drop(c.K),
          means(c.K * c.D), roots((c.shared ? 1 : c.K) * size), factors(roots.size()), factor_norm(c.K), mean_size(c.K),
          rounding(c.K), stretch(c.K), own(c.K), unit(c.D), begin(c.K + 1), log_weights(log_weights) {
        homes.cell = 4, homes.cells = (c.K + homes.cell - 1) / homes.cell;
        homes.most_cells = std::min<std::int64_t>(homes.cells, std::clamp<std::int64_t>(homes.cells / 8, 8, 24));
        // The squared distance of a component's own rows is D on the average, with a variance of 2 D.
        const auto beyond = [D = double(c.D)](double deviations) { return float(std::sqrt(D + deviations * std::sqrt(2 * D))); };
        homes.expected = beyond(3), homes.far = beyond(8);
        homes.stride = (homes.cells + 15) / 16 * 16;
        centres.assign(c.D * homes.stride, std::numeric_limits<float>::infinity());
        find_geometry(given_means, given_roots);
        find_thresholds();
        find_cells();
        homes.sequence = sequence.data(), homes.origin = origin.data(), homes.means = means.data();
        homes.roots = roots.data(), homes.factors = factors.data(), homes.factor_norm = factor_norm.data();
        homes.size = mean_size.data(), homes.rounding = rounding.data(), homes.stretch = stretch.data();
        homes.drop = drop.data(), homes.own = own.data(), homes.centres = centres.data(), homes.unit = unit.data();
        homes.home = home.get(), homes.distance = distance.get(), homes.begin = begin.data();
    }

    // Clock cycles of a pass over so many rows, roughly, as measured with AVX2 and AVX-512 on one thread: dense; and pruned,
    // first what is done once, then what rows take that are like those of a sample.
    double vector_rows() const { return level.lanes * (single ? 2 : 1); }
    double dense_cycles(double count) const {
        const double K = double(c.K), D = double(c.D);
        const double products = c.shared ? 3.6 * D : 1.3 * double(size);
        return count * K / vector_rows() * (10 + K / 200 + 1.4 * D + products);
    }
    double preparing_cycles(double scans) const {
        const double K = double(c.K), D = double(c.D);
        const double of_home = (c.D <= small ? 4 : 10) * double(size) + 2 * D;
        return scans / (2 * level.lanes) * K * of_home + (c.diagonal || c.shared ? 0 : 0.3 * K * D * D * D);
    }
    double pruned_cycles(const Work& work, double count) const {
        const double D = double(c.D), strips = std::ceil(D / vector_rows());
        return count * (25 + 9 * D) + double(work.densities) * (40 + (D <= small ? 1.1 : 2) * (double(size) + D)) +
               double(work.planes) * (5 + 3 * D) + double(work.pairs) * strips * (c.diagonal ? 11 : 11 + 0.2 * D);
    }

    // Whether it is worth it, judged by `count` rows in compact tiles; soon given up where it is not. Not asked without any.
    bool pays(const Rows& rows, const std::int32_t* tiles, std::int64_t count) {
        if (count == 0) return true;
        Rows sample = rows;
        sample.order = tiles;
        const double all = double(rows.count), share = double(count) / all, limit = 0.85 * dense_cycles(all);
        const Watch always_on{[](void*) { return true; }, nullptr};
        const Pieces memory(1, level.pruned_bytes(c, single));
        Work work = level.settle(sample, c, homes, single, 0, count, memory[0], always_on);
        work.densities *= 2;  // rows beside each other in the order do not lie as close together as those of the sample
        group(tiles, count);
        const auto estimated = [&] {
            return preparing_cycles(double(c.K) + double(work.alone) / share) + pruned_cycles(work, double(count)) / share;
        };
        for (std::int64_t from = 0, to = (count + 31) / 32; from < count && estimated() < limit; from = to, to = std::min(4 * to, count)) {
            put_far_rows_first(from, to);
            const Work more = level.visit_homes(ordered(sample), c, homes, single, from, to, memory[0], always_on, nullptr);
            work.densities += more.densities, work.planes += more.planes, work.pairs += more.pairs, work.alone += more.alone;
        }
        return estimated() < limit;
    }

    // The whole pass; false if it was interrupted.
    bool run(const Rows& rows, int n_threads, Sums& sums, const std::function<bool()>& interrupted) {
        if (!settle(rows, n_threads, interrupted)) return false;
        for (;;) {
            if (!fold(rows, n_threads, sums, interrupted)) return false;
            if (!repair(sums)) return true;
            clear(sums, c);
        }
    }

private:
    bool settle(const Rows& rows, int n_threads, const std::function<bool()>& interrupted) {
        const std::int64_t per_chunk = std::max<std::int64_t>(1024, (rows.count / 64 + 63) / 64 * 64);
        const std::int64_t chunks = (rows.count + per_chunk - 1) / per_chunk;
        const int threads = useful_threads(chunks, n_threads);
        const Pieces workspaces(threads, level.pruned_bytes(c, single));
        const bool finished = run_chunks(
            chunks, threads, interrupted,
            [&](std::int64_t i, int thread, int, const Watch& watch) {
                level.settle(rows, c, homes, single, i * per_chunk, std::min((i + 1) * per_chunk, rows.count),
                             workspaces[thread], watch);
            },
            [](std::int64_t, int) {});
        if (finished) group(rows.order, rows.count);
        return finished;
    }

    bool fold(const Rows& rows, int n_threads, Sums& sums, const std::function<bool()>& interrupted) {
        const std::int64_t per_chunk = std::max<std::int64_t>(512, (rows.count + 31) / 32);
        const std::int64_t chunks = (rows.count + per_chunk - 1) / per_chunk;
        const int threads = useful_threads(chunks, n_threads);
        const Rows by = ordered(rows);
        const Pieces workspaces(threads, level.pruned_bytes(c, single));
        Parts parts(parts_for(chunks, threads), c, true);
        return run_chunks(
            chunks, threads, interrupted,
            [&](std::int64_t i, int thread, int part, const Watch& watch) {
                const std::int64_t from = i * per_chunk, to = std::min(from + per_chunk, rows.count);
                put_far_rows_first(from, to);
                level.visit_homes(by, c, homes, single, from, to, workspaces[thread], watch, &parts[part]);
            },
            [&](std::int64_t, int part) { move(parts[part], sums, c); });
    }

    // Keeps everywhere the components whose mass came out too small for what they may have lost; whether there are any.
    bool repair(const Sums& sums) {
        bool any = false;
        for (std::int64_t k = 0; k < c.K; ++k) {
            if (!std::isfinite(drop[k])) continue;
            if (sums.mass[k] >= std::max(1.0, 0.1 * std::exp(log_weights[k]) * weight)) continue;
            keep_everywhere(k), any = true;
        }
        return any;
    }
};

}  // namespace gaussmix
