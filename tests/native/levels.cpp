// The kernel without Python: every instruction set of this machine folds and evaluates seeded problems, and what
// comes out is compared with the equations of docs/derivation.md written out as loops over rows and components.
//
//     levels NAME...    these instruction sets must be the machine's; ends with 0 when all agree
//
// tests/test_native.py compiles and runs it, for this machine and for an emulated 64-bit ARM.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "driver.hpp"
#include "homes.hpp"
#include "levels.hpp"

namespace {

using namespace gaussmix;
using Numbers = std::vector<double>;
constexpr double pi = 3.14159265358979323846;
constexpr double none = -std::numeric_limits<double>::infinity();

enum Structure { full, diagonal, tied };
const char* const names[] = {"full", "diag", "tied"};

struct Shape {
    std::int64_t N, D, K;
    Structure structure;
    bool single = false, weighted = false, noise = false, columns = false;  // columns: stored feature by feature
    bool pruned = false;  // components far apart, and the pass that leaves out those that cannot matter

    std::int64_t shares() const { return K + noise; }  // responsibilities of a row
};

// ---- seeded numbers (splitmix64; Box & Muller 1958) ------------------------------------------------------------------

struct Random {
    std::uint64_t state;

    double uniform() {  // in (0, 1)
        std::uint64_t z = state += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return (double((z ^ (z >> 31)) >> 11) + 0.5) / 9007199254740992.0;
    }
    double normal() {
        const double radius = std::sqrt(-2 * std::log(uniform()));
        return radius * std::cos(2 * pi * uniform());
    }
};

// Overlapping components, and rows around them.
struct Problem {
    Shape shape;
    std::int64_t slices;
    Numbers x, weights, log_weights, means, roots;  // (N, D), (N), (K), (K, D), (K, D) or (slices, D, D)
    std::vector<char> stored;                       // x as the kernel gets it
    double log_noise;

    explicit Problem(const Shape& s) : shape(s), slices(s.structure == tied ? 1 : s.K), log_noise(none) {
        Random random{std::uint64_t(s.N * 1000003 + s.D * 1009 + s.K * 17 + s.structure)};
        for (std::int64_t i = 0; i < s.K * s.D; ++i) means.push_back((s.pruned ? 20 : 2) * random.normal() / std::sqrt(double(s.D)));
        for (std::int64_t k = 0; k < slices; ++k)
            for (std::int64_t i = 0; i < s.D; ++i)
                if (s.structure == diagonal) roots.push_back(std::exp(0.3 * random.normal()));
                else
                    for (std::int64_t j = 0; j < s.D; ++j)
                        roots.push_back(j > i   ? 0
                                        : j < i ? 0.3 * random.normal() / std::sqrt(double(s.D))
                                                : std::exp(0.3 * random.normal()));
        double total = 0;
        for (std::int64_t k = 0; k < s.K; ++k) log_weights.push_back(0.2 + random.uniform()), total += log_weights[k];
        for (double& weight : log_weights) weight = std::log((s.noise ? 0.9 : 1.0) * weight / total);
        if (s.noise) log_noise = std::log(0.1) - 2.5 * double(s.D);
        for (std::int64_t n = 0; n < s.N; ++n) {
            const std::int64_t k = std::int64_t(random.uniform() * double(s.K));
            for (std::int64_t j = 0; j < s.D; ++j) x.push_back(means[k * s.D + j] + random.normal());
            if (s.weighted) weights.push_back(n % 7 == 3 ? 0 : -std::log(random.uniform()));
        }
        // Density zero in every component, were it not for logarithms.
        if (!s.single) x[0] = 400;
        store();
    }

    void store() {
        const std::int64_t item = shape.single ? 4 : 8;
        stored.resize(x.size() * item);
        for (std::int64_t n = 0; n < shape.N; ++n)
            for (std::int64_t j = 0; j < shape.D; ++j) {
                char* to = stored.data() + item * (shape.columns ? j * shape.N + n : n * shape.D + j);
                const float single = float(x[n * shape.D + j]);
                if (shape.single) x[n * shape.D + j] = single, std::memcpy(to, &single, item);
                else std::memcpy(to, &x[n * shape.D + j], item);
            }
    }
    Rows rows() const {
        const std::int64_t item = shape.single ? 4 : 8;
        return {stored.data(), shape.N, item * (shape.columns ? 1 : shape.D), item * (shape.columns ? shape.N : 1),
                shape.single, shape.weighted ? weights.data() : nullptr, nullptr};
    }
};

// ---- what a pass yields ----------------------------------------------------------------------------------------------

struct Result {
    Numbers mass, first, second, scalars;                 // scalars: noise mass, weight, log-likelihood
    Numbers log_density, responsibilities;                // (N), (N, shares)
    std::vector<std::int64_t> label;                      // (N)

