"""One target in this process: `python -m tests.fuzz.run NAME [options of libFuzzer] [folders]`."""

import importlib
import logging
import sys
import warnings

import atheris

# What is measured for coverage: our parsers, not the libraries under them.
OURS = ["callcenter"]


def main() -> None:
    """Never returns: libFuzzer ends the process."""
    name = sys.argv.pop(1)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("error")
    with atheris.instrument_imports(include=OURS):
        target = importlib.import_module(f"tests.fuzz.targets.{name}")
    atheris.Setup(sys.argv, target.one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
