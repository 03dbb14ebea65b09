"""Installs, pinned, what the suites need, once, under interop/.cache (or $DUOLOG_CACHE).

A stamp with the hash of what was asked for stands beside each install, so that a changed pin installs anew;
a directory lock keeps two runs that share a cache from installing at once.
"""

import contextlib
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import time

INTEROP = pathlib.Path(__file__).resolve().parents[1]
CACHE = pathlib.Path(os.environ.get("DUOLOG_CACHE") or INTEROP / ".cache").resolve()
LOCK_SECONDS = 600


@contextlib.contextmanager
def lock(name):
    """mkdir is atomic, so whoever makes the directory holds the lock."""
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / f"{name}.lock"
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            path.mkdir()
            break
        except FileExistsError:
            if time.monotonic() > deadline:
                raise SystemExit(f"{path} is held for {LOCK_SECONDS} s; remove it if no other run installs")
            time.sleep(0.2)
    try:
        yield
    finally:
        path.rmdir()


def once(name, inputs, do):
    """Runs `do` unless the stamp says that it ran with the same input files."""
    wanted = hashlib.sha256(b"\0".join(path.read_bytes() for path in inputs)).hexdigest()
    stamp = CACHE / f"{name}.stamp"
    with lock(name):
        if stamp.exists() and stamp.read_text() == wanted:
            return
        print(f"installing {name}", file=sys.stderr, flush=True)
        started = time.monotonic()
        do()
        stamp.write_text(wanted)
        print(f"installed {name} ({time.monotonic() - started:.1f} s)", file=sys.stderr, flush=True)


def run(*command, **options):
    """Runs an installer quietly; its output is shown only when it fails."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, **options)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")


def venv(name, requirements):
    """The programs of a virtual environment with what is asked for."""
    directory = CACHE / name

    def do():
        run(sys.executable, "-m", "venv", "--clear", directory)
        run(directory / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements)

    once(name, [requirements], do)
    return directory / "bin"


def python():
    """The interpreter of a virtual environment with the Python clients."""
    return venv("venv", INTEROP / "python" / "requirements.txt") / "python"


def node_modules(name="node", sources=INTEROP / "node"):
    """The directory to run node scripts in: they resolve their modules from it."""
    package, package_lock = sources / "package.json", sources / "package-lock.json"
    directory = CACHE / name

    def do():
        directory.mkdir(parents=True, exist_ok=True)
        shutil.copy(package, directory)
        shutil.copy(package_lock, directory)
        run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=directory)

    once(name, [package, package_lock], do)
    return directory


def kafka_jars():
    """Apache Kafka's client, tools and broker with all they depend on."""
    pom = INTEROP / "java" / "pom.xml"
    jars = CACHE / "kafka" / "libs"
    once("kafka", [pom], lambda: run(
        "mvn", "-q", "-B", "-f", pom, "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies",
        f"-DoutputDirectory={jars}", "-DincludeScope=runtime"))
    return jars


def java_classes():
    """Our Java checks, compiled against the jars."""
    jars = kafka_jars()
    sources = sorted((INTEROP / "java").glob("*.java"))
    classes = CACHE / "java-classes"
    once("java-classes", sources, lambda: run("javac", "-Xlint:all,-try", "-cp", f"{jars}/*", "-d", classes, *sources))
    return f"{classes}:{jars}/*"


def kcat():
    """Debian's kcat; the one install that goes to the system, since no registry carries the program."""
    found = shutil.which("kcat")
    if found:
        return found
    apt = ["apt-get", "install", "-y", "--no-install-recommends", "kcat"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with lock("apt"):
        print("installing kcat", file=sys.stderr, flush=True)
        if subprocess.run(apt, env=environment, stdin=subprocess.DEVNULL, capture_output=True).returncode:
            run("apt-get", "update", env=environment)
            run(*apt, env=environment)
    return shutil.which("kcat") or "kcat"


def go_program(sources, name):
    """A Go program of ours, built against the modules that its go.sum pins."""
    inputs = sorted([*sources.glob("*.go"), sources / "go.mod", sources / "go.sum"])
    program = CACHE / name
    once(name, inputs, lambda: run("go", "build", "-o", program, ".", cwd=sources))
    return program


def go_install(pin, name):
    """A published Go command; `pin` is a file with package@version. Go's own caches, outside of ours, make the second
    build of a machine one of seconds."""
    directory = CACHE / "go-bin"
    once(name, [pin], lambda: run(
        "go", "install", pin.read_text().strip(), env={**os.environ, "GOBIN": str(directory)}))
    return directory / name