    explicit Result(const Problem& p)
        : mass(p.shape.K), first(p.shape.K * p.shape.D), second(p.roots.size()), scalars(3), log_density(p.shape.N),
          responsibilities(p.shape.N * p.shape.shares()), label(p.shape.N) {}
};

template <class Real>
Result computed(const Level& level, const Problem& p, int threads) {
    const Shape& s = p.shape;
    Prepared<Real> prepared(s.K, s.D, s.structure == diagonal, p.slices, p.log_weights.data(), p.means.data(),
                            p.roots.data(), p.log_noise);
    const auto never = [] { return false; };
    Result result(p);
    Sums sums{result.mass.data(), result.first.data(), result.second.data(), 0, 0, 0};
    Rows rows = p.rows();
    std::vector<std::int32_t> order(s.N);
    std::iota(order.begin(), order.end(), 0);
    if (s.pruned) {
        rows.order = order.data();
        Pruning(prepared.components, level, s.single, rows, p.log_weights.data(), p.means.data(), p.roots.data())
            .run(rows, threads, sums, never);
    } else {
        run(level, rows, prepared.components, s.single, threads, &sums, nullptr, never);
    }
    result.scalars = {sums.noise, sums.weight, sums.log_likelihood};
    const Outputs outputs{result.log_density.data(), result.label.data(), result.responsibilities.data(), s.shares()};
    Rows unweighted = p.rows();
    unweighted.weights = nullptr;
    run(level, unweighted, prepared.components, s.single, threads, nullptr, &outputs, never);
    return result;
}

// Eqs. (1), (4) to (8), row by row; and the same sums of magnitudes, which rounding errors are measured in.
Result equations(const Problem& p, Result& magnitude) {
    const std::int64_t D = p.shape.D, K = p.shape.K;
    const bool diag = p.shape.structure == diagonal;
    Result result(p);
    Numbers l(K + 1), r(D);
    for (std::int64_t n = 0; n < p.shape.N; ++n) {
        const double* x = &p.x[n * D];
        for (std::int64_t k = 0; k < K; ++k) {
            const double* root = &p.roots[(p.slices == 1 ? 0 : k) * D * (diag ? 1 : D)];
            l[k] = p.log_weights[k] - 0.5 * double(D) * std::log(2 * pi);
            for (std::int64_t i = 0; i < D; ++i) {
                double y = 0;
                for (std::int64_t j = diag ? i : 0; j <= i; ++j)
                    y += (diag ? root[i] : root[i * D + j]) * (x[j] - p.means[k * D + j]);
                l[k] += std::log(diag ? root[i] : root[i * D + i]) - 0.5 * y * y;
            }
        }
        l[K] = p.log_noise;
        const std::int64_t likeliest = std::max_element(l.begin(), l.end()) - l.begin();
        double density = 0;
        for (double each : l) density += std::exp(each - l[likeliest]);
        const double log_density = l[likeliest] + std::log(density);
        const double w = p.shape.weighted ? p.weights[n] : 1;
        result.log_density[n] = log_density, result.label[n] = likeliest;
        result.scalars[1] += w, result.scalars[2] += w * log_density;
        magnitude.scalars[1] += w, magnitude.scalars[2] += w * std::max(1.0, std::abs(log_density));
        for (std::int64_t k = 0; k <= K; ++k) {
            const double gamma = std::exp(l[k] - log_density), g = w * gamma;
            if (k < p.shape.shares()) result.responsibilities[n * p.shape.shares() + k] = gamma;
            (k < K ? result.mass[k] : result.scalars[0]) += g;
            (k < K ? magnitude.mass[k] : magnitude.scalars[0]) += g;
            if (k == K) break;
            for (std::int64_t i = 0; i < D; ++i) {
                r[i] = x[i] - p.means[k * D + i];
                result.first[k * D + i] += g * r[i], magnitude.first[k * D + i] += g * std::abs(r[i]);
                for (std::int64_t j = diag ? i : 0; j <= i; ++j) {
                    const std::int64_t at = diag ? k * D + i : ((p.slices == 1 ? 0 : k) * D + i) * D + j;
                    result.second[at] += g * r[i] * r[j], magnitude.second[at] += g * std::abs(r[i] * r[j]);
                }
            }
        }
    }
    return result;
}

// ---- comparison ------------------------------------------------------------------------------------------------------

// The largest error, in units of `scale`; of second moments the lower triangles count.
double error(const Numbers& got, const Numbers& expected, const Numbers& scale, std::int64_t triangle = 0) {
    double worst = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
        if (triangle && std::int64_t(i) % triangle > std::int64_t(i) / triangle % triangle) continue;
        const double apart = std::abs(got[i] - expected[i]);
        worst = std::max(worst, std::isfinite(got[i]) ? apart / (scale[i] + 1e-3) : 1e300);
    }
    return worst;
}

