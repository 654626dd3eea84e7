// The orientation that components share, the M-step of EVE and VVE: covariances D diag(tau_k) D^T up to their volumes.
// With T_k = D^T S_k D and its diagonal tau_k, D minimises
//
//   VVE:  sum_k n_k v_k        EVE:  sum_k exp v_k        v_k = (1 / D) sum_j ln tau_kj
//
// (Flury & Gautschi 1986, SIAM J. Sci. Stat. Comput. 7, 169-184; Celeux & Govaert 1995). Sweeps rotate one pair of
// columns after the other, each downhill; where they would converge linearly, Newton's step for all pairs together
// (conjugate gradients, with what each pair would do alone as preconditioner) ends it quadratically.
//
// What is rotated are the columns of Y_k = R_k D, R_k^T R_k = S_k (one-sided Jacobi): tau, their sums of squares, never
// cancel, so that a variance 1e-12 of another keeps ten digits.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "axes.hpp"

namespace gaussmix {

// R (D, D), upper triangular, with R^T R = S (D, D) / unit. What is flat gets a variance of 2^-80, in units of each
// feature; whether nothing is.
inline bool upper_root(const double* scatter, double unit, std::int64_t D, double* root) {
    constexpr double flat = 0x1p-50, tiny = 0x1p-40;
    std::vector<double> scale(D);
    for (std::int64_t i = 0; i < D; ++i) {
        const double variance = scatter[i * D + i] / unit;
        scale[i] = variance > 0 ? std::sqrt(variance) : 0;
    }
    auto correlation = [&](std::int64_t i, std::int64_t j) {
        return scale[i] > 0 && scale[j] > 0 ? scatter[i * D + j] / unit / scale[i] / scale[j] : 0.0;
    };
    std::fill(root, root + D * D, 0.0);
    bool extended = true;
    for (std::int64_t i = 0; i < D; ++i) {
        for (std::int64_t j = i; j < D; ++j) root[i * D + j] = correlation(i, j);
        for (std::int64_t k = 0; k < i; ++k)
            for (std::int64_t j = i; j < D; ++j) root[i * D + j] -= root[k * D + i] * root[k * D + j];
        const bool spread = root[i * D + i] > flat;
        extended = extended && spread;
        const double pivot = spread ? std::sqrt(root[i * D + i]) : tiny;
        for (std::int64_t j = i + 1; j < D; ++j) root[i * D + j] = spread ? root[i * D + j] / pivot : 0;
        root[i * D + i] = pivot;
    }
    for (std::int64_t i = 0; i < D; ++i)
        for (std::int64_t j = i; j < D; ++j) root[i * D + j] *= scale[j];
    return extended;
}

// Whether the variance of R^T R along an axis is more than the rounding of what it were, had all correlations been one.
inline bool extends(const double* root, const double* axis, double variance, std::int64_t D) {
    double reach = 0;
    for (std::int64_t i = 0; i < D; ++i) {
        double own = 0;
        for (std::int64_t l = 0; l <= i; ++l) own += root[l * D + i] * root[l * D + i];
        reach += std::sqrt(own) * std::abs(axis[i]);
    }
    return variance > 0x1p-52 * reach * reach;
}

// The eigenvectors (D, D), in columns, of a symmetric matrix (D, D), which is overwritten: Jacobi's method on both sides.
// Small entries are as exact as large ones, which those of own_axes are not: R times an axis does not cancel.
inline void eigenvectors(std::vector<double>& matrix, std::int64_t D, std::vector<double>& vectors) {
    vectors.assign(D * D, 0.0);
    for (std::int64_t i = 0; i < D; ++i) vectors[i * D + i] = 1;
    auto turn = [D](std::vector<double>& of, std::int64_t p, std::int64_t q, double cosine, double sine, std::int64_t along,
                    std::int64_t across) {
        for (std::int64_t i = 0; i < D; ++i) {
            double &first = of[i * along + p * across], &second = of[i * along + q * across];
            const double u = first, v = second;
            first = cosine * u + sine * v, second = cosine * v - sine * u;
        }
    };
    bool turned = true;
    for (int sweep = 0; sweep < 30 && turned; ++sweep) {
        turned = false;
        for (std::int64_t q = 1; q < D; ++q)
            for (std::int64_t p = 0; p < q; ++p) {
                const double a = matrix[p * D + p], b = matrix[q * D + q], g = matrix[p * D + q];
                if (!(std::abs(g) > 1e-15 * std::sqrt(std::abs(a) * std::abs(b)))) continue;
                const double angle = 0.5 * std::atan2(a < b ? -2 * g : 2 * g, std::abs(a - b));
                const double cosine = std::cos(angle), sine = std::sin(angle);
                turn(matrix, p, q, cosine, sine, D, 1), turn(matrix, p, q, cosine, sine, 1, D);
                turn(vectors, p, q, cosine, sine, D, 1);
                turned = true;
            }
    }
}

class CommonOrientation {
public:
    // scatter (K, D, D) and, for VVE, the masses (K,); null for EVE.
    CommonOrientation(const double* scatter, const double* mass, std::int64_t K, std::int64_t D)
        : K(K), D(D), mass(mass), scatter(scatter), roots(K * D * D), y(D * (K + 1) * D), tau(D * K), c(K), a(K), b(K),
          g(K) {}

