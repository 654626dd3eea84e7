// The door to Python: checks shapes, releases the GIL, computes. The arrays are those of gaussmix/reference.py.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <limits>
#include <numeric>
#include <optional>
#include <string>
#include <tuple>

#include "acceleration.hpp"
#include "arrays.hpp"
#include "degeneracy.hpp"
#include "driver.hpp"
#include "hierarchical.hpp"
#include "homes.hpp"
#include "levels.hpp"
#include "maximisation.hpp"
#include "merging.hpp"
#include "starts.hpp"

namespace nb = nanobind;

namespace {

using namespace gaussmix;
using In = Array<const double>;
using Out = Array<double>;
using InOrder = Array<const std::int32_t, 1>;
using OutOrder = Array<std::int32_t, 1>;
using InLabels = Array<const std::int64_t, 1>;
using OutLabels = Array<std::int64_t, 1>;
using OutLabels2 = Array<std::int64_t, 2>;

// The level to use: GAUSSMIX_SIMD if it is set, otherwise the widest.
const Level& chosen() {
    const char* wish = std::getenv("GAUSSMIX_SIMD");
    if (!wish || !*wish) return *available_levels().back();
    std::string names;
    for (const Level* level : available_levels()) {
        if (std::string(wish) == level->name) return *level;
        names += std::string(names.empty() ? "" : ", ") + level->name;
    }
    throw nb::value_error(("GAUSSMIX_SIMD=" + std::string(wish) + " is not an instruction set of this machine; it has " +
                           names + ".").c_str());
}

void require(bool holds, const char* message) {
    if (!holds) throw nb::value_error(message);
}

Rows view(const AnyRows& x) {
    require(x.single() || PyArray_TYPE(x.array) == NPY_DOUBLE, "rows must be float32 or float64");
    return {x.data(), std::int64_t(x.shape(0)), x.stride(0), x.stride(1), x.single(), nullptr, nullptr};
}

struct Problem {
    Rows rows;
    std::int64_t K, D, slices;
    bool diagonal, single;
    const std::int32_t* tiles = nullptr;  // (n_tiled) or null: leave nothing out
    std::int64_t n_tiled = 0;

    Problem(const AnyRows& x, const std::optional<In>& weights, const In& log_weights, const In& means,
            const In& whitening)
        : rows(view(x)) {
        require(means.ndim() == 2 && log_weights.ndim() == 1, "means must be (K, D) and log_weights (K,)");
        K = std::int64_t(means.shape(0)), D = std::int64_t(means.shape(1));
        diagonal = whitening.ndim() == 2;
        slices = std::int64_t(whitening.shape(0));
        require(K > 0 && D > 0 && std::int64_t(x.shape(1)) == D && std::int64_t(log_weights.shape(0)) == K,
                "rows (N, D), means (K, D) and log_weights (K,) disagree");
        require((diagonal && slices == K) || (whitening.ndim() == 3 && (slices == K || slices == 1)),
                "whitening must be (K, D), (1, D, D) or (K, D, D)");
        for (std::size_t i = 1; i < whitening.ndim(); ++i)
            require(std::int64_t(whitening.shape(i)) == D, "whitening must be (K, D), (1, D, D) or (K, D, D)");
        require(!weights || (weights->ndim() == 1 && weights->shape(0) == x.shape(0)), "row weights must be (N,)");
        rows.weights = weights ? weights->data() : nullptr;
        single = rows.single && fits_single(weights, means, whitening);
    }

    // Whether squares of residuals and of whitened residuals, and weights times them, stay within float32.
    bool fits_single(const std::optional<In>& weights, const In& means, const In& whitening) const {
        constexpr double smallest = 1e-12, largest = 1e12;
        auto size = [](const In& values) {
            return std::transform_reduce(values.data(), values.data() + values.size(), 0.0,
                                         [](double a, double b) { return std::max(a, b); }, [](double v) { return std::abs(v); });
        };
        if (weights && !(smallest < size(*weights) && size(*weights) < largest)) return false;
        for (std::int64_t k = 0; k < slices; ++k)
            for (std::int64_t i = 0; i < D; ++i)
                if (!(whitening.data()[diagonal ? k * D + i : (k * D + i) * D + i] > smallest)) return false;
        return size(whitening) < largest && size(means) < largest;
    }

