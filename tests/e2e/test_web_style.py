# SPDX-License-Identifier: Apache-2.0
"""The look of the web pages: accessible at both widths, in light and dark."""
import pytest

from accessibility import check_accessible, faults_of
from browser import Browser
from users import invite_url, on_proxy


@pytest.fixture(scope="module")
def browser(shared, tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser") / "chromium", trust=[shared.proxy_addr]) as browser:
        yield browser


def test_pages_without_a_login_are_accessible(shared, browser):
    invitation = on_proxy(shared, invite_url(shared.tctl("users", "add", "bob", "--roles=access", "--logins=root").out))
    page = browser.page()
    for name, url in {"landing": f"https://{shared.proxy_addr}/web", "invitation": invitation}.items():
        check_accessible(page.open(url), name)


def test_the_checks_find_faults(browser):
    """What the other tests rely on."""
    page = browser.page(width=390)
    page.evaluate("""document.write(`<!DOCTYPE html><html><body><h1>a</h1><h3>b</h3><h1>c</h1><p style="color:#999">pale</p><p id=x></p><p id=x></p>
        <button style="width:10px;padding:0"></button><input><div style="width:500px">wide</div><label for=none>l</label><button aria-label="other">text</button><table><tr><td>1</table>`)""")
    found = "\n".join(faults_of(page))
    for word in ("contrast 2.85", "2 h1", "h3 after h1", "not one main", "no title", "no language", "two elements #x", "for of label", "has another text", "without headings", "a button without",
                 "a textbox without", "only 10x", "500 pixels wide|516 pixels wide|508 pixels wide"):
        assert any(part in found for part in word.split("|")), (word, found)
