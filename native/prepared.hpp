// Parameters as a pass wants them.
#pragma once
#include <cmath>
#include <cstdint>
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
        : constant(K), high(K * D + 64 / sizeof(Real)), low(high.size()), rest(K * D) {
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

}  // namespace gaussmix