    // Descends from the axes of the whole scatter and those of `previous` covariances (K, D, D), or, when that is null,
    // of each component: from the lowest after a first sweep. axes (D, D), variances tau (K, D). False when a component
    // has no extent along one of the axes, or for VVE none in some direction, so that there is no maximum.
    bool solve(const double* previous, double* axes, double* variances) {
        double unit;
        if (!unit_between(scatter, K, D, unit)) return false;
        bool spread = true;
        for (std::int64_t k = 0; k < K; ++k)
            spread = upper_root(scatter + k * D * D, unit, D, roots.data() + k * D * D) && spread;
        if (mass && !spread) return false;
        start(previous);
        descend(previous ? some : most);
        bool extended = true;
        for (std::int64_t j = 0; j < D; ++j) {
            for (std::int64_t i = 0; i < D; ++i) axes[i * D + j] = column(j, K)[i];
            for (std::int64_t k = 0; k < K; ++k) {
                variances[k * D + j] = tau[j * K + k] * unit;
                extended = extended && extends(roots.data() + k * D * D, column(j, K), tau[j * K + k], D);
            }
        }
        return extended;
    }

private:
    static constexpr double stationary = 1e-9;    // slope in units in which every component is a correlation
    static constexpr double near = 0.3;           // slope below which Newton's step is worth its cost
    static constexpr double reach = 0.5;          // a step's largest angle
    static constexpr std::int64_t widest = 200;   // features up to which the Hessian is kept, D matrices (D, D)
    // Steps at most, and where the next M-step goes on from here: only where components are all but flat, and the valley
    // between them narrow and winding, are these not enough.
    static constexpr int most = 300, some = 25;

    const std::int64_t K, D;
    const double *const mass, *const scatter;
    std::vector<double> roots, y, tau;  // R_k; columns (D, K + 1, D) of every Y_k, then of D itself; (D, K)
    std::vector<double> c, a, b, g;     // (K): weights, and squares and products of a pair
    std::vector<double> T, E, gamma, gradient, hessian, x, r, z, p, hp;  // Newton's

    static double square(double v) { return v * v; }
    double* column(std::int64_t j, std::int64_t k) { return y.data() + (j * (K + 1) + k) * D; }

    double trace(const double* matrix) const {
        double sum = 0;
        for (std::int64_t i = 0; i < D; ++i) sum += matrix[i * D + i];
        return sum;
    }

    void start(const double* previous) {
        std::vector<double> lowest, sum(D * D);
        double least = std::numeric_limits<double>::infinity();
        auto from = [&](const double* matrices, std::int64_t count, bool alike) {
            std::fill(sum.begin(), sum.end(), 0.0);
            for (std::int64_t k = 0; k < count; ++k) {
                const double share = alike ? 1 : 1 / (double(k + 1) * trace(matrices + k * D * D));
                for (std::int64_t i = 0; i < D * D; ++i) sum[i] += share * matrices[k * D * D + i];
            }
            begin(sum);
            sweep(true);
            const double reached = value();
            if (lowest.empty() || reached < least) least = reached, lowest = y;
        };
        from(scatter, K, true);
        // Unequal shares, so that components whose axes are ordered differently do not add up to a sphere.
        if (previous) from(previous, K, false);
        for (std::int64_t k = 0; k < K && !previous; ++k) from(scatter + k * D * D, 1, true);
        y.swap(lowest);
    }

