"""Run by .ci/run where sopedu comes from its wheel: every module and public name is there, and notebooks run."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path

import nbclient
import nbformat

import sopedu

package = Path(sopedu.__file__).resolve().parent
assert Path(sys.prefix).resolve() in package.parents, f"{package} is not in this environment"
modules = [module.name for module in pkgutil.walk_packages([str(package)], "sopedu.") if "__main__" not in module.name]
assert "sopedu.toyband.scenes" in modules
for module in modules:
    importlib.import_module(module)
for name in sopedu.__all__:
    getattr(sopedu, name)
print(f"{len(modules)} modules and {len(sopedu.__all__)} names of {package}")
for path in map(Path, sys.argv[1:]):
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()
    print(f"{path}: {sum(cell.cell_type == 'code' for cell in notebook.cells)} cells ran")
