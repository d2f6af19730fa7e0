"""Packaging: pip and conda agree, the import is light, and no file names a machine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import sopedu

ROOT = Path(__file__).parent.parent
CONDA_NAMES = {"torch": "pytorch", "soundfile": "pysoundfile"}
# What a training machine without network may lack; none of it may be imported before it is used.
NOT_ON_A_TRAINING_MACHINE = (
    "av",
    "librosa",
    "mir_eval",
    "sklearn",
    "soundfile",
    "typer",
    "IPython",
    "ipywidgets",
    "anywidget",
    "transformers",
)
# Modules whose very subject is one of those.
NEEDS_MORE = {"cli", "widgets", "lab", "pixel_probe", "plain_probe", "video_player", "__main__"}


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def name_and_range(requirement: str) -> tuple[str, str]:
    # Extras of a package, as in yt-dlp[default], are pip's; conda's package has them.
    name, versions = re.fullmatch(r"([A-Za-z0-9_.-]+?)(?:\[\w+\])?\s*([<>=!~].*)?", requirement).groups()
    return name, versions or ""


def run_python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True, timeout=120
    ).stdout.strip()


def test_conda_and_pip_list_the_same_packages_and_ranges():
    extras = project()["optional-dependencies"]
    wanted = dict(
        map(
            name_and_range,
            # tinysoundfont is not among conda's packages; the README says how to install it.
            [*project()["dependencies"], *(line for name in extras if name != "sampled" for line in extras[name])],
        )
    )
    lines = (ROOT / "environment.yml").read_text(encoding="utf-8").split("\ndependencies:\n")[1].splitlines()
    listed = [name_and_range(line.strip()[2:]) for line in lines if line.strip().startswith("- ")]
    assert len(listed) == len(dict(listed)), "a package is listed twice"
    assert dict(listed) == {
        "python": project()["requires-python"],
        "pip": "",
        **{CONDA_NAMES.get(name, name): versions for name, versions in wanted.items()},
    }


def test_the_version_is_written_once():
    assert project()["dynamic"] == ["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", sopedu.__version__)
    assert f"## [{sopedu.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_importing_sopedu_imports_no_library():
    heavy = ("torch", "numpy", "scipy", "matplotlib", *NOT_ON_A_TRAINING_MACHINE)
    assert run_python(f"import sys, sopedu; print([name for name in {heavy!r} if name in sys.modules])") == "[]"


def test_every_module_imports_on_a_bare_training_machine():
    modules = sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in (ROOT / "sopedu").rglob("*.py")
        if not NEEDS_MORE & set(path.relative_to(ROOT).with_suffix("").parts)
    )
    code = (
        f"import importlib, sys\nfor name in {NOT_ON_A_TRAINING_MACHINE!r}: sys.modules[name] = None\n"
        f"for module in {modules!r}:\n"
        "    try: importlib.import_module(module)\n"
        "    except ImportError as error: print(module, error)\n"
    )
    assert "sopedu.audio.soundfiles" in modules
    assert run_python(code) == ""


@pytest.mark.parametrize("missing", ["IPython", "ipywidgets", "anywidget"])
def test_what_needs_a_notebook_says_what_is_missing_and_how_to_get_it(missing):
    said = run_python(
        f"import sys; sys.modules[{missing!r}] = None\nimport sopedu\nfrom sopedu.errors import SopeduError\n"
        "try: sopedu.PixelProbe\nexcept SopeduError as error: print(error)"
    )
    assert said == f"sopedu.PixelProbe needs {missing}, which is not installed: pip install 'sopedu[notebooks]'"


# --- the wheel ----------------------------------------------------------------------------------------------------

SHIPPED_FOLDERS = ("data_samples", "docs", "notebooks")
# Files by the end of their name that the wheel holds, and nothing else. Metadata come beside them.
SHIPPED_SUFFIXES = {".py", ".js", ".css", ".html", ".json", ".safetensors", ".mp4", ".md", ".sh", ".ipynb", ".svg"}


def built(source: Path, out: Path, what: str) -> Path:
    """Build ``sdist`` or ``wheel`` of a source tree without a network: setuptools is called as pip would call it."""
    code = f"import sys; from setuptools import build_meta; print(build_meta.build_{what}(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", code, str(out)], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "is absent from the `packages` configuration" not in done.stderr
    return out / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> dict[str, Path]:
    """The wheel of this source tree, and that of its source distribution; both from a folder with an odd name."""
    top = tmp_path_factory.mktemp("söp edu")
    source, out = top / "source", top / "out"
    ignored = shutil.ignore_patterns(".git", ".venv", "runs", "build", "dist", "*.egg-info", ".*_cache", "__pycache__")
    shutil.copytree(ROOT, source, ignore=ignored)
    # What a working folder may hold and a wheel must not.
    for litter in ("notebooks/.ipynb_checkpoints/00.ipynb", "data_samples/tried.wav", "runs/demo-001/config.json"):
        (source / litter).parent.mkdir(parents=True, exist_ok=True)
        (source / litter).touch()
    (out / "of-sdist").mkdir(parents=True)
    with tarfile.open(built(source, out, "sdist")) as archive:
        archive.extractall(top, filter="data")
    [unpacked] = top.glob("sopedu-*")
    return {"tree": built(source, out, "wheel"), "sdist": built(unpacked, out / "of-sdist", "wheel")}


@pytest.fixture(scope="module")
def installed(wheels, tmp_path_factory) -> Path:
    """The wheel's content as pip lays it out."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheels["tree"]) as wheel:
        wheel.extractall(folder)
    return folder