    // Columns turned to the axes of a symmetric matrix.
    void begin(std::vector<double>& matrix) {
        std::vector<double> vectors;
        eigenvectors(matrix, D, vectors);
        for (std::int64_t j = 0; j < D; ++j) {
            double* const axis = column(j, K);
            for (std::int64_t i = 0; i < D; ++i) axis[i] = vectors[i * D + j];
            for (std::int64_t k = 0; k < K; ++k)
                for (std::int64_t i = 0; i < D; ++i)
                    column(j, k)[i] = dot(roots.data() + (k * D + i) * D + i, axis + i, D - i);
        }
        measure();
    }

    void measure() {
        for (std::int64_t j = 0; j < D; ++j)
            for (std::int64_t k = 0; k < K; ++k) tau[j * K + k] = dot(column(j, k), column(j, k), D);
    }

    double log_volume(std::int64_t k) const {
        double sum = 0;
        for (std::int64_t j = 0; j < D; ++j) sum += std::log(tau[j * K + k]);
        return sum / double(D);
    }

    // The objective, and c_k, its derivative by v_k.
    double value() {
        double sum = 0;
        for (std::int64_t k = 0; k < K; ++k) {
            const double v = log_volume(k);
            c[k] = mass ? mass[k] : std::exp(v);
            sum += mass ? mass[k] * v : c[k];
        }
        return sum;
    }

    void descend(int steps) {
        measure();
        for (int i = 0; i < steps && D > 1; ++i) {
            const double steepest = slopes();
            if (steepest <= stationary) return;
            if (steepest > near || !newton()) sweep(false);
        }
    }

    // ---- one pair after the other ------------------------------------------------------------------------------

    void sweep(bool search) {
        value();
        for (std::int64_t q = 1; q < D; ++q)
            for (std::int64_t p = 0; p < q; ++p) rotate(p, q, search);
    }

    // Turns columns p and q by the best of some angles: the majorising one (phi replaced by its tangent in tau_p and
    // tau_q, which lies above it: Flury & Gautschi's inner step, never uphill), Newton's, and in a search those that suit
    // each component alone.
    void rotate(std::int64_t p, std::int64_t q, bool search) {
        double slope = 0, spread = 0, bound = 0;
        const double exponent = mass ? 0 : 1 / double(D);
        for (std::int64_t k = 0; k < K; ++k) {
            a[k] = tau[p * K + k], b[k] = tau[q * K + k], g[k] = dot(column(p, k), column(q, k), D);
            const double pull = 1 / a[k] - 1 / b[k];
            slope += 2 * c[k] * pull * g[k];
            spread += c[k] * pull * (b[k] - a[k]);
            bound += c[k] * (4 * square(g[k] / a[k]) + 4 * square(g[k] / b[k]) - exponent * square(2 * g[k] * pull));
        }
        double best = 0, least = 0;
        auto consider = [&](double angle) {
            const double reached = change(angle, exponent);
            if (reached < least) least = reached, best = angle;
        };
        consider(0.5 * std::atan2(-slope, spread));
        if (2 * spread > bound) consider(-slope / (2 * spread - bound));
        for (std::int64_t k = 0; search && k < K; ++k)
            consider(0.5 * std::atan2(a[k] < b[k] ? -2 * g[k] : 2 * g[k], std::abs(a[k] - b[k])));
        if (best == 0) return;
        const double cosine = std::cos(best), sine = std::sin(best);
        double *const first = column(p, 0), *const second = column(q, 0);
        for (std::int64_t i = 0; i < (K + 1) * D; ++i) {
            const double u = first[i], v = second[i];
            first[i] = cosine * u + sine * v, second[i] = cosine * v - sine * u;
        }
        for (std::int64_t k = 0; k < K; ++k) {
            tau[p * K + k] = dot(column(p, k), column(p, k), D), tau[q * K + k] = dot(column(q, k), column(q, k), D);
            if (!mass) c[k] *= std::pow(tau[p * K + k] / a[k] * (tau[q * K + k] / b[k]), exponent);
        }
    }

    // Sum of c_k phi(tau_p' tau_q' / tau_p tau_q), phi(x) = (x^r - 1) / r or ln x, after a rotation of the pair.
    double change(double angle, double exponent) const {
        const double cosine = std::cos(angle), sine = std::sin(angle);
        double sum = 0;
        for (std::int64_t k = 0; k < K; ++k) {
            const double twist = 2 * cosine * sine * g[k];
            const double ratio = (cosine * cosine * a[k] + twist + sine * sine * b[k]) / a[k] *
                                 ((sine * sine * a[k] - twist + cosine * cosine * b[k]) / b[k]);
            const double gain = std::log(ratio);
            sum += c[k] * (mass ? gain : std::expm1(exponent * gain) / exponent);
        }
        return sum;
    }

