"""Packaging: pip and conda agree, the import is light, and no file names a machine."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
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
    "soundfile",
    "typer",
    "IPython",
    "ipywidgets",
    "anywidget",
    "transformers",
)
# Modules whose very subject is one of those.
NEEDS_MORE = {"cli", "widgets", "losslab", "pixel_probe", "__main__"}


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def name_and_range(requirement: str) -> tuple[str, str]:
    name, versions = re.fullmatch(r"([A-Za-z0-9_.-]+?)\s*([<>=!~].*)?", requirement).groups()
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
    assert "sopedu.sound" in modules
    assert run_python(code) == ""


@pytest.mark.parametrize("missing", ["IPython", "ipywidgets", "anywidget"])
def test_what_needs_a_notebook_says_what_is_missing_and_how_to_get_it(missing):
    said = run_python(
        f"import sys; sys.modules[{missing!r}] = None\nimport sopedu\nfrom sopedu.errors import SopeduError\n"
        "try: sopedu.PixelProbe\nexcept SopeduError as error: print(error)"
    )
    assert said == f"sopedu.PixelProbe needs {missing}, which is not installed: pip install 'sopedu[notebooks]'"


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
