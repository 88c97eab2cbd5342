"""The page: parses, loads nothing from elsewhere, shows the numbers given, and survives missing parts."""

from __future__ import annotations

import base64
import dataclasses
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from gravdask.report import ReportData, build_report

VOID = {"meta", "img", "br", "link", "hr", "input"}


class Page(HTMLParser):
    """Collects text, references and images, and checks that every element is closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: set[str] = set()
        self.references: list[str] = []
        self.images: list[dict[str, str]] = []
        self.words: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(html)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        self.tags.append(tag)
        self.ids.add(values.get("id", ""))
        self.references += [values[key] for key in ("src", "href", "srcset", "data", "action") if key in values]
        if tag == "img":
            self.images.append(values)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open[-1:]:
            self.words.append(data)
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def render(data: ReportData, tmp_path: Path) -> tuple[str, Page]:
    path = tmp_path / "new" / "report.html"
    build_report(data, path)
    html = path.read_text(encoding="utf-8")
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    return html, Page(html)


@pytest.fixture(scope="module")
def full(synthetic: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Page]:
    return render(synthetic.make_report(), tmp_path_factory.mktemp("full"))


def test_the_page_loads_nothing_from_elsewhere(full: tuple[str, Page]) -> None:
    html, page = full
    assert page.images
    for reference in page.references:
        assert reference.startswith(("#", "data:image/png;base64,"))
    assert "http://" not in html
    assert "https://" not in html
    assert "@import" not in html
    assert "url(" not in html
    assert "script" not in page.tags


def test_links_lead_to_places_on_the_page_and_images_are_png_with_words(full: tuple[str, Page]) -> None:
    _, page = full
    for reference in page.references:
        if reference.startswith("#"):
            assert reference[1:] in page.ids
    for image in page.images:
        assert len(image["alt"]) > 10
        assert base64.b64decode(image["src"].split(",", 1)[1]).startswith(b"\x89PNG\r\n")
    # Map, noise, calendar, loudness, six components, likelihood.
    assert len(page.images) == 11


def test_the_page_shows_the_numbers_given(full: tuple[str, Page]) -> None:
    _, page = full
    lhasa = next(row for row in page.rows if row[:1] == ["GD.LSA.00.LGZ"])
    assert lhasa[2:5] == ["29.650", "91.130", "3\u202f650"]
    assert lhasa[10] == "3.62"
    co_seismic = next(row for row in page.rows if row[:1] == ["1: co-seismic"])
    assert co_seismic[3:] == ["48.2", "9.10", "< 0.001", "< 0.001", "14"]
    scatter = next(row for row in page.rows if row[:1] == ["scatter"])
    assert scatter == ["scatter", "6", "6", "0", "0", "5.8"]
    for words in (
        "6 channels (and 2 channels of air pressure) from 2024-01-01 to 2024-01-20",
        "from 3.55 (GD.KMI.00.LGZ) to 4.31 (GD.QZH.00.LGZ)",
        "correlation 0.91 with the network's microseism level",
        "the file ends within a record",
        "no full response to acceleration",
        "3f9a1c77d0",
    ):
        assert words in page.text


def test_marks_of_earthquakes_count_up(full: tuple[str, Page], synthetic: ModuleType) -> None:
    _, page = full
    events = synthetic.make_events(20)
    expected = events[events["predicted"] & events["seen"].notna()]
    rows = [row for row in page.rows if len(row) == 12 and row[0].startswith("2024-01")]
    assert len(rows) == events["event_id"].nunique()
    marks = "".join("".join(row[6:]) for row in rows)
    assert marks.count("●") == expected["seen"].astype(bool).sum()
    assert marks.count("○") == (~expected["seen"].astype(bool)).sum()
    assert marks.count("–") == events["seen"].isna().sum()
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)


def test_the_same_data_give_the_same_bytes(synthetic: ModuleType, tmp_path: Path) -> None:
    first, second = (render(synthetic.make_small_report(), tmp_path / name)[0] for name in "ab")
    assert first == second


def test_hostile_text_stays_text(synthetic: ModuleType, tmp_path: Path) -> None:
    evil = '<script>alert("x")</script><img src=http://evil.example/x onerror=alert(1)>'
    data = synthetic.make_small_report()
    model = data.models[0]
    components = model.components.assign(label=evil, evidence=evil)
    data = dataclasses.replace(
        data,
        title=evil,
        store=evil,
        version=evil,
        stations=data.stations.assign(channel=evil, note=evil, unit=evil, kind=evil),
        noise_refused={evil: evil},
        models=[dataclasses.replace(model, components=components, digest=evil, rate=evil, settings={evil: evil})],
        events=data.events.assign(place=evil, channel=evil),
        plan=[evil],
        notes=[evil],
        references=[evil],
        quarantine=pd.DataFrame({"where": [evil], "line": [evil], "what": [evil], "cure": [evil]}),
    )
    html, page = render(data, tmp_path)
    assert "<script" not in html
    assert "script" not in page.tags
    assert all(image["src"].startswith("data:image/png") for image in page.images)
    assert page.text.count('<script>alert("x")</script>') > 15


def test_dollar_signs_in_names_are_not_read_as_formulas(synthetic: ModuleType, tmp_path: Path) -> None:
    data = synthetic.make_small_report()
    model = data.models[0]
    name = "$\\frac{$ 站"
    calendar = {name: next(iter(model.calendar.values()))}
    likelihood = {name: next(iter(model.likelihood.values()))}
    waveforms = {1: [dataclasses.replace(model.waveforms[1][0], channel=name, unit=name)]}
    components = model.components.assign(label=name)
    model = dataclasses.replace(
        model, calendar=calendar, likelihood=likelihood, waveforms=waveforms, components=components
    )
    data = dataclasses.replace(
        data,
        models=[model],
        snm={name: next(iter(data.snm.values()))},
        stations=data.stations.head(1).assign(channel=name),
    )
    assert name in render(data, tmp_path)[1].text


def test_nothing_at_all(tmp_path: Path) -> None:
    _, page = render(ReportData(title="Empty", created_ns=0, version="1", store="s"), tmp_path)
    assert page.images == []
    for words in (
        "The store holds no channels yet",
        "No model has been fitted",
        "No earthquake of a catalogue falls into the records",
        "Nothing was quarantined",
        "no stage".capitalize(),
    ):
        assert words in page.text


def test_no_coordinates_no_catalogue_no_noise(synthetic: ModuleType, tmp_path: Path) -> None:
    data = synthetic.make_small_report()
    stations = data.stations.assign(latitude=np.nan, longitude=np.nan, elevation=np.nan, snm_median=np.nan)
    refused = dict.fromkeys(stations["channel"], "velocity")
    empty = data.events.iloc[:0]
    model = dataclasses.replace(data.models[0], window_share=float("nan"))
    data = dataclasses.replace(data, stations=stations, snm={}, noise_refused=refused, events=empty, models=[model])
    _, page = render(data, tmp_path)
    assert "no channel has coordinates".capitalize() in page.text
    assert "There is no seismic noise magnitude (SNM). 8 channels are without one" in page.text
    assert len(page.images) == 5


def test_a_model_without_frames_or_paths(synthetic: ModuleType, tmp_path: Path) -> None:
    data = synthetic.make_small_report()
    model = dataclasses.replace(
        data.models[0],
        components=data.models[0].components.iloc[:0],
        mean_log=np.empty((0, 0)),
        path_order=np.empty(0, dtype=int),
        path_frequency_1=np.empty(0),
        path_frequency_2=np.empty(0),
        waveforms={},
        calendar={},
        likelihood={},
    )
    _, page = render(dataclasses.replace(data, models=[model]), tmp_path)
    assert "No frame has been classified" in page.text


def test_a_table_read_from_integers_and_missing_values(synthetic: ModuleType, tmp_path: Path) -> None:
    data = synthetic.make_small_report()
    events = data.events.convert_dtypes()
    stations = data.stations.convert_dtypes()
    _, page = render(dataclasses.replace(data, events=events, stations=stations, models=[]), tmp_path)
    lhasa = next(row for row in page.rows if row[:1] == ["GD.LSA.00.LGZ"])
    assert lhasa[10] == "3.62"


def test_only_the_strongest_sixty_earthquakes_are_listed(synthetic: ModuleType, tmp_path: Path) -> None:
    data = dataclasses.replace(synthetic.make_small_report(), models=[], snm={}, events=synthetic.make_events(300, 75))
    _, page = render(data, tmp_path)
    assert "The 60 strongest of 75" in page.text
    rows = [row for row in page.rows if len(row) == 12 and row[0].startswith("2024-")]
    assert len(rows) == 60
    magnitudes = np.sort(data.events.drop_duplicates("event_id")["magnitude"])[::-1]
    assert min(float(row[1]) for row in rows) == magnitudes[59]


def test_many_channels_are_counted_instead_of_marked(synthetic: ModuleType, tmp_path: Path) -> None:
    events = synthetic.make_events(20)
    more = pd.concat([events, *(events.assign(channel=events["channel"] + f".{k}") for k in range(3))])
    data = dataclasses.replace(synthetic.make_small_report(), models=[], snm={}, events=more)
    _, page = render(data, tmp_path)
    rows = [row for row in page.rows if row and row[0].startswith("2024-01") and len(row) == 6]
    assert len(rows) == 16
    judged = more[more["predicted"] & more["seen"].notna()]
    assert sum(int(row[5].split(" of ")[1]) for row in rows if "of" in row[5]) == len(judged)


def test_paths_that_the_model_left_out_are_holes_in_the_figures(synthetic: ModuleType, tmp_path: Path) -> None:
    data = synthetic.make_small_report()
    some = data.models[0].mean_log.copy()
    some[:, ::3] = np.nan
    for mean_log in (some, np.full_like(some, np.nan)):
        model = dataclasses.replace(data.models[0], mean_log=mean_log)
        _, page = render(dataclasses.replace(data, models=[model]), tmp_path)
        assert len(page.images) == 7


@pytest.mark.parametrize(("orders", "images"), [((1,), 7), ((2,), 6), ((2, 3), 6), ((3,), 5)])
def test_models_of_any_orders(synthetic: ModuleType, tmp_path: Path, orders: tuple[int, ...], images: int) -> None:
    data = synthetic.make_small_report()
    model = data.models[0]
    order = np.where(model.path_order == 1, orders[0], orders[-1])
    keep = np.isin(model.path_order, (1, 2) if len(orders) > 1 else (2,))
    keep = keep if orders != (1,) else model.path_order == 1
    model = dataclasses.replace(
        model,
        path_order=order[keep],
        path_frequency_1=model.path_frequency_1[keep],
        path_frequency_2=np.nan_to_num(model.path_frequency_2[keep], nan=0.01),
        mean_log=model.mean_log[:, keep],
    )
    _, page = render(dataclasses.replace(data, models=[model]), tmp_path)
    assert len(page.images) == images