    // ---- all pairs together ------------------------------------------------------------------------------------
    //
    // With D exp X, X skew, w_kj = T_kj / tau_kj and G = sum_k c_k T_k diag(1 / tau_k):
    //
    //   ln tau_kj' = ln tau_kj + 2 w_kj^T x_j + x_j^T (T_k / tau_kj - 2 w_kj w_kj^T) x_j + (T_k X^2)_jj / tau_kj,
    //
    // so that half the gradient is G - G^T and half the Hessian takes X to Z - Z^T,
    //
    //   z_j = H_j x_j,   H_j = sum_k c_k (T_k / tau_kj - 2 w_kj w_kj^T) - (G + G^T) / 2,
    //
    // for EVE with sum_k (c_k / D) E_k <E_k, X>, E_k = w_k - w_k^T, on top.

    // Fills T, E, G and the gradient; returns the steepest slope of a pair.
    double slopes() {
        const std::int64_t size = D * D;
        T.resize(K * size), E.resize(K * size), gamma.assign(size, 0.0), gradient.resize(size);
        value();
        for (std::int64_t k = 0; k < K; ++k)
            for (std::int64_t i = 0; i < D; ++i)
                for (std::int64_t j = i; j < D; ++j)
                    T[k * size + i * D + j] = T[k * size + j * D + i] =
                        i == j ? tau[j * K + k] : dot(column(i, k), column(j, k), D);
        for (std::int64_t k = 0; k < K; ++k)
            for (std::int64_t i = 0; i < D; ++i)
                for (std::int64_t j = 0; j < D; ++j) {
                    const double t = T[k * size + i * D + j], w = t / tau[j * K + k];
                    E[k * size + i * D + j] = w - t / tau[i * K + k];
                    gamma[i * D + j] += c[k] * w;
                }
        double total = 0, steepest = 0;
        for (std::int64_t k = 0; k < K; ++k) total += c[k];
        for (std::int64_t i = 0; i < D; ++i)
            for (std::int64_t j = 0; j < D; ++j) {
                gradient[i * D + j] = gamma[i * D + j] - gamma[j * D + i];
                const double unit = std::max(total * alone(i, j), std::numeric_limits<double>::min());
                if (i < j) steepest = std::max(steepest, square(2 * gradient[i * D + j]) / unit);
            }
        return std::sqrt(steepest);
    }

    // Half the curvature of a pair that has no slope: its spread.
    double alone(std::int64_t i, std::int64_t j) const {
        double sum = 0;
        for (std::int64_t k = 0; k < K; ++k)
            sum += c[k] * (tau[i * K + k] / tau[j * K + k] - 1) * (1 - tau[j * K + k] / tau[i * K + k]);
        return std::min(sum, 1e150);
    }

    // Takes Newton's step, shortened until it goes down; false when none does.
    bool newton() {
        solve_newton();
        double longest = 0;
        for (double v : x) longest = std::max(longest, std::abs(v));
        if (!(longest > 0)) return false;
        const std::vector<double> before = y, old = tau;
        const double reached = value();
        double rounding = 0;
        for (std::int64_t k = 0; k < K; ++k) rounding += 0x1p-50 * c[k] * (mass ? std::abs(log_volume(k)) + 1 : 1);
        for (double length = std::min(1.0, reach / longest); length > 1e-3; length /= 4) {
            turn(length);
            if (value() <= reached + rounding) return true;
            y = before, tau = old;
        }
        return false;
    }

    // Columns turned by Cayley's transform (I - X/2)^-1 (I + X/2), orthogonal, and exp X to second order.
    void turn(double length) {
        std::vector<double> left(D * D), right(D * D), turned((K + 1) * D * D);
        for (std::int64_t i = 0; i < D; ++i)
            for (std::int64_t j = 0; j < D; ++j) {
                const double half = length / 2 * x[i * D + j];
                left[i * D + j] = double(i == j) - half, right[i * D + j] = double(i == j) + half;
            }
        for (std::int64_t k = 0; k < D; ++k)  // Gauss-Jordan; without pivoting, for the symmetric part is I
            for (std::int64_t i = 0; i < D; ++i) {
                const double factor = i == k ? 1 - 1 / left[k * D + k] : left[i * D + k] / left[k * D + k];
                for (std::int64_t j = k; j < D; ++j) left[i * D + j] -= factor * left[k * D + j];
                for (std::int64_t j = 0; j < D; ++j) right[i * D + j] -= factor * right[k * D + j];
            }
        for (std::int64_t j = 0; j < D; ++j)
            for (std::int64_t i = 0; i < D; ++i) {
                const double factor = right[i * D + j];
                const double* const from = column(i, 0);
                double* const to = turned.data() + j * (K + 1) * D;
                for (std::int64_t l = 0; l < (K + 1) * D; ++l) to[l] += factor * from[l];
            }
        y.swap(turned);
        measure();
    }

