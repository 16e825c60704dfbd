"""The page: its files, and a person's way through it in a real browser against a real service."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from deepfakestream.access.keys import KeyStore
from deepfakestream.media.types import RGBImage

from .conftest import RealService

Starter = Callable[..., Any]
Serve = Callable[..., RealService]
FOLDER = Path("src/deepfakestream/service/page")
SVG_NAMESPACE = "http://www.w3.org/2000/svg"
VERDICT_S = 180.0


def test_the_page_and_its_files_are_served_and_kept_on_this_server(start_service: Starter) -> None:
    get = start_service(work=False).client.get
    page = get("/")
    assert page.headers["content-type"].startswith("text/html")
    for path in FOLDER.iterdir():
        response = get(f"/page/{path.name}")
        assert response.content == path.read_bytes()
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
    assert get("/page/main.js").headers["content-type"].startswith("text/javascript")
    for missing in ("/page/none.js", "/page/..%2f..%2fapp.py", "/page/"):
        assert get(missing).status_code == 404


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_no_file_of_the_page_refers_to_elsewhere_or_to_what_is_missing(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z]", text.replace(SVG_NAMESPACE, "")) == []
    referred = re.findall(r"""from "\./([^"]+)"|(?:src|href)="/page/([^"]+)\"""", text)
    assert [name for names in referred for name in names if name and not (FOLDER / name).exists()] == []
    assert "innerHTML" not in text


@dataclass
class Tab:
    """A tab of the browser, and what it asked for and complained of."""

    page: Page
    hosts: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._complain)

    def _complain(self, message: Any) -> None:
        # An answer that is a problem is a line of the console, too.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def wait_for(self, selector: str, number: int = 1) -> None:
        expect(self.page.locator(selector)).to_have_count(number, timeout=1000 * VERDICT_S)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("the page's tests need chromium; make test-programs")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_tab(browser: Browser) -> Iterator[Callable[..., Tab]]:
    contexts: list[BrowserContext] = []

    def open_(url: str, **options: Any) -> Tab:
        contexts.append(browser.new_context(viewport={"width": 1280, "height": 900}, **options))
        contexts[-1].grant_permissions(["clipboard-read", "clipboard-write"])
        contexts[-1].set_default_timeout(1000 * VERDICT_S)
        tab = Tab(contexts[-1].new_page())
        tab.page.goto(url)
        tab.page.wait_for_selector("h1")
        return tab

    yield open_
    for context in contexts:
        context.close()


def write_clip(path: Path, frames: list[RGBImage]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, astronaut: RGBImage) -> Path:
    """A clip with a face, then none, then two; an image; a film without a face; text named as an image."""
    folder = tmp_path_factory.mktemp("files")
    frames = []
    for number in range(100):
        frame = np.full((400, 800, 3), 90, np.uint8)
        if number < 30 or number >= 60:
            frame[:, number : 400 + number] = astronaut[10:410, 30:430]
        if number >= 70:
            frame[:, 500:] = astronaut[10:410, 330:30:-1]
        frames.append(frame)
    write_clip(folder / "faces.mp4", frames)
    write_clip(folder / "no-face.mp4", [np.full((96, 128, 3), 90, np.uint8)] * 20)
    cv2.imwrite(str(folder / "portrait.png"), astronaut[..., ::-1])
    (folder / "text.jpg").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def service(serve: Serve) -> RealService:
    return serve()


def choose(tab: Tab, *paths: Path) -> None:
    tab.page.set_input_files("#files", [str(path) for path in paths])


