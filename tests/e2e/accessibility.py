# SPDX-License-Identifier: Apache-2.0
"""
Checks of a page in Chromium against WCAG 2.2, level AA, as far as a program can decide: contrast of the text that is drawn, names of controls, headings,
landmarks, labels, duplicate IDs, sizes of targets, width of the page, and the way of the Tab key.
"""
import os
import pathlib

GUIDE = pathlib.Path(__file__).resolve().parents[2] / "docs/guide"
PICTURES = {("recording", "wide"), ("recordings", "narrow-dark"), ("home", "wide"), ("home", "narrow-dark"), ("cluster", "wide-dark"), ("cluster", "narrow")}
LOOKS = {"wide": (1600, 900, "light"), "wide-dark": (1600, 900, "dark"), "narrow": (390, 844, "light"), "narrow-dark": (390, 844, "dark")}

# Returns what is wrong, as a list of sentences. Colours are composed as they are drawn; the screen of a player is a picture (role=img).
FAULTS = """(() => {
  const faults = [], all = [...document.querySelectorAll('body *')];
  const name = e => e.tagName.toLowerCase() + (e.id ? '#' + e.id : '') + (e.className && e.className.baseVal === undefined ? '.' + e.className.replace(/ /g, '.') : '')
    + ' "' + (e.textContent || e.value || '').trim().slice(0, 30) + '"';
  const shown = e => e.checkVisibility({checkVisibilityCSS: true, checkOpacity: true}) && e.getClientRects().length > 0;

  const parse = text => { const n = text.match(/[\\d.]+/g).map(Number); return [n[0], n[1], n[2], n[3] === undefined ? 1 : n[3]]; };
  const over = (top, under) => [0, 1, 2].map(i => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const light = c => { const [r, g, b] = c.slice(0, 3).map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
  const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((m, n) => n - m); return (x + .05) / (y + .05); };
  const canvas = parse(getComputedStyle(document.documentElement).colorScheme.includes('dark') && matchMedia('(prefers-color-scheme: dark)').matches ? 'rgb(18,18,18)' : 'rgb(255,255,255)');
  const ground = e => { const chain = []; for (; e; e = e.parentElement) chain.unshift(parse(getComputedStyle(e).backgroundColor)); return chain.reduce((under, top) => over(top, under), canvas); };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), seen = new Set();
  for (let node; node = texts.nextNode();) {
    const e = node.parentElement;
    if (!node.data.trim() || seen.has(e) || !shown(e) || e.closest('[role=img], svg, :disabled, .skip:not(:focus)')) continue;
    seen.add(e);
    const style = getComputedStyle(e), under = ground(e), ratio = contrast(over(parse(style.color), under), under);
    const size = parseFloat(style.fontSize), is_large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (is_large ? 3 : 4.5)) faults.push(`contrast ${ratio.toFixed(2)}: ${name(e)}`);
  }
  for (const e of all.filter(e => e.matches('input:not([type=range], [type=checkbox], [type=radio], [type=hidden]), select, button.plain') && shown(e))) {
    const ratio = contrast(over(parse(getComputedStyle(e).borderTopColor), ground(e.parentElement)), ground(e.parentElement));
    if (ratio < 3) faults.push(`contrast of a border ${ratio.toFixed(2)}: ${name(e)}`);
  }

  const levels = all.filter(e => /^H[1-6]$/.test(e.tagName) && shown(e)).map(e => +e.tagName[1]);
  if (levels.filter(l => l === 1).length !== 1) faults.push(`${levels.filter(l => l === 1).length} h1`);
  levels.forEach((level, i) => { if (i > 0 && level > levels[i - 1] + 1) faults.push(`h${level} after h${levels[i - 1]}`); });
  if (all.filter(e => e.matches('main')).length !== 1) faults.push('not one main');
  if (!document.title) faults.push('no title');
  if (!document.documentElement.lang) faults.push('no language');
  const ids = all.map(e => e.id).filter(id => id);
  for (const id of new Set(ids)) if (ids.filter(other => other === id).length > 1) faults.push(`two elements #${id}`);
  for (const e of all) for (const list of ['aria-labelledby', 'aria-describedby', 'aria-controls', 'for'])
    for (const id of (e.getAttribute(list) || '').split(' ').filter(id => id)) if (!document.getElementById(id)) faults.push(`${list} of ${name(e)}: no #${id}`);
  for (const e of all.filter(e => e.matches('table') && shown(e))) if (!e.querySelector('th')) faults.push(`a table without headings: ${name(e)}`);
  for (const e of all.filter(e => e.matches('button[aria-label], a[aria-label]') && shown(e)))
    if (!e.getAttribute('aria-label').includes(e.innerText.trim())) faults.push(`the label of ${name(e)} has another text: ${e.getAttribute('aria-label')}`);
  for (const e of all.filter(e => e.matches('img'))) if (!e.hasAttribute('alt')) faults.push(`no alt: ${name(e)}`);
  for (const e of all.filter(e => e.matches('[tabindex]') && e.tabIndex > 0)) faults.push(`tabindex ${e.tabIndex}: ${name(e)}`);

  for (const e of all.filter(e => e.matches('button, .button, input, select, nav a') && shown(e) && !e.closest('.skip'))) {
    const box = e.getBoundingClientRect();
    if (box.width < 24 || box.height < 24) faults.push(`only ${box.width.toFixed()}x${box.height.toFixed()}: ${name(e)}`);
  }
  if (document.documentElement.scrollWidth > innerWidth) {
    const wide = all.filter(e => shown(e) && e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll, .stage'));
    faults.push(`${document.documentElement.scrollWidth} pixels wide: ${wide.slice(0, 3).map(name)}`);
  }
  return faults;
})()"""