bool agrees(const Level& level, const Problem& p) {
    const Shape& s = p.shape;
    Result magnitude(p);
    const Result expected = equations(p, magnitude);
    auto result = [&](int threads) {
        return s.single ? computed<float>(level, p, threads) : computed<double>(level, p, threads);
    };
    const Result got = result(1), again = result(3);
    for (std::int64_t n = 0; n < s.N; ++n) magnitude.log_density[n] = std::max(1.0, std::abs(expected.log_density[n]));
    magnitude.responsibilities.assign(magnitude.responsibilities.size(), 1);
    double worst = error(got.mass, expected.mass, magnitude.mass);
    worst = std::max(worst, error(got.first, expected.first, magnitude.first));
    worst = std::max(worst, error(got.second, expected.second, magnitude.second, s.structure == diagonal ? 0 : s.D));
    worst = std::max(worst, error(got.scalars, expected.scalars, magnitude.scalars));
    worst = std::max(worst, error(got.log_density, expected.log_density, magnitude.log_density));
    worst = std::max(worst, error(got.responsibilities, expected.responsibilities, magnitude.responsibilities));
    const double tolerance = s.single ? 1e-5 : 1e-12;
    for (std::int64_t n = 0; n < s.N; ++n) {  // a label may differ where two components are equally likely
        const double* gamma = &expected.responsibilities[n * s.shares()];
        worst = std::max(worst, gamma[expected.label[n]] - gamma[got.label[n]]);
    }
    const bool same = got.mass == again.mass && got.first == again.first && got.second == again.second &&
                      got.scalars == again.scalars && got.log_density == again.log_density;
    const bool good = worst < tolerance && same;
    std::printf("%-9s N %6lld  D %3lld  K %3lld  %s  %s%s%s%s%s  error %.1e%s%s\n", level.name, (long long)s.N,
                (long long)s.D, (long long)s.K, names[s.structure], s.single ? "float32" : "float64",
                s.weighted ? "  weights" : "", s.noise ? "  noise" : "", s.columns ? "  columns" : "", s.pruned ? "  pruned" : "", worst,
                same ? "" : "  DEPENDS ON THREADS", good ? "" : "  WRONG");
    return good;
}

std::vector<Shape> shapes() {
    std::vector<Shape> all;
    for (const Structure structure : {full, diagonal, tied})
        for (const bool single : {false, true}) {
            // Few features have loops of their own; so have the last rows of a triangle, and a ragged tile.
            const std::int64_t most = structure == full ? 30 : 9;
            for (std::int64_t D = 1; D <= most; ++D) all.push_back({190 + D, D, 3, structure, single, D % 2 == 0, D % 3 == 0});
            all.push_back({301, 17, 4, structure, single, true, true, true});
            for (const std::int64_t D : {33, 70}) all.push_back({130, D, 2, structure, single});
            all.push_back({1, 5, 2, structure, single, false, true});
            all.push_back({90, 3, 70, structure, single, false, false, true});
            for (const std::int64_t D : {2, 9, 20})
                all.push_back({1500, D, 65, structure, single, D != 9, D == 9, D == 20, true});
            all.push_back({30000, 2, 5, structure, single, true, true});  // enough for several threads
        }
    return all;
}

}  // namespace

int main(int count, char** arguments) {
    const auto levels = available_levels();
    std::string wanted, found;
    for (int i = 1; i < count; ++i) wanted += std::string(" ") + arguments[i];
    for (const Level* level : levels) found += std::string(" ") + level->name;
    if (wanted != found) {
        std::printf("expected the instruction sets%s, found%s\n", wanted.c_str(), found.c_str());
        return 1;
    }
    bool good = true;
    for (const Shape& shape : shapes()) {
        const Problem problem(shape);
        for (const Level* level : levels) good = agrees(*level, problem) && good;
    }
    return good ? 0 : 1;
}
