"""The recorded runs of notebook 09 are made anew by their tool, in the form in which they are shipped."""

from __future__ import annotations

import json

from sopedu.lessons.broken_runs import CAUSES, recorded_run
from tools.record_broken_runs import record_runs


def test_all_runs_are_written_in_the_shipped_form(tmp_path, monkeypatch):
    monkeypatch.setenv("SOPEDU_CACHE", str(tmp_path / "cache"))
    small = {"training__steps": 10, "training__batch_size": 4, "toyband__solos": 16, "toyband__empty_scenes": 2}
    record_runs(tmp_path, **small)
    assert {path.name for path in tmp_path.glob("*.json")} == {f"{name}.json" for name in ("healthy", *CAUSES)}
    for name in ("healthy", *CAUSES):
        made, shipped = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8")), recorded_run(name)
        assert made.keys() == shipped.keys() and made["history"][-1].keys() == shipped["history"][-1].keys()
    assert json.loads((tmp_path / "A.json").read_text(encoding="utf-8"))["history"] != made["history"]
