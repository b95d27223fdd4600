"""`python -m utils.authoring.benchmarks [names]`: measure the speed figures of the report, all or some of them."""

import argparse

from utils.authoring import benchmarks

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("names", nargs="*", help="which benchmarks; all by default")
benchmarks.run(parser.parse_args().names)
