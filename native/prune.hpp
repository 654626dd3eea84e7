// In a large mixture most components have nothing to do with a compact tile. With its centre c and radius R,
// |W_k(x - mu_k)| >= |W_k(c - mu_k)| - |W_k| R bounds l_k from above on the whole tile; a component whose bound lies
// `reach` below what the likeliest component attains everywhere is left out of both steps.
#pragma once
#include "densities.hpp"

namespace {

// An upper bound on every l_k over the tile from its centre c and radius: c_k - max(0, |W_k(c - mu_k)| - |W_k| R)^2 / 2.
// Components lie in the lanes. Returns the likeliest at the centre.
template <class Real>
int bound_components(const Tile<Real>& tile, double radius) {
    constexpr int L = lanes<double>;
    const Components& c = tile.c;
    const int D = tile.D, K = tile.K, rows = c.diagonal ? D : triangle(D);
    int likeliest = 0;
    double most = -std::numeric_limits<double>::infinity();
    for (int k = 0; k < K; k += L) {
        const double* mean = c.turned_means + std::int64_t(k) * D;     // (D, L)
        const double* root = c.turned_roots + std::int64_t(k) * rows;  // (D(D+1)/2, L)
        Vector<double> squared{};
        for (int i = 0; i < D; ++i) {
            Vector<double> y{};
            for (int j = c.diagonal ? i : 0; j <= i; ++j, root += L) y += load(root) * (tile.centre[j] - load(mean + j * L));
            squared += y * y;
        }
        for (int v = 0; v < L && k + v < K; ++v) {
            const double centre = c.constant[k + v] - 0.5 * squared[v];
            if (centre > most) most = centre, likeliest = k + v;
            const double nearest = std::sqrt(squared[v]) - c.norm[k + v] * radius;
            tile.bound[k + v] = c.constant[k + v] - (nearest > 0 ? 0.5 * nearest * nearest : 0.0);
        }
    }
    return likeliest;
}

// Centre of the tile's rows, and the distance of the farthest.
template <class Real>
double enclose(const Tile<Real>& tile) {
    Vector<Real> farthest{};
    for (int j = 0; j < tile.D; ++j) {
        Vector<Real> total{};
        for (int t = 0; t < tile.T; t += lanes<Real>) total += load(tile.feature(j, t));
        tile.centre[j] = sum<Real>(total) / tile.T;
    }
    for (int t = 0; t < tile.T; t += lanes<Real>) {
        Vector<Real> squared{};
        for (int j = 0; j < tile.D; ++j) {
            const Vector<Real> r = load(tile.feature(j, t)) - Real(tile.centre[j]);
            squared += r * r;
        }
        farthest = squared > farthest ? squared : farthest;
    }
    double radius = 0;
    for (int i = 0; i < lanes<Real>; ++i) radius = radius > farthest[i] ? radius : farthest[i];
    return std::sqrt(radius) * (sizeof(Real) == 8 ? 1 + 1e-9 : 1 + 1e-4);
}

// Fills `active` with the components that may come within `reach` of the likeliest one somewhere in the tile.
template <class Real>
void choose_active(Tile<Real>& tile) {
    const Components& c = tile.c;
    const bool pruning = c.reach < std::numeric_limits<double>::infinity();
    double least = 0;
    int likeliest = 0;
    if (pruning) {
        likeliest = bound_components(tile, enclose(tile));
        distances(tile, likeliest, 0, tile.T, tile.distance);
        least = tile.distance[0];
        for (int t = 1; t < tile.filled; ++t) least = tile.distance[t] < least ? double(tile.distance[t]) : least;
    }
    tile.used = 0;
    for (int k = 0; k < tile.K; ++k)
        if (!pruning || tile.bound[k] > least - c.reach || c.always[k] || k == likeliest) {
            tile.place[tile.used] = tile.used;
            tile.active[tile.used++] = k;
        }
    tile.place[tile.used] = tile.used;
}

// Drops the active components whose l_k lies `reach` below the largest in every row; the others keep their order.
template <class Real>
void drop_unlikely(Tile<Real>& tile) {
    Real* largest = tile.distance;
    for (int a = 0; a < tile.used; ++a)
        for (int t = 0; t < tile.T; t += lanes<Real>) {
            const Vector<Real> l = load(tile.slot(a) + t), most = load(largest + t);
            store(largest + t, l > most ? l : most);
        }
    int kept = 0;
    for (int a = 0; a < tile.used; ++a) {
        Integers<Real> any{};
        for (int t = 0; t < tile.T; t += lanes<Real>)
            any |= load(tile.slot(a) + t) > load(largest + t) - Real(tile.c.reach);
        bool matters = tile.c.always[tile.active[a]];
        for (int i = 0; i < lanes<Real>; ++i) matters |= any[i] != 0;
        if (!matters) continue;
        tile.active[kept] = tile.active[a];
        tile.place[kept++] = tile.place[a];
    }
    tile.place[kept] = tile.place[tile.used];
    tile.used = kept;
}

}  // namespace
