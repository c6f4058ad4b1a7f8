"""What an installed wheel has besides modules."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_is_in_the_wheel_with_its_library_and_licence():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    packed = {path for pattern in settings["package-data"]["stack"] for path in (ROOT / "stack").glob(pattern)}
    web = ROOT / "stack" / "daemon" / "web"
    there = set(web.iterdir())
    assert {"index.html", "app.js", "app.css", "uPlot.js", "uPlot.css", "uPlot.LICENSE"} <= {one.name for one in there}
    assert there <= packed
    assert "MIT License" in (web / "uPlot.LICENSE").read_text()
