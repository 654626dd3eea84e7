"""The installed wheel, away from the checkout: it imports, fits, brings its types, and its command runs."""

import csv
import subprocess
import sys
from pathlib import Path

import gaussmix

package = Path(gaussmix.__file__).parent
assert package.is_relative_to(sys.prefix), f"not the installed package: {package}"
for name in ("py.typed", "_kernel.pyi"):
    assert (package / name).is_file(), f"{name} is missing from the wheel"

with open("old_faithful.csv", newline="") as file:
    rows = [[float(value) for value in row] for row in list(csv.reader(file))[1:]]
model = gaussmix.GaussianMixture(n_components=2, random_state=0).fit(rows)
log_likelihood = model.score(rows) * len(rows)
assert model.converged_
assert abs(log_likelihood + 1130.26) < 0.1, log_likelihood

command = Path(sys.prefix, "bin", "gaussmix")
fit = [str(command), "fit", "old_faithful.csv", "--output-dir", "out"]
subprocess.run(fit, check=True, stdout=subprocess.DEVNULL)
assert Path("out", "old_faithful.gaussmix.json").is_file(), sorted(
    path.name for path in Path("out").iterdir()
)

print(f"the wheel of gaussmix {gaussmix.__version__} works on Python {sys.version.split()[0]}")
