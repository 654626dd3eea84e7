# Choices of mclust: select.R FILE, rows without a header. For each line of its input it chooses among all models with
# one to nine components, and prints the seconds, the model, the number of components and BIC (higher is better).
suppressPackageStartupMessages(library(mclust))
rows <- as.matrix(read.csv(commandArgs(trailingOnly = TRUE)[1], header = FALSE))
input <- file("stdin", "r")
while (length(readLines(input, n = 1)) > 0) {
  begin <- Sys.time()
  fit <- Mclust(rows, G = 1:9, verbose = FALSE)
  seconds <- as.numeric(Sys.time() - begin, units = "secs")
  cat(seconds, fit$modelName, fit$G, fit$bic, "\n")
  flush(stdout())
}
