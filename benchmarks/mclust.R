# EM iterations of mclust: mclust.R FOLDER N D K full|diag ITERATIONS. Files as `by_program` in libraries.py says.
suppressPackageStartupMessages(library(mclust))
arguments <- commandArgs(trailingOnly = TRUE)
folder <- arguments[1]
N <- as.integer(arguments[2]); D <- as.integer(arguments[3]); K <- as.integer(arguments[4])
full <- arguments[5] == "full"
model <- if (full) "VVV" else "VVI"

numbers <- function(name) {
  path <- file.path(folder, name)
  readBin(path, "double", n = file.size(path) / 8)
}
rows <- matrix(numbers("rows.bin"), N, D, byrow = TRUE)
start <- numbers("start.bin")
spread <- tail(start, -(K + K * D))
sigma <- if (full) array(spread, c(D, D, K)) else
  array(apply(matrix(spread, D, K), 2, function(v) diag(v, D)), c(D, D, K))
variance <- list(modelName = model, d = D, G = K, sigma = sigma)
if (full) {
  variance$cholsigma <- array(apply(sigma, 3, chol), c(D, D, K))
} else {
  variances <- matrix(spread, D, K)
  variance$scale <- exp(colMeans(log(variances)))
  variance$shape <- sweep(variances, 2, variance$scale, "/")
}
parameters <- list(pro = head(start, K), mean = matrix(start[K + seq_len(K * D)], D, K), variance = variance)

control <- emControl(itmax = as.integer(arguments[6]), tol = c(0, 0))
begin <- Sys.time()
fit <- em(rows, model, parameters, control = control)
seconds <- as.numeric(Sys.time() - begin, units = "secs")
end <- fit$parameters
sigma <- if (full) end$variance$sigma else apply(end$variance$sigma, 3, diag)
writeBin(c(seconds, abs(attr(fit, "info")[["iterations"]]), end$pro, end$mean, sigma), file.path(folder, "end.bin"))