    void may_prune(const InOrder& some, const std::optional<InOrder>& order) {
        require(!order || std::int64_t(order->size()) == rows.count, "order must be (N,)");
        tiles = some.data(), n_tiled = std::int64_t(some.size());
        rows.order = order ? order->data() : nullptr;
    }
};

enum class Outcome { finished, interrupted, wants_order };

// A pass, pruned where the rows may come in an order and it pays.
template <class Real>
Outcome pass(const Problem& p, const In& log_weights, const In& means, const In& whitening, double log_noise, int n_threads,
             Sums* sums, const Outputs* outputs, const std::function<bool()>& interrupted) {
    const Level& level = chosen();
    const Prepared<Real> prepared(p.K, p.D, p.diagonal, p.slices, log_weights.data(), means.data(), whitening.data(),
                                  log_noise);
    auto outcome = [](bool finished) { return finished ? Outcome::finished : Outcome::interrupted; };
    if (p.tiles) {
        Pruning pruning(prepared.components, level, p.single, p.rows, log_weights.data(), means.data(), whitening.data());
        if (pruning.pays(p.rows, p.tiles, p.n_tiled)) {
            if (!p.rows.order) return Outcome::wants_order;
            return outcome(pruning.run(p.rows, n_threads, *sums, interrupted));
        }
    }
    Rows rows = p.rows;
    rows.order = nullptr;
    return outcome(run(level, rows, prepared.components, p.single, n_threads, sums, outputs, interrupted));
}

// Runs a pass without the GIL; on Ctrl-C stops it and raises what Python's signal handler raised. False if the pass
// wants an order of the rows first.
bool compute(const Problem& p, const In& log_weights, const In& means, const In& whitening, double log_noise,
             int n_threads, Sums* sums, const Outputs* outputs) {
    const auto interrupted = [] {
        nb::gil_scoped_acquire acquire;
        return PyErr_CheckSignals() != 0;
    };
    Outcome outcome;
    {
        nb::gil_scoped_release release;
        outcome = (p.single ? pass<float> : pass<double>)(p, log_weights, means, whitening, log_noise, n_threads, sums,
                                                          outputs, interrupted);
    }
    if (outcome == Outcome::interrupted) throw nb::python_error();
    return outcome == Outcome::finished;
}

bool all_finite(const double* values, std::size_t count) {
    return std::all_of(values, values + count, [](double value) { return std::isfinite(value); });
}

// Mass, first and second moments of each component, noise mass, sum of weights and log-likelihood.
using FoundSums = std::tuple<Made, Made, Made, double, double, double>;

std::optional<FoundSums> fold(const AnyRows& x, const std::optional<In>& weights, const In& log_weights, const In& means,
                              const In& whitening, double log_noise, int n_threads, const std::optional<InOrder>& tiles,
                              const std::optional<InOrder>& order) {
    Problem p(x, weights, log_weights, means, whitening);
    if (tiles) p.may_prune(*tiles, order);
    const Made mass(log_weights), first(means), second(whitening);
    const Made* const all[] = {&mass, &first, &second};
    Sums sums{};
    auto computed = [&] {
        for (const Made* each : all) each->clear();
        sums = {mass.data(), first.data(), second.data(), 0, 0, 0, nullptr, nullptr};
        return compute(p, log_weights, means, whitening, log_noise, n_threads, &sums, nullptr);
    };
    if (!computed()) return std::nullopt;
    auto finite = [](const Made* each) { return all_finite(each->data(), each->size()); };
    if (p.single && !(std::all_of(std::begin(all), std::end(all), finite) && std::isfinite(sums.noise + sums.log_likelihood))) {
        p.single = false;
        if (!computed()) return std::nullopt;
    }
    if (!p.diagonal)  // the kernel fills the lower triangles
        for (std::int64_t k = 0; k < p.slices; ++k)
            for (std::int64_t i = 0; i < p.D; ++i)
                for (std::int64_t j = 0; j < i; ++j)
                    sums.second[(k * p.D + j) * p.D + i] = sums.second[(k * p.D + i) * p.D + j];
    return FoundSums{mass, first, second, sums.noise, sums.weight, sums.log_likelihood};
}

// Where squares overflow in float32 there is no finite density, no component (-1) and no responsibility.
bool all_found(const Outputs& found, std::int64_t count) {
    if (found.log_density && !all_finite(found.log_density, count)) return false;
    if (found.label && std::any_of(found.label, found.label + count, [](std::int64_t label) { return label < 0; }))
        return false;
    for (std::int64_t n = 0; n < count && found.responsibilities; ++n) {
        const double* const own = found.responsibilities + n * found.columns;
        if (!(std::accumulate(own, own + found.columns, 0.0) > 0)) return false;
    }
    return true;
}

void evaluate(const AnyRows& x, const In& log_weights, const In& means, const In& whitening, double log_noise,
              int n_threads, const Out& log_density, const OutLabels& label, const Out& responsibilities) {
    Problem p(x, std::nullopt, log_weights, means, whitening);
    const std::int64_t columns = p.K + (log_noise > -std::numeric_limits<double>::infinity());
    auto wanted = [&](const auto& out, std::int64_t width) {
        const std::int64_t size = std::int64_t(out.size());
        require(size == 0 || size == p.rows.count * width, "log_density (N,), label (N,) or responsibilities (N, K), "
                "with noise (N, K + 1), has another shape; what is not wanted is empty");
        return size == 0 ? nullptr : out.data();
    };
    const Outputs outputs{wanted(log_density, 1), wanted(label, 1), wanted(responsibilities, columns), columns};
    compute(p, log_weights, means, whitening, log_noise, n_threads, nullptr, &outputs);
    if (p.single && !all_found(outputs, p.rows.count)) {
        p.single = false;
        compute(p, log_weights, means, whitening, log_noise, n_threads, nullptr, &outputs);
    }
}

Moments moments(const GivenSums& sums) {
    const auto& [origin, mass, first, second, noise_mass] = sums;
    const std::size_t K = mass.size(), D = K ? origin.size() / K : 0;
    require(D > 0 && origin.size() == K * D && first.size() == K * D, "mass must be (K,), origin and first (K, D)");
    const bool diagonal = second.ndim() == 2;
    require(diagonal ? second.shape(0) == K && second.size() == K * D
                     : second.ndim() == 3 && (second.shape(0) == K || second.shape(0) == 1) &&
                           second.size() == second.shape(0) * D * D,
            "second moments must be (K, D), (1, D, D) or (K, D, D)");
    return {std::int64_t(K), std::int64_t(D), std::int64_t(second.shape(0)), diagonal, origin.data(), mass.data(),
            first.data(), second.data()};
}

// Vectors, one for each of several sums: noise mass, mass, first and second about the means of a mixture, and behind them
// what compares them, in its masses and whitening. Also how many numbers come before that, and how far the last two are
// apart, squared.
std::tuple<Made, std::size_t, double> coordinates(const std::vector<GivenSums>& several, const In& means, const In& masses,
                                                  const In& whitening) {
    require(several.size() > 0 && whitening.ndim() > 1, "there must be several sums, and whitening (K, D) or (K, D, D)");
    const std::size_t before = 1 + masses.size() + means.size(), compared = before + whitening.size();
    const std::size_t rows = several.size(), width = compared + before + whitening.shape(0);
    const Made vectors({rows, width});
    const double root = std::sqrt(std::accumulate(masses.data(), masses.data() + masses.size(), 1e-300));
    double* packed = vectors.data();
    std::optional<Metric> metric;
    for (const GivenSums& each : several) {
        const Moments from = moments(each);
        require(means.size() == each.origin.size() && masses.size() == each.mass.size() &&
                    whitening.size() == each.second.size() && whitening.ndim() == each.second.ndim() &&
                    whitening.shape(0) == each.second.shape(0),
                "means, masses or whitening has another shape");
        double* const white = packed + compared;
        if (!metric) metric.emplace(from, masses.data(), whitening.data());
        packed[0] = each.noise_mass;
        white[0] = each.noise_mass / root;
        recentre(from, means.data(), packed + 1);
        metric->whiten(from, packed + 1, white + 1);
        packed += width;
    }
    double squared = 0;
    for (std::size_t i = compared; i < width && rows > 1; ++i) {
        const double apart = vectors.data()[(rows - 1) * width + i] - vectors.data()[(rows - 2) * width + i];
        squared += apart * apart;
    }
    return {vectors, compared, squared};
}

// Noise mass, mass, first and second to go on with, in the shapes of those of the last pass, from `coordinates` of u and g of
// some passes; nothing if there are none.
std::optional<std::tuple<double, Made, Made, Made>> propose(const In& vectors, const GivenSums& last, double ahead) {
    const std::size_t K = last.mass.size(), size = 1 + K + last.first.size() + last.second.size();
    require(vectors.ndim() == 2 && vectors.shape(0) % 2 == 0 && vectors.shape(0) > 2 && vectors.shape(1) >= size && K > 0,
            "vectors must be (2 passes, size of the statistics + what compares them), of at least two passes");
    const Path path{std::int64_t(vectors.shape(0)) / 2, std::int64_t(size), std::int64_t(vectors.shape(1)), std::int64_t(K),
                    vectors.data()};
    std::vector<double> proposed(size);
    if (!steps_ahead(path, ahead, proposed.data())) return std::nullopt;
    const double* from = proposed.data() + 1;
    auto taken = [&](const In& like) {
        Made made(like);
        std::copy_n(from, made.size(), made.data());
        from += made.size();
        return made;
    };
    const Made own_mass = taken(last.mass), own_first = taken(last.first), own_second = taken(last.second);
    return std::tuple{proposed[0], own_mass, own_first, own_second};
}

// ln pi (K,) and W, in the shape of the covariances: variances (K, D) or matrices (K or 1, D, D). Also the sum of all
// ln|W|, or NaN when a covariance is not positive definite or not finite.
std::tuple<Made, Made, double> prepare(const In& weights, const In& covariances) {
    const bool diagonal = covariances.ndim() == 2;
    require(covariances.size() > 0 &&
                (diagonal || (covariances.ndim() == 3 && covariances.shape(1) == covariances.shape(2))),
            "covariances must be variances (K, D) or matrices (K, D, D)");
    const Made log_weights(weights), whitening(covariances);
    for (std::size_t k = 0; k < weights.size(); ++k) log_weights.data()[k] = std::log(weights.data()[k]);
    const std::int64_t D = diagonal ? 1 : std::int64_t(covariances.shape(2)), size = std::int64_t(covariances.size());
    const double log_root = whiten_all(chosen(), covariances.data(), size / (D * D), D, whitening.data());
    log_weights.freeze(), whitening.freeze();
    return {log_weights, whitening, log_root};
}

// Sum of squares of all W_k R^(1/2), W (slices, D) or (slices, D, D), R^(1/2) the diagonal (D,).
double squares_of_whitening(const In& whitening, const In& deviations) {
    const std::size_t D = deviations.size();
    require(D > 0 && whitening.size() % D == 0, "deviations (D,) and whitening disagree");
    return scaled_squares(whitening.data(), std::int64_t(whitening.size()), deviations.data(), std::int64_t(D));
}

// What cannot make a component degenerate, see degeneracy.hpp; covariances in the shape of the whitening.
std::tuple<bool, bool> is_surely_sound(const In& whitening, const In& covariances, const In& mass, const In& deviations,
                                       double pseudo_rows, double supplied, double few, double larger) {
    const std::size_t K = mass.size(), D = deviations.size();
    const bool diagonal = whitening.ndim() == 2;
    require(K > 0 && D > 0 && (diagonal ? whitening.size() == K * D
                                        : whitening.ndim() == 3 && (whitening.shape(0) == K || whitening.shape(0) == 1) &&
                                              whitening.size() == whitening.shape(0) * D * D) &&
                covariances.size() == whitening.size(),
            "whitening and covariances must be (K, D), (1, D, D) or (K, D, D)");
    const Moments given{std::int64_t(K), std::int64_t(D), std::int64_t(whitening.shape(0)), diagonal, nullptr, mass.data(),
                        nullptr, covariances.data()};
    const Sound sound = surely_sound(given, whitening.data(), {pseudo_rows, supplied, few, larger, deviations.data()});
    return {sound.supplied, sound.relative};
}

void check_family(const std::string& volume_and_shape, const std::string& axes, bool diagonal, bool one) {
    const bool mean = axes == "mean", turned = axes == "common" || axes == "own";
    require(mean || turned || axes == "given", "axes must be mean, given, common or own");
    require(volume_and_shape.size() == 2 && volume_and_shape.find_first_not_of(mean ? "EVI" : "EV") == std::string::npos,
            "volume and shape must be letters E or V; along the mean, the shape may be I");
    require(diagonal ? !turned : !mean, "scatter must be (K, D) along its mean, (K, D, D) along common or own axes");
    require(!one || (volume_and_shape == "EE" && !turned), "scatter must be (K, D) or (K, D, D), in EEE (1, D, D)");
}

// Fills the covariances that maximise the lower bound of a family, see families.hpp; false where there are none.
bool solve(const std::string& volume_and_shape, const std::string& axes, const In& scatter, const In& mass,
           const std::optional<In>& previous, const Out& covariances) {
    const std::size_t K = mass.size(), D = scatter.ndim() > 1 ? scatter.shape(scatter.ndim() - 1) : 0;
    const bool diagonal = scatter.ndim() == 2;
    require(K > 0 && D > 0 && (diagonal || (scatter.ndim() == 3 && scatter.shape(1) == D)) &&
                (scatter.shape(0) == K || (scatter.shape(0) == 1 && !diagonal)),
            "scatter must be (K, D) or (K, D, D), in EEE (1, D, D)");
    check_family(volume_and_shape, axes, diagonal, scatter.shape(0) < K);
    require(covariances.size() == (axes == "mean" ? K : scatter.size()), "covariances have another shape");
    require(!previous || previous->size() == covariances.size(), "previous covariances have another shape");
    const Level& level = chosen();
    nb::gil_scoped_release release;
    return solve_family(level, volume_and_shape, axes,
                        {std::int64_t(K), std::int64_t(D), std::int64_t(scatter.shape(0)), diagonal, scatter.data(),
                         mass.data(), previous ? previous->data() : nullptr},
                        covariances.data());
}

// Weights, means, covariances as stored, pi_0; ln pi, whitening and the sum of all ln|W|, NaN where a covariance has none.
using FoundParameters = std::tuple<Made, Made, Made, double, Made, Made, double>;

// The parameters of an M-step from sums and what a prior adds to them, see maximisation.hpp. Nothing where the likelihood has
// no maximum.
std::optional<FoundParameters> maximise_bound(
    const GivenSums& sums, bool equal_weights, double added_mass, const In& added, double shrinkage,
    const std::optional<In>& centre, const std::optional<In>& floors, double floor_rows, const std::string& volume_and_shape,
    const std::string& axes, const In& previous) {
    const Moments from = moments(sums);
    check_family(volume_and_shape, axes, from.diagonal, from.slices < from.K);
    const std::size_t K = std::size_t(from.K), D = std::size_t(from.D);
    require(added.size() == D || (added.size() == D * D && !from.diagonal), "added must be (D,) or, not for variances, (D, D)");
    require((!centre || centre->size() == D) && (!floors || floors->size() == D), "centre and floors must be (D,)");
    require(previous.size() == (axes == "mean" ? K : sums.second.size()), "previous covariances have another shape");
    const Supplement supplement{added_mass,
                                added.data(),
                                added.size() > D,
                                shrinkage,
                                centre ? centre->data() : nullptr,
                                floors ? floors->data() : nullptr,
                                floor_rows};
    const Made weights(sums.mass), means(sums.origin), covariances(previous), log_weights(sums.mass), whitening(sums.second);
    const Parameters to{weights.data(), means.data(), covariances.data(), log_weights.data(), whitening.data()};
    const Level& level = chosen();
    double noise = sums.noise_mass, log_root = 0;
    bool found;
    {
        nb::gil_scoped_release release;
        found = maximise(level, from, supplement, equal_weights, volume_and_shape, axes, previous.data(), to, noise, log_root);
    }
    if (!found) return std::nullopt;
    for (const Made* each : {&weights, &means, &covariances, &log_weights, &whitening}) each->freeze();
    return FoundParameters{weights, means, covariances, noise, log_weights, whitening, log_root};
}

// The axes (D, D) that covariances (K, D, D) share best, and the variances (K, D) along them; false if one is flat there.
bool common_axes(const In& covariances, const In& mass, const Out& axes, const Out& variances) {
    require(covariances.ndim() == 3 && covariances.shape(1) == covariances.shape(2), "covariances must be (K, D, D)");
    const std::size_t K = covariances.shape(0), D = covariances.shape(1);
    require(mass.size() == K && axes.size() == D * D && variances.size() == K * D,
            "mass (K,), axes (D, D) or variances (K, D) has another shape");
    nb::gil_scoped_release release;
    return CommonOrientation(covariances.data(), mass.data(), std::int64_t(K), std::int64_t(D))
        .solve(nullptr, axes.data(), variances.data());
}

// Fills the merges (m - 1, 2) of points (m, D), no two alike, with masses (m,), by the names of the clusters.
void merges_of_points(const In& points, const In& masses, const OutLabels2& merges) {
    require(points.ndim() == 2 && masses.size() == points.shape(0) && points.shape(0) > 0 && points.shape(1) > 0,
            "points must be (m, D) and masses (m,)");
    require(merges.shape(0) + 1 == points.shape(0) && merges.shape(1) == 2, "merges must be (m - 1, 2)");
    nb::gil_scoped_release release;
    Forest forest(points.data(), masses.data(), std::int64_t(points.shape(0)), std::int64_t(points.shape(1)));
    for (std::size_t i = 0; i < merges.shape(0); ++i) forest.merge(merges.data() + 2 * i);
}

void order_rows(const AnyRows& x, std::int64_t leaf, int n_threads, const OutOrder& order) {
    const Rows rows = view(x);
    require(order.shape(0) == x.shape(0) && rows.count < (std::int64_t(1) << 31) && leaf > 0,
            "order must be (N,) with N below 2^31, leaf positive");
    nb::gil_scoped_release release;
    spatial_order(rows, std::int64_t(x.shape(1)), leaf, n_threads, order.data());
}

// Fills seeds (n_seeds,), of which the first is given, with points of (D, n); returns how many there are.
std::int64_t seeds_of_points(const In& points, const In& weights, const In& chances, const OutLabels& seeds) {
    require(points.ndim() == 2 && weights.size() == points.shape(1) && chances.ndim() == 2 && seeds.size() > 0 &&
                chances.shape(0) + 1 == seeds.size(),
            "points (D, n), weights (n,), chances (n_seeds - 1, trials) or seeds (n_seeds,) disagree");
    const std::int64_t n = std::int64_t(points.shape(1));
    require(0 <= seeds.data()[0] && seeds.data()[0] < n, "the first seed must be one of the points");
    const Level& level = chosen();
    nb::gil_scoped_release release;
    return draw_seeds(level, points.data(), weights.data(), n, std::int64_t(points.shape(0)), chances.data(),
                      std::int64_t(chances.shape(1)), std::int64_t(seeds.size()), seeds.data());
}

// Adds to mass (K,), first (K, D) and second, fills means where a class has rows.
void sums_of_classes(const AnyRows& x, const std::optional<In>& weights, const InLabels& labels, const Out& mass,
                     const Out& means, const Out& first, const Out& second) {
    Rows rows = view(x);
    rows.weights = weights ? weights->data() : nullptr;
    const std::int64_t N = rows.count, D = std::int64_t(x.shape(1)), K = std::int64_t(mass.size());
    require(std::int64_t(labels.size()) == N && (!weights || std::int64_t(weights->size()) == N), "labels and weights must be (N,)");
    require(second.ndim() == 2 || second.ndim() == 3, "second must be (K, D), (1, D, D) or (K, D, D)");
    const bool diagonal = second.ndim() == 2;
    const std::int64_t slices = std::int64_t(second.shape(0));
    require(K > 0 && D > 0 && std::int64_t(means.size()) == K * D && std::int64_t(first.size()) == K * D &&
                (slices == K || (slices == 1 && !diagonal)) && std::int64_t(second.size()) == slices * D * (diagonal ? 1 : D),
            "means and first must be (K, D), second (K, D), (1, D, D) or (K, D, D)");
    require(std::all_of(labels.data(), labels.data() + N, [K](std::int64_t k) { return k < K; }), "labels must be below K");
    nb::gil_scoped_release release;
    class_sums(rows, labels.data(), K, D, slices, diagonal, mass.data(), means.data(), first.data(), second.data());
}

// Fills gains (P,) of merges of components a and b (P,), with mass (M,), means (M, D), scatter (M, D) or (M, D, D) and
// responsibilities times weights q (n, M).
void merge_gains(const In& mass, const In& means, const In& scatter, const In& q, const InLabels& a, const InLabels& b,
                 bool spherical, const Out& gains) {
    const std::int64_t M = std::int64_t(mass.size());
    require(means.ndim() == 2 && q.ndim() == 2 && std::int64_t(means.shape(0)) == M && std::int64_t(q.shape(1)) == M,
            "mass (M,), means (M, D) and q (n, M) disagree");
    const std::int64_t D = std::int64_t(means.shape(1));
    const bool diagonal = scatter.ndim() == 2;
    require((diagonal || scatter.ndim() == 3) && std::int64_t(scatter.size()) == M * D * (diagonal ? 1 : D) && (diagonal || !spherical),
            "scatter must be (M, D) or (M, D, D)");
    require(a.size() == gains.size() && b.size() == gains.size(), "a, b and gains must be (P,)");
    for (const InLabels& each : {a, b})
        require(std::all_of(each.data(), each.data() + each.size(), [M](std::int64_t k) { return 0 <= k && k < M; }),
                "a and b must be components");
    nb::gil_scoped_release release;
    const Merges merges{M, D, std::int64_t(q.shape(0)), diagonal, spherical, mass.data(), means.data(), scatter.data(), q.data()};
    merges.gains(a.data(), b.data(), std::int64_t(gains.size()), gains.data());
}

std::vector<std::int32_t> tiles_of_rows(const AnyRows& x, std::int64_t K) {
    nb::gil_scoped_release release;
    return compact_tiles(view(x), std::int64_t(x.shape(1)), K);
}

}  // namespace

