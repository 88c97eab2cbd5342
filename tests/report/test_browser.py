"""The page in a real browser: opens from a file, shows its figures, asks nothing of any network."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from gravdask.report import build_report

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic")
PROBE = """
<script>
window.addEventListener("load", () => {
  const images = [...document.images];
  const broken = images.filter(i => !(i.complete && i.naturalWidth > 0)).length;
  const elsewhere = performance.getEntriesByType("resource").filter(r => !r.name.startsWith("data:")).length;
  const wide = document.documentElement.scrollWidth > window.innerWidth + 1;
  document.title = `images=${images.length} broken=${broken} elsewhere=${elsewhere} wide=${wide}`;
});
</script>
"""


@pytest.mark.slow
def test_page_opens_offline_in_a_browser(tmp_path: Path, synthetic: ModuleType) -> None:
    browser = next((b for b in BROWSERS if shutil.which(b)), None)
    if browser is None:
        pytest.skip(f"no browser found ({', '.join(BROWSERS)}): install Debian's chromium to run this test")
    page = tmp_path / "report.html"
    build_report(synthetic.make_small_report(), page)
    html = page.read_text(encoding="utf-8")
    page.write_text(html.replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", *QUIET]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1200,900", "--virtual-time-budget=5000"]
    done = subprocess.run(
        [*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    title = done.stdout.split("<title>")[1].split("</title>")[0]
    found = dict(item.split("=") for item in title.split())
    assert int(found["images"]) == html.count("<img") > 0
    assert found["broken"] == "0"
    assert found["elsewhere"] == "0"
    assert found["wide"] == "false"