def test_the_packages_are_those_that_are_there():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    there = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "sopedu").rglob("__init__.py")}
    shipped = {f"sopedu.{name}" for name in SHIPPED_FOLDERS}
    assert set(settings["packages"]) == there | shipped
    assert settings["package-dir"] == {f"sopedu.{name}": name for name in SHIPPED_FOLDERS}
    assert set(settings["package-data"]) == {"sopedu"} | shipped


def test_the_wheel_holds_the_package_and_what_is_shipped_and_nothing_else(wheels):
    with zipfile.ZipFile(wheels["tree"]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    wanted = set()
    for folder in ("sopedu", *SHIPPED_FOLDERS):
        there = {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.suffix in SHIPPED_SUFFIXES}
        # docs/sphinx builds the pages of `make docs`, which is no part of the package.
        there = {
            path.as_posix() for path in there if not any(part[0] == "." or part == "sphinx" for part in path.parts)
        }
        wanted |= there if folder == "sopedu" else {f"sopedu/{name}" for name in there}
    assert names == wanted
    assert {Path(name).suffix for name in names} == SHIPPED_SUFFIXES
    assert wheels["tree"].stat().st_size <= 35e6


def test_the_wheel_of_the_source_distribution_is_the_same(wheels):
    def content(path: Path) -> dict[str, int]:
        with zipfile.ZipFile(path) as wheel:
            return {info.filename: info.CRC for info in wheel.infolist()}

    assert content(wheels["sdist"]) == content(wheels["tree"])


def test_from_the_wheel_all_that_is_shipped_is_found_by_name(installed, tmp_path):
    code = """
import sopedu
from sopedu import shipped
from sopedu.lessons import broken_runs, copy_lessons
from sopedu.objects import toyband_detector
print(sopedu.__file__)
print(shipped.shipped_path("notebooks"), sopedu.sample_path("duet.mp4"), broken_runs.RECORDED, sep="\\n")
assert sopedu.load_checkpoint("toyband").config.name == "toyband"
assert sopedu.load_checkpoint("toyband-tiny").config.name == "tiny"
sopedu.new_model(sopedu.preset("tiny"))  # from the warm start
assert broken_runs.recorded_run("A")["history"]
assert toyband_detector.load_toyband_detector().class_names == sopedu.INSTRUMENTS
copy_lessons("copied")
"""
    run = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(installed)!r}){code}"]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert all(Path(line).is_relative_to(installed) and Path(line).exists() for line in done.stdout.splitlines())
    assert (tmp_path / "copied" / "duet.mp4").read_bytes() == (ROOT / "data_samples" / "duet.mp4").read_bytes()
    for names in ("*.ipynb", "pictures/*.svg"):
        copied = {path.name for path in (tmp_path / "copied" / "notebooks").glob(names)}
        assert copied == {path.name for path in (ROOT / "notebooks").glob(names)} and copied


def test_only_one_module_knows_where_shipped_files_lie():
    knows = [
        path.name
        for path in (ROOT / "sopedu").rglob("*.py")
        if re.search(r"__file__[^\n]*parent\.parent|\.\./data_samples", path.read_text(encoding="utf-8"))
    ]
    assert knows == []
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert not re.search(r'\\"(\.\./)?data_samples/', path.read_text(encoding="utf-8")), path.name


def test_every_exported_name_exists_and_unknown_ones_are_said():
    assert [name for name in sopedu._EXPORTS if not hasattr(sopedu, name)] == []
    assert set(sopedu._EXPORTS) <= set(dir(sopedu))
    with pytest.raises(AttributeError, match="no attribute 'nothing_of_this_name'"):
        _ = sopedu.nothing_of_this_name


def test_no_file_names_a_package_registry_or_a_path_of_one_machine():
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    # Put together from pieces, so that this file does not find itself.
    hosts = ["pypi" + ".org", "python" + "hosted.org", "anaconda" + ".org/", "registry" + ".npmjs"]
    paths = ["/" + folder + "/" for folder in ("work", "root")]
    pattern = re.compile("|".join([*map(re.escape, hosts), *(rf"(?<![\w.\-/]){path}" for path in paths)]))
    found = []
    for name in filter(None, listing.stdout.split("\0")):
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue
        found += [f"{name}: {match.group()}" for match in pattern.finditer(text)]
    assert found == []