def assert_usable_by_everybody(tab: Tab, width: int = 1280, scheme: str = "light") -> None:
    tab.page.set_viewport_size({"width": width, "height": 900})
    tab.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    found = Axe().run(tab.page)
    assert found.violations_count == 0, found.generate_report()
    wide = tab.page.evaluate("() => document.documentElement.scrollWidth > window.innerWidth")
    assert not wide, f"the page is wider than {width} pixels"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_files_are_sent_followed_and_judged(
    service: RealService, open_tab: Callable[..., Tab], files: Path
) -> None:
    tab = open_tab(service.url)
    page = tab.page
    assert_usable_by_everybody(tab)
    choose(tab, files / "faces.mp4", files / "portrait.png", files / "text.jpg", files / "no-face.mp4")
    tab.wait_for(".files progress")
    tab.wait_for(".files .verdict", 3)
    assert page.locator(".files .problem").inner_text().startswith("The format is not supported.")
    assert page.locator(".files .problem button").count() == 0
    for width, scheme in ((1280, "light"), (390, "dark")):
        assert_usable_by_everybody(tab, width, scheme)

    page.get_by_role("link", name="no-face.mp4").click()
    tab.wait_for(".summary.not_applicable")
    assert "no face was found" in page.locator(".summary").inner_text()
    tab.wait_for(".searched img[src^='blob:']", 16)

    page.get_by_role("link", name="History").click()
    page.get_by_role("link", name="portrait.png").click()
    tab.wait_for(".stage .box")
    tab.wait_for(".looks img[src^='blob:']", 2)
    assert page.get_by_role("slider").count() == 0
    page.get_by_role("link", name="Model", exact=True).click()
    tab.wait_for(".card table", 3)  # two of the fast detector, one of the accurate one
    assert_usable_by_everybody(tab, 390)
    assert tab.hosts == {service.url.removeprefix("http://")}
    assert tab.complaints == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_video_is_explained_over_time_and_by_keyboard(
    service: RealService, open_tab: Callable[..., Tab], files: Path, tmp_path: Path
) -> None:
    tab = open_tab(service.url)
    page = tab.page
    choose(tab, files / "faces.mp4")
    tab.wait_for(".files .verdict")
    page.get_by_role("link", name="faces.mp4").click()
    tab.wait_for(".chart .gap")
    assert "no score: no face was found" in page.locator(".summary").inner_text()
    assert page.locator(".person").count() >= 2
    tab.wait_for(".looks img[src^='blob:']", 2)

    slider = page.get_by_role("slider")
    slider.focus()
    texts = set()
    for key in ("Home", "ArrowRight", "ArrowRight", "End"):
        page.keyboard.press(key)
        texts.add(slider.get_attribute("aria-valuetext"))
        assert page.locator(".face h3").inner_text() == slider.get_attribute("aria-valuetext")
    assert len(texts) == 4
    chosen = page.locator(".strip button[aria-pressed='true']")
    assert chosen.get_attribute("aria-label") == slider.get_attribute("aria-valuetext")
    slider.click(position={"x": 60, "y": 120})
    assert "at 0." in (slider.get_attribute("aria-valuetext") or "")

    def video_s() -> float:
        return float(page.locator("video").evaluate("video => video.currentTime"))

    label = slider.get_attribute("aria-valuetext") or ""
    tab.wait_for(".stage .box.selected")
    assert video_s() == pytest.approx(float(re.findall(r"at ([\d.]+) s", label)[0]), abs=0.02)
    page.locator("video").evaluate("video => video.play()")
    before = video_s()
    time.sleep(1.0)
    assert video_s() > before
    page.get_by_role("button", name="Searched frame").click()
    tab.wait_for(".stage img[src^='blob:']")

    page.get_by_role("button", name="Copy the sentence").click()
    copied = page.evaluate("() => navigator.clipboard.readText()")
    sentence = page.locator(".summary .sentence").inner_text()
    assert copied.startswith(sentence)
    assert "faces.mp4, SHA-256" in copied
    for name, begin in (("PDF", b"%PDF-"), ("Web page (HTML)", b"<!doctype html>"), ("Data (JSON)", b"{")):
        with page.expect_download() as arriving:
            page.get_by_role("button", name=name).click()
        arriving.value.save_as(tmp_path / "report")
        assert arriving.value.suggested_filename.startswith("faces-report.")
        assert (tmp_path / "report").read_bytes().startswith(begin)
    assert json.loads((tmp_path / "report").read_bytes())["scan"]["message"] == sentence
    for width, scheme in ((1280, "light"), (1280, "dark"), (390, "light")):
        assert_usable_by_everybody(tab, width, scheme)

    page.get_by_text("Is the truth known?").click()
    page.get_by_label("real", exact=True).check()
    page.get_by_role("button", name="Send").click()
    page.get_by_text("it is kept that this file is real").wait_for()
    page.get_by_role("button", name="Remove this analysis").click()
    page.get_by_role("button", name="Remove", exact=True).click()
    page.get_by_role("heading", name="Is a face in it swapped?").wait_for()
    assert page.get_by_role("link", name="faces.mp4").count() == 0
    assert tab.complaints == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_heat_maps_of_a_face_are_drawn_when_they_are_asked_for(
    service: RealService, open_tab: Callable[..., Tab], files: Path
) -> None:
    tab = open_tab(service.url)
    page = tab.page
    choose(tab, files / "portrait.png")
    tab.wait_for(".files .verdict")
    page.get_by_role("link", name="portrait.png").click()
    page.get_by_role("button", name="Draw heat maps of this face").click()
    page.get_by_role("progressbar", name="Heat maps are being drawn").wait_for()
    page.locator(".maps figure").first.wait_for(timeout=600_000)
    number = page.locator(".maps figure").count()
    assert number >= 4
    tab.wait_for(".maps img[src^='blob:']", number)
    for caption in page.locator(".maps figcaption").all_inner_texts():
        assert re.search(r"Better than \d+ of \d+ random maps", caption)
        assert ("✓ passed its tests" in caption) != ("✗ do not rely on it" in caption)
    assert_usable_by_everybody(tab)
    assert tab.complaints == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_key_is_asked_for_where_the_service_needs_one(
    serve: Serve, open_tab: Callable[..., Tab], files: Path
) -> None:
    secrets = []

    def make_keys(folder: Path) -> None:
        keys = KeyStore(f"sqlite:///{folder}/work/jobs.db")
        secrets.extend(keys.create(name, scopes=scopes)[0] for name, scopes in KEYS.items())
        keys.close()

    address = serve(make_keys, DEEPFAKESTREAM_ACCESS="keys").url
    tab = open_tab(address)
    dialog = tab.page.get_by_role("dialog")

    def give(secret: str) -> None:
        dialog.get_by_label("Key").fill(secret)
        dialog.get_by_role("button", name="Use this key").click()

    dialog.wait_for()
    assert_usable_by_everybody(tab)
    give("wrong")
    tab.page.get_by_text("unknown, expired or revoked").wait_for()
    give(secrets[0])
    choose(tab, files / "portrait.png")
    tab.wait_for(".files .verdict")
    tab.page.get_by_role("link", name="portrait.png").click()
    tab.wait_for(".looks img[src^='blob:']", 2)
    tab.page.get_by_role("button", name="API key").click()
    with tab.page.expect_event("load"):  # another key loads the page again
        give(secrets[1])
    tab.page.goto(f"{address}/#/")
    choose(tab, files / "portrait.png")
    tab.wait_for(".files .problem")
    assert "scope" in tab.page.locator(".files .problem").inner_text()


KEYS = {"analyst": ["scan", "read", "feedback"], "reader": ["read"]}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_service_that_is_away_is_said_and_tried_again(
    serve: Serve, open_tab: Callable[..., Tab], files: Path
) -> None:
    service = serve()
    tab = open_tab(service.url)
    service.stop()
    choose(tab, files / "portrait.png")
    tab.wait_for(".files .problem")
    assert tab.page.locator(".files .problem").inner_text().startswith("The service does not answer.")
    service.start()
    tab.page.get_by_role("button", name="Try again").click()
    tab.wait_for(".files .verdict")
