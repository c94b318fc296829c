"""Makes the demo's environment; `make demo` runs `python3 deploy/demo_environment.py .venv-demo`.

It needs nothing but Python and says in the first second whether this Python will do. Packages come
by hash from `demo.lock`, as wheels alone: nothing of them runs before its hash is known. Each stage
is one line; on a terminal the download's line counts up.
"""

import os
import re
import subprocess
import sys

OLDEST, NEWEST = (3, 11), (3, 13)
DOWNLOAD_BYTES = 500 * 10**6  # about; the wheels of demo.lock on Linux
HERE = os.path.dirname(os.path.abspath(__file__))
LOCKED = ("--require-hashes", "--no-deps", "--only-binary=:all:", "-r")

# No new syntax here: an old Python must be able to read this file to say what is wrong.


def main():
    """Makes it in the folder that is named; 0 when it is there."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        found = ".".join(str(part) for part in sys.version_info[:3])
        print(
            "The demo needs Python 3.11, 3.12 or 3.13; this is Python %s.\n"
            "Name another one: make demo PYTHON=python3.13" % found
        )
        return 1
    folder = sys.argv[1]
    python = os.path.join(folder, "bin", "python")
    say("1 of 4: making an environment in %s" % folder)
    if subprocess.call([sys.executable, "-m", "venv", folder]) != 0:
        print("Python's venv module is missing; on Debian: apt install python3-venv")
        return 1
    install(python, os.path.join(HERE, "images", "build.lock"))
    say("2 of 4: downloading about %s of packages and models" % gigabytes(DOWNLOAD_BYTES))
    if install(python, os.path.join(HERE, "demo.lock"), counting=True) != 0:
        print("The packages could not be installed, for the reason above. Then: make demo again.")
        return 1
    root = os.path.dirname(HERE)
    own = ["--no-deps", "--no-build-isolation", "--editable", root]
    return subprocess.call([python, "-m", "pip", "install", "--quiet", *own])


def install(python, lock, counting=False):
    """Installs a lock file's packages; pip's exit code."""
    command = [python, "-m", "pip", "install", "--disable-pip-version-check"]
    command += (["--progress-bar", "raw"] if counting else ["--quiet"]) + list(LOCKED) + [lock]
    environment = dict(os.environ, PYTHONUNBUFFERED="1")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, text=True
    ) as pip:
        said = [follow(line, counted) for counted in [Progress()] for line in pip.stdout]
    if pip.returncode != 0:
        print("".join(said[-20:]))
    return pip.returncode


class Progress:
    """How much has come: whole files, and the one under way."""

    def __init__(self):
        self.done = self.current = 0
        self.shown = ""

    def took(self, current, whole):
        """Counts a file's progress."""
        if current < self.current:
            self.current = 0
        self.current = current
        if current >= whole:
            self.done, self.current = self.done + whole, 0
        text = "        %s of about %s" % (
            gigabytes(self.done + self.current),
            gigabytes(DOWNLOAD_BYTES),
        )
        if sys.stdout.isatty() and text != self.shown:
            self.shown = text
            print("\r" + text, end="", flush=True)


def follow(line, progress):
    """Takes one line of pip's; gives it back."""
    found = re.match(r"Progress (\d+) of (\d+)", line)
    if found:
        progress.took(int(found.group(1)), int(found.group(2)))
    elif line.startswith("Installing collected packages"):
        if progress.shown:
            print()
        say("3 of 4: unpacking them (about 1.2 GB)")
    return "" if found else line


def gigabytes(count):
    """A number of bytes for people."""
    return "%.2f GB" % (count / 1e9)


def say(text):
    """One line, at once."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