    // X with (half Hessian) X = -(half gradient) by preconditioned conjugate gradients, as far as the curvature is
    // positive and the step worth it.
    void solve_newton() {
        const std::int64_t size = D * D;
        x.assign(size, 0.0), r.resize(size), z.resize(size), p.assign(size, 0.0), hp.resize(size);
        hessian.resize((D > widest ? 1 : D) * size);
        for (std::int64_t j = 0; j < D && D <= widest; ++j) fill_hessian(j);
        std::vector<double> weights(size);
        double total = 0;
        for (std::int64_t k = 0; k < K; ++k) total += c[k];
        for (std::int64_t i = 0; i < D; ++i)
            for (std::int64_t j = 0; j < D; ++j) weights[i * D + j] = std::max(alone(i, j), 1e-10 * total);
        auto precondition = [&] {
            for (std::int64_t i = 0; i < size; ++i) z[i] = r[i] / weights[i];
            return dot(r.data(), z.data(), size);
        };
        for (std::int64_t i = 0; i < size; ++i) r[i] = -gradient[i];
        const double first = precondition();
        const double enough = first * std::min(0.01, first / total);
        double now = first, last = 0;
        for (std::int64_t step = 0; step < 3 * D && now > enough; ++step) {
            for (std::int64_t i = 0; i < size; ++i) p[i] = z[i] + (step ? now / last : 0) * p[i];
            curve();
            const double curvature = dot(p.data(), hp.data(), size);
            double own = 0;
            for (std::int64_t i = 0; i < size; ++i) own += weights[i] * p[i] * p[i];
            if (!(curvature > 1e-10 * own)) {  // downhill and no end: as far as a step may go
                double longest = std::numeric_limits<double>::min();
                for (double v : p) longest = std::max(longest, std::abs(v));
                for (std::int64_t i = 0; i < size; ++i) x[i] += reach / longest * p[i];
                return;
            }
            for (std::int64_t i = 0; i < size; ++i)
                x[i] += now / curvature * p[i], r[i] -= now / curvature * hp[i];
            last = now, now = precondition();
        }
    }

    // H_j (D, D), in the place that all columns share where there are many.
    const double* fill_hessian(std::int64_t j) {
        const std::int64_t size = D * D;
        double* const h = hessian.data() + (D > widest ? 0 : j * size);
        for (std::int64_t i = 0; i < D; ++i)
            for (std::int64_t l = 0; l < D; ++l) h[i * D + l] = -0.5 * (gamma[i * D + l] + gamma[l * D + i]);
        for (std::int64_t k = 0; k < K; ++k) {
            const double *const t = T.data() + k * size, precision = c[k] / tau[j * K + k];
            for (std::int64_t i = 0; i < D; ++i) {
                const double twice = 2 * t[j * D + i] / tau[j * K + k];
                for (std::int64_t l = 0; l < D; ++l) h[i * D + l] += precision * (t[i * D + l] - twice * t[j * D + l]);
            }
        }
        return h;
    }

    // hp = (half Hessian) p. Row j of p is -x_j, and H_j symmetric.
    void curve() {
        const std::int64_t size = D * D;
        std::vector<double> image(size, 0.0);  // rows -z_j
        for (std::int64_t j = 0; j < D; ++j) {
            const double* const h = D > widest ? fill_hessian(j) : hessian.data() + j * size;
            for (std::int64_t l = 0; l < D; ++l)
                for (std::int64_t i = 0; i < D; ++i) image[j * D + i] += p[j * D + l] * h[l * D + i];
        }
        for (std::int64_t i = 0; i < D; ++i)
            for (std::int64_t j = 0; j < D; ++j) hp[i * D + j] = image[i * D + j] - image[j * D + i];
        for (std::int64_t k = 0; k < K && !mass; ++k) {
            const double* const e = E.data() + k * size;
            const double along = c[k] / double(D) * dot(e, p.data(), size);
            for (std::int64_t i = 0; i < size; ++i) hp[i] += along * e[i];
        }
    }
};

}  // namespace gaussmix
