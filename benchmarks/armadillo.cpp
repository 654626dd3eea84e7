// EM iterations of Armadillo: armadillo FOLDER N D K full|diag ITERATIONS. Files as `by_program` in libraries.py says.
#include <armadillo>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <string>
#include <type_traits>
#include <vector>

static std::vector<double> read(const std::string& path, std::size_t count) {
    std::vector<double> numbers(count);
    std::ifstream file(path, std::ios::binary);
    file.read(reinterpret_cast<char*>(numbers.data()), std::streamsize(count * sizeof(double)));
    if (!file) std::exit(2);
    return numbers;
}

template <class Model>
static int learn(const std::string& folder, arma::uword N, arma::uword D, arma::uword K, arma::uword iterations) {
    constexpr bool full = std::is_same_v<Model, arma::gmm_full>;
    using Covariances = std::conditional_t<full, arma::cube, arma::mat>;
    std::vector<double> x = read(folder + "/rows.bin", N * D), start = read(folder + "/start.bin", K + K * D * (full ? 1 + D : 2));
    const arma::mat rows(x.data(), D, N, false, true);  // a column is a row of ours
    const arma::rowvec weights(start.data(), K);
    const arma::mat means(start.data() + K, D, K);
    Covariances covariances;
    double* from = start.data() + K + K * D;
    if constexpr (full) covariances = arma::cube(from, D, D, K);
    else covariances = arma::mat(from, D, K);

    Model model;
    model.set_params(means, covariances, weights);
    const auto begin = std::chrono::steady_clock::now();
    const bool good = model.learn(rows, K, arma::eucl_dist, arma::keep_existing, 0, iterations, 1e-300, false);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (!good) return 1;

    std::ofstream file(folder + "/end.bin", std::ios::binary);
    auto write = [&](const double* numbers, arma::uword count) {
        file.write(reinterpret_cast<const char*>(numbers), std::streamsize(count * sizeof(double)));
    };
    const double head[] = {seconds, double(iterations)};
    write(head, 2);
    write(model.hefts.memptr(), K), write(model.means.memptr(), K * D);
    if constexpr (full) write(model.fcovs.memptr(), K * D * D);
    else write(model.dcovs.memptr(), K * D);
    return 0;
}

int main(int count, char** arguments) {
    if (count != 7) return 2;
    auto number = [&](int i) { return arma::uword(std::stoull(arguments[i])); };
    return (std::string(arguments[5]) == "full" ? learn<arma::gmm_full> : learn<arma::gmm_diag>)(
        arguments[1], number(2), number(3), number(4), number(6));
}