NB_MODULE(_kernel, m) {
    if (PyArray_ImportNumPyAPI() < 0) throw nb::python_error();
    m.doc() = "The pass over rows, compiled; see gaussmix.kernel for the signatures.";
    m.def("fold", &fold, nb::arg("rows").noconvert(), nb::arg("row_weights").none().noconvert(), nb::arg("log_weights").noconvert(),
          nb::arg("means").noconvert(), nb::arg("whitening").noconvert(), nb::arg("log_noise"), nb::arg("n_threads"),
          nb::arg("tiles").none().noconvert(), nb::arg("order").none().noconvert(),
          "The sums of one pass: mass, first, second, noise mass, weight and L. With compact tiles it may leave out components; "
          "where it would and has no order, it returns None at once.");
    m.def("evaluate", &evaluate, nb::arg("rows").noconvert(), nb::arg("log_weights").noconvert(), nb::arg("means").noconvert(),
          nb::arg("whitening").noconvert(), nb::arg("log_noise"), nb::arg("n_threads"),
          nb::arg("log_density").noconvert(), nb::arg("label").noconvert(), nb::arg("responsibilities").noconvert(),
          "Fills those of log_density, label and responsibilities that are not empty.");
    m.def("coordinates", &coordinates, nb::arg("several"), nb::arg("means"), nb::arg("masses"), nb::arg("whitening"),
          "Statistics about the means of a mixture as vectors, with what compares them behind them; where that begins, and how "
          "far the last two are apart, squared.");
    m.def("propose", &propose, nb::arg("vectors"), nb::arg("last"), nb::arg("ahead"),
          "Noise mass, mass, first and second beyond those of the last pass, or None if the passes tell of none.");
    m.def("maximise", &maximise_bound, nb::arg("statistics"), nb::arg("equal_weights"), nb::arg("added_mass"),
          nb::arg("added"), nb::arg("shrinkage"), nb::arg("centre").none(), nb::arg("floors").none(), nb::arg("floor_rows"),
          nb::arg("volume_and_shape"), nb::arg("axes"), nb::arg("previous"),
          "Weights, means, covariances and the weight of noise of an M-step, all frozen, with ln pi, whitening and the sum of "
          "ln|W|; or None.");
    m.def("prepare", &prepare, nb::arg("weights"), nb::arg("covariances"),
          "ln pi and whitening, frozen, and the sum of ln|W|, NaN where a covariance has none.");
    m.def("scaled_squares", &squares_of_whitening, nb::arg("whitening"), nb::arg("deviations"),
          "The sum of squares of each whitening in units of the features' deviations.");
    m.def("surely_sound", &is_surely_sound, nb::arg("whitening"), nb::arg("covariances"), nb::arg("mass"),
          nb::arg("deviations"), nb::arg("pseudo_rows"), nb::arg("supplied"), nb::arg("few"), nb::arg("larger"),
          "Whether bounds alone tell that pseudo-rows supply little, and that no component of few rows is small beside the "
          "others.");
    m.def("solve", &solve, nb::arg("volume_and_shape"), nb::arg("axes"), nb::arg("scatter"), nb::arg("mass"),
          nb::arg("previous").none(), nb::arg("covariances").noconvert(),
          "Fills the covariances of a family's M-step; false where the likelihood has no maximum.");
    m.def("common_axes", &common_axes, nb::arg("covariances"), nb::arg("mass"), nb::arg("axes").noconvert(),
          nb::arg("variances").noconvert(), "Fills the axes that covariances share, and the variances along them.");
    m.def("merges", &merges_of_points, nb::arg("points"), nb::arg("masses"), nb::arg("merges").noconvert(),
          "Fills merges with those of a hierarchical clustering of distinct points, the cheapest first.");
    m.def("draw_seeds", &seeds_of_points, nb::arg("points"), nb::arg("weights"), nb::arg("chances"),
          nb::arg("seeds").noconvert(), "Fills seeds from the first on by k-means++; returns how many could be told apart.");
    m.def("class_sums", &sums_of_classes, nb::arg("rows").noconvert(), nb::arg("row_weights").none(), nb::arg("labels"),
          nb::arg("mass").noconvert(), nb::arg("means").noconvert(), nb::arg("first").noconvert(),
          nb::arg("second").noconvert(), "Fills the mass, the means and the sums about them of rows of a class each.");
    m.def("merge_gains", &merge_gains, nb::arg("mass"), nb::arg("means"), nb::arg("scatter"), nb::arg("q"), nb::arg("a"),
          nb::arg("b"), nb::arg("spherical"), nb::arg("gains").noconvert(),
          "Fills what merges of pairs of components change EM's lower bound by.");
    m.def("compact_tiles", &tiles_of_rows, nb::arg("rows").noconvert(), nb::arg("n_components"),
          "Some rows, tile by tile near each other, from all over the data, for a look at so many components.");
    m.def("spatial_order", &order_rows, nb::arg("rows").noconvert(), nb::arg("leaf"), nb::arg("n_threads"), nb::arg("order").noconvert(),
          "Fills order with an order of the rows whose runs of `leaf` are compact in space.");
    m.def("instruction_sets", [] {
        std::vector<std::string> names;
        for (const Level* level : available_levels()) names.emplace_back(level->name);
        return names;
    }, "The instruction sets that this machine can run.");
    m.def("instruction_set", [] { return std::string(chosen().name); }, "The one in use; GAUSSMIX_SIMD forces one.");
}