FOCUSABLE = """[...document.querySelectorAll('a[href], button, input, select, summary, [tabindex="0"]')].filter(e => !e.disabled && e.type !== 'hidden'
    && e.checkVisibility({checkVisibilityCSS: true})).length"""
CONTROLS = {"button", "link", "textbox", "searchbox", "combobox", "slider", "checkbox", "radio", "spinbutton", "img", "navigation", "region", "table", "switch"}
MAY_BE_UNNAMED = {"table"}


def tab_order(page):
    """Walks the page by the Tab key: what is wrong with the way."""
    page.evaluate("(b => { b.tabIndex = -1; b.focus(); b.removeAttribute('tabindex'); b.blur(); })(document.body)")  # from the start
    count, faults, places = page.evaluate(FOCUSABLE), [], []
    for _ in range(count):
        page.press("Tab")
        at = page.evaluate("""(e => ({name: e.tagName + '#' + e.id + ' ' + (e.innerText || e.value || '').trim().slice(0, 30), is_body: e === document.body,
            place: [...document.querySelectorAll('*')].indexOf(e), seen: getComputedStyle(e).outlineStyle !== 'none'}))(document.activeElement)""")
        if at["is_body"]:
            faults.append(f"Tab reaches {len(places)} of {count} controls")
            break
        if not at["seen"]:
            faults.append(f"the focus is not visible: {at['name']}")
        places.append(at["place"])
    if places != sorted(places):
        faults.append(f"Tab does not go in the order of the page: {places}")
    return faults


def faults_of(page):
    faults = page.evaluate(FAULTS)
    for node in page.accessible():
        if node["role"] in CONTROLS and node["role"] not in MAY_BE_UNNAMED and not node["name"].strip():
            faults.append(f"a {node['role']} without a name")
    return faults


def axe_faults(page):
    """What axe-core (npm) calls serious or critical, if $CTELEPORT_AXE is its axe.min.js: an opinion from outside."""
    if "CTELEPORT_AXE" not in os.environ:
        return []
    page.evaluate(pathlib.Path(os.environ["CTELEPORT_AXE"]).read_text() + ";0")
    return page.evaluate("""axe.run(document, {resultTypes: ['violations']}).then(found => found.violations.filter(v => ['serious', 'critical'].includes(v.impact))
        .map(v => [v.impact, v.id, v.help, ...v.nodes.slice(0, 3).map(n => n.html.slice(0, 200))]))""")


def check_accessible(page, name):
    """
    No faults at both widths and in both colour schemes; the keyboard reaches everything. Leaves pictures NAME-LOOK.png in $CTELEPORT_SCREENSHOTS, if set,
    and those of docs/guide/web.md there if CTELEPORT_WRITE_DOCS is set.
    """
    shots = os.environ.get("CTELEPORT_SCREENSHOTS")
    for look, (width, height, scheme) in LOOKS.items():
        page.show(width, height, scheme)
        faults = faults_of(page) + axe_faults(page)
        assert not faults, (page.url, look, faults)
        if shots:
            page.screenshot(pathlib.Path(shots) / f"{name}-{look}.png")
        if os.environ.get("CTELEPORT_WRITE_DOCS") and (name, look) in PICTURES:
            page.screenshot(GUIDE / f"web-{name}-{look}.webp")
    faults = tab_order(page)
    assert not faults, (page.url, faults)
    page.show()
    page.check_quiet()
