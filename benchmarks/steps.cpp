// Times the steps of a pass, tile by tile, on one thread: steps N D K full|diag REPEATS.
// Prints the seconds of filling tiles, densities, Bayes and statistics, each the least of the repeats.
// Compiled with the flags of one instruction set, see steps.py.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

#include "driver.hpp"
#include "visit.hpp"

namespace {

using namespace gaussmix;
using Clock = std::chrono::steady_clock;
enum Step { of_filling, of_densities, of_bayes, of_statistics, steps };

struct Times {
    double seconds[steps] = {};
    Clock::time_point last = Clock::now();

    void end_of(Step step) {
        const auto now = Clock::now();
        seconds[step] += std::chrono::duration<double>(now - last).count();
        last = now;
    }
};

// What visit() does, with a clock between the steps.
Times timed_visit(const Rows& rows, const Components& c, void* workspace, Sums& sums) {
    const Watch watch{[](void*) { return true; }, nullptr};
    Tile<double> tile(c, workspace);
    Times times;
    for (std::int64_t begin = 0; begin < rows.count; begin += tile.filled) {
        tile.use(rows.count - begin);
        fill<double, double>(tile, rows, begin);
        times.end_of(of_filling);
        all_densities(tile, rows, begin, rows.count, watch);
        times.end_of(of_densities);
        sums.log_likelihood += bayes(tile, false);
        times.end_of(of_bayes);
        all_moments(tile, watch, sums);
        times.end_of(of_statistics);
    }
    return times;
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 6) return 2;
    auto number = [&](int i) { return std::int64_t(std::atoll(arguments[i])); };
    const std::int64_t N = number(1), D = number(2), K = number(3), repeats = number(5);
    const bool diagonal = std::string(arguments[4]) == "diag";
    std::mt19937_64 random(1);
    std::normal_distribution<double> normal;
    std::vector<double> x(N * D), means(K * D), log_weights(K, -std::log(double(K)));
    for (double& value : x) value = normal(random);
    for (double& value : means) value = normal(random) / std::sqrt(double(D));
    const std::int64_t square = diagonal ? D : D * D;
    std::vector<double> roots(K * square);
    for (std::int64_t i = 0; i < K * square; ++i) roots[i] = diagonal || i % square % (D + 1) == 0;

    const Prepared<double> prepared(K, D, diagonal, K, log_weights.data(), means.data(), roots.data(),
                                    -std::numeric_limits<double>::infinity());
    const Components& c = prepared.components;
    const Rows rows{reinterpret_cast<const char*>(x.data()), N, D * 8, 8, false, nullptr, nullptr};
    const Pieces memory(1, Tile<double>::bytes(c));
    std::vector<double> total(K + K * D + K * square);
    Sums sums{total.data(), total.data() + K, total.data() + K + K * D, 0, 0, 0, nullptr, nullptr};
    double least[steps];
    for (std::int64_t i = 0; i < repeats; ++i) {
        const Times times = timed_visit(rows, c, memory[0], sums);
        for (int step = 0; step < steps; ++step)
            least[step] = i ? std::min(least[step], times.seconds[step]) : times.seconds[step];
    }
    for (double each : least) std::printf("%.9g\n", each);
}
