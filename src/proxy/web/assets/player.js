// SPDX-License-Identifier: Apache-2.0
/*
 * The player of a recording (asciicast v2), in the element #player, whose data-cast is the URL of the recording. It draws with text nodes and classes
 * only, so nothing in a recording can become markup. Long work, such as a jump to the end or a search, is done in slices of SLICE_MS.
 */
'use strict';

const SLICE_MS = 12, IDLE_SECONDS = 1, STEP_SECONDS = 5;
const TEXT_MAX = 128 << 20, EVENTS_MAX = 2000000, LINE_MAX = 1 << 20; // characters, events, characters: what the page holds
const PIECE = 2048; // characters between two looks at the clock
const KEYFRAME_TEXT = 1 << 18, KEYFRAME_CELLS = 2000000; // a kept screen after so many characters; cells of all of them
const NOTES_MAX = 20, HITS_MAX = 500, TRANSCRIPT_LINES = 20000;
const SPEEDS = [0.5, 1, 2, 4, 8];

// One channel for all: browsers keep a channel whose port has a receiver, although nothing refers to it.
const turns = new MessageChannel(), turnsAwaited = [];
turns.port1.onmessage = () => turnsAwaited.shift()();
const nextTurn = () => new Promise(done => { turnsAwaited.push(done); turns.port2.postMessage(0); });

function element(tag, fields = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(fields)) {
    if (name in e && !name.includes('-')) e[name] = value;
    else e.setAttribute(name, value);
  }
  e.append(...children);
  return e;
}

function clock(seconds) {
  const s = Math.floor(seconds), two = n => String(n).padStart(2, '0');
  return s < 3600 ? `${Math.floor(s / 60)}:${two(s % 60)}` : `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
}

// ---- the recording

// The events as they arrive: times[i] in seconds, data[i] is output, or [columns, rows].
class Recording {
  constructor() {
    this.columns = 80; this.rows = 24;
    this.times = []; this.data = [];
    this.notes = []; // what the proxy says of the recording, such as parts that are missing: asciicast's markers
    this.held = 0;
    this.isWhole = false; this.isCut = false; // all events are here; there are more than the page holds
  }

  get duration() { return this.times.length ? this.times[this.times.length - 1] : 0; }

  addLine(line) {
    if (!line) return;
    const value = JSON.parse(line);
    if (!Array.isArray(value)) {
      if (value.version !== 2) throw new Error('it is not an asciicast of version 2');
      this.columns = value.width; this.rows = value.height;
      return;
    }
    const [time, kind, data] = value;
    if (kind === 'm' && typeof data === 'string' && this.notes.length < NOTES_MAX) this.notes.push(`${clock(Number(time) || 0)}: ${data.slice(0, 200)}.`);
    const size = kind === 'r' ? /^(\d{1,5})x(\d{1,5})$/.exec(data) : null;
    if (typeof data !== 'string' || (kind !== 'o' && !size)) return;
    this.times.push(Math.max(Number(time) || 0, this.duration));
    this.data.push(size ? [Number(size[1]), Number(size[2])] : data);
    this.held += data.length;
    this.isCut = this.held > TEXT_MAX || this.times.length > EVENTS_MAX;
  }

  async load(url, onProgress) {
    const response = await fetch(url, { credentials: 'same-origin' });
    if (!response.ok) throw new Error(`the proxy answers with status ${response.status}`);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = '', from = performance.now(); ;) {
      const { done, value } = await reader.read();
      const lines = (rest + (value || '')).split('\n');
      rest = lines.pop();
      for (const line of lines) {
        this.addLine(line);
        if (this.isCut) break;
        if (performance.now() - from > SLICE_MS) { onProgress(); await nextTurn(); from = performance.now(); }
      }
      if (rest.length > LINE_MAX) throw new Error('a line is too long');
      if (done || this.isCut) break;
      onProgress();
    }
    if (this.isCut) await reader.cancel();
    this.isWhole = true;
    onProgress();
  }

  // The number of events up to this time.
  indexAt(time) {
    let low = 0, high = this.times.length;
    while (low < high) { const middle = (low + high) >> 1; if (this.times[middle] <= time) low = middle + 1; else high = middle; }
    return low;
  }
}

// A terminal at a place of a recording: after `index` events, and `offset` characters of the next.
class Tape {
  constructor(recording) {
    this.recording = recording;
    this.rewind();
  }

  rewind() {
    this.terminal = new Terminal(this.recording.columns, this.recording.rows);
    this.index = this.offset = this.text = 0;
  }

  // Processes events up to `index` until the deadline; whether that is reached.
  advance(index, deadline) {
    const { data } = this.recording;
    while (this.index < index) {
      const event = data[this.index];
      if (typeof event === 'string') {
        let until = Math.min(this.offset + PIECE, event.length);
        if (until < event.length && (event.charCodeAt(until - 1) & 0xfc00) === 0xd800) until++;
        this.terminal.write(event, this.offset, until);
        this.text += until - this.offset;
        this.offset = until;
        if (until >= event.length) { this.index++; this.offset = 0; }
      } else {
        this.terminal.resize(...event);
        this.index++;
      }
      if (performance.now() > deadline) return this.index >= index;
    }
    return true;
  }
}

// Screens that were passed, so that a jump back need not begin at the start.
class Keyframes {
  constructor() { this.list = []; this.distance = KEYFRAME_TEXT; this.cells = 0; }

  pass(tape) {
    const last = this.list[this.list.length - 1];
    if (tape.offset !== 0 || tape.text < (last ? last.text : 0) + this.distance) return;
    this.list.push({ index: tape.index, text: tape.text, screen: tape.terminal.snapshot(), cells: tape.terminal.cells });
    this.cells += tape.terminal.cells;
    if (this.cells <= KEYFRAME_CELLS) return;
    this.list = this.list.filter((_, i) => i % 2 === 1);
    this.cells = this.list.reduce((sum, k) => sum + k.cells, 0);
    this.distance *= 2;
  }

  // Moves the tape to the best place from which `index` is reached.
  prepare(tape, index) {
    const before = this.list.filter(k => k.index <= index).pop();
    if (tape.index <= index && (!before || before.index <= tape.index)) { if (tape.index < index || tape.offset === 0) return; }
    tape.rewind();
    if (before) { tape.terminal.restore(before.screen); tape.index = before.index; tape.text = before.text; }
  }
}

// ---- the screen

function paint(span, name, colour) {
  if (colour === 0) return;
  if (colour <= 16) { span.classList.add((name === 'color' ? 'f' : 'b') + (colour - 1)); return; }
  let rgb = colour & 0xffffff;
  if (colour < TRUE_COLOUR) {
    const n = colour - 1, level = v => (v === 0 ? 0 : 55 + 40 * v), cube = n - 16;
    rgb = n < 232 ? level(Math.floor(cube / 36)) << 16 | level(Math.floor(cube / 6) % 6) << 8 | level(cube % 6) : (8 + 10 * (n - 232)) * 0x10101;
  }
  span.style[name] = `#${rgb.toString(16).padStart(6, '0')}`;
}

// Whether the text of no colour of its own, which is light, cannot be read on this background.
const isLight = colour => colour === 8 || (colour >= 10 && colour <= 16);

const ATTRIBUTES = [[BOLD, 'bold'], [DIM, 'dim'], [ITALIC, 'italic'], [UNDERLINE, 'under'], [CONCEAL, 'conceal'], [STRIKE, 'strike'], [OVERLINE, 'over']];
const isPlain = text => /^[\x20-\x7e\u00a0-\u024f\u2500-\u257f]$/.test(text); // characters that every fixed font has, one cell wide

class Screen {
  constructor() {
    this.box = element('div', { className: 'screen', role: 'img' });
    this.shown = [];
    this.needle = '';
  }

  // The columns of a row in which the searched text is.
  found(row) {
    const columns = new Set();
    if (!this.needle) return columns;
    const places = [];
    row.text.forEach((cell, x) => { for (let i = 0; i < cell.length; i++) places.push(x); });
    const text = row.text.join('').toLowerCase();
    if (text.length !== places.length) return columns;
    for (let at = text.indexOf(this.needle); at >= 0; at = text.indexOf(this.needle, at + this.needle.length))
      for (let i = 0; i < this.needle.length; i++) columns.add(places[at + i]);
    return columns;
  }

  drawRow(line, row, cursor, isReversed) {
    const found = this.found(row), parts = [];
    let end = row.text.length;
    while (end > 0 && row.text[end - 1] === ' ' && row.bg[end - 1] === 0 && row.flags[end - 1] === 0 && end - 1 !== cursor && !isReversed) end--;
    for (let x = 0; x < end;) {
      const from = x, [fg, bg, flags] = [row.fg[x], row.bg[x], row.flags[x]], isCursor = x === cursor, isFound = found.has(x);
      let text = row.text[x], kind = '';
      if (!isPlain(text)) {
        kind = row.text[x + 1] === '' ? 'w2' : 'w1';
        x += kind === 'w2' ? 2 : 1;
      } else {
        for (x++; x < end && !isCursor && x !== cursor && isPlain(row.text[x]) && row.fg[x] === fg && row.bg[x] === bg && row.flags[x] === flags && found.has(x) === isFound; x++)
          text += row.text[x];
      }
      const isInverse = ((flags & INVERSE) !== 0) !== isReversed;
      if (!kind && !isCursor && !isFound && !fg && !bg && !flags && !isInverse) { parts.push(text); continue; }
      const span = element('span', { textContent: text });
      if (kind) span.classList.add(kind);
      for (const [bit, name] of ATTRIBUTES) if (flags & bit) span.classList.add(name);
      const bright = flags & BOLD && fg >= 1 && fg <= 8 ? fg + 8 : fg;
      const [ink, ground] = isInverse ? [bg, bright] : [bright, bg];
      if (ground ? ink === 1 || (ink === 0 && (isInverse || isLight(ground))) : isInverse && ink === 0) span.classList.add('d-ground');
      else paint(span, 'color', ink);
      if (isInverse && ground === 0) span.classList.add('d-paint');
      else paint(span, 'backgroundColor', ground);
      if (isCursor) span.classList.add('cursor');
      if (isFound) span.classList.add('found');
      parts.push(span);
    }
    line.replaceChildren(...parts);
  }

  // Draws the rows that have changed.
  draw(terminal) {
    const { rows } = terminal;
    if (this.shown.length !== rows.length || this.columns !== terminal.columns) {
      this.shown = rows.map(() => ({ line: element('div') }));
      this.columns = terminal.columns;
      this.box.style.width = `calc(${terminal.columns}ch + 1.5rem)`;
      this.box.replaceChildren(...this.shown.map(s => s.line));
      this.box.setAttribute('aria-label', `Terminal of ${terminal.columns} columns and ${rows.length} rows. Its text is in the transcript below.`);
      this.fit();
    }
    rows.forEach((row, y) => {
      const shown = this.shown[y], cursor = terminal.showsCursor && terminal.y === y ? terminal.x : -1;
      if (shown.row === row && shown.version === row.version && shown.cursor === cursor && shown.needle === this.needle && shown.isReversed === terminal.isReversed) return;
      Object.assign(shown, { row, version: row.version, cursor, needle: this.needle, isReversed: terminal.isReversed });
      this.drawRow(shown.line, row, cursor, terminal.isReversed);
    });
  }

  // Makes the letters as large as the width allows, up to those of the page, and not too small to read.
  fit() {
    const stage = this.box.parentElement;
    if (!stage || !stage.clientWidth) return;
    const probe = element('span', { textContent: '0'.repeat(100) });
    this.box.style.fontSize = '16px';
    this.box.append(probe);
    const cell = probe.getBoundingClientRect().width / 100;
    probe.remove();
    const size = Math.min(16, Math.max(8, Math.floor(10 * 16 * (stage.clientWidth - 26) / (cell * this.columns)) / 10));
    this.box.style.fontSize = `${size}px`;
  }
}

// ---- the player

class Player {
  constructor(box) {
    this.box = box;
    this.recording = new Recording();
    this.tape = null;
    this.keyframes = new Keyframes();
    this.screen = new Screen();
    this.position = 0;      // seconds
    this.isPlaying = false;
    this.work = 0;          // number of the newest jump: an older one stops
    this.search = 0;        // the same of searches
    this.hits = []; this.hit = -1;
    this.build();
  }

  build() {
    const control = (tag, fields, ...children) => element(tag, fields, ...children);
    this.stage = control('div', { className: 'stage', tabIndex: 0, role: 'group', 'aria-label': 'Screen', 'aria-describedby': 'player-keys' }, this.screen.box);
    this.play = control('button', { type: 'button', className: 'play', textContent: 'Play', disabled: true, onclick: () => this.toggle() });
    this.time = control('span', { className: 'time', textContent: '0:00' });
    this.speed = control('select', {}, ...SPEEDS.map(s => element('option', { value: s, textContent: `${s}\u00d7`, selected: s === 1 })));
    this.idle = control('input', { type: 'checkbox', checked: true });
    this.seek = control('input', { type: 'range', className: 'seek', min: 0, max: 0, step: 'any', value: 0, 'aria-label': 'Position', oninput: () => this.jump(Number(this.seek.value)) });
    this.needle = control('input', { type: 'search', 'aria-label': 'Search in the text', placeholder: 'Search', maxLength: 200 });
    this.found = control('span', { role: 'status', className: 'soft' });
    this.list = control('ul', { className: 'hits', hidden: true, 'aria-label': 'Places found' });
    const previous = control('button', { type: 'button', className: 'plain', textContent: 'Previous', onclick: () => this.showHit(this.hit - 1) });
    const next = control('button', { type: 'button', className: 'plain', textContent: 'Next', onclick: () => this.showHit(this.hit + 1) });
    this.steps = [previous, next];
    const find = control('form', { className: 'find', role: 'search', onsubmit: e => { e.preventDefault(); this.find(this.needle.value); } }, this.needle,
      control('button', { className: 'plain', textContent: 'Search' }), previous, next, this.found);
    this.setSteps();
    const controls = control('div', { className: 'controls', role: 'group', 'aria-label': 'Controls' }, this.seek, this.play, this.time,
      control('label', {}, 'Speed', this.speed), control('label', {}, this.idle, 'Skip pauses'), find);
    this.note = control('p', { className: 'notice', hidden: true, role: 'status' });
    const keys = control('p', { id: 'player-keys', className: 'soft' });
    for (const [key, means] of [['Space', 'plays and pauses'], ['←', 'and'], ['→', `go ${STEP_SECONDS} seconds`], [',', 'and'], ['.', 'one event'], ['<', 'and'], ['>', 'change the speed'],
      ['/', 'searches'], ['n', 'and'], ['N', 'go to the next and the previous place found']])
      keys.append(element('kbd', { textContent: key }), ` ${means}${means === 'and' ? ' ' : key === 'N' ? '.' : '; '}`);
    keys.prepend('With the focus on the screen: ');
    this.transcript = control('details', { className: 'transcript', ontoggle: () => this.transcript.open && this.writeTranscript() },
      element('summary', { textContent: 'Transcript' }), element('pre', { tabIndex: 0, role: 'region', 'aria-label': 'Transcript', textContent: '' }));
    this.box.append(this.stage, controls, this.list);
    this.box.after(this.note, keys, this.transcript);
    this.stage.addEventListener('keydown', e => this.onKey(e));
    new ResizeObserver(() => this.screen.fit()).observe(this.stage);
  }

  say(text, isBad = false) {
    this.note.textContent = text;
    this.note.hidden = !text;
    this.note.classList.toggle('bad', isBad);
  }

  async load(url) {
    try {
      await this.recording.load(url, () => this.onProgress());
      if (!this.tape) throw new Error('it has no output');
      const { notes, isCut } = this.recording;
      if (isCut) notes.push('This recording is longer than a page can hold: only its beginning is shown. Download it to see the rest.');
      this.say(notes.join('\n'));
    } catch (error) {
      this.say(`The recording cannot be played: ${error.message}.`, true);
    }
    this.box.dataset.state = 'loaded';
  }

  onProgress() {
    if (!this.recording.times.length) return;
    if (!this.tape) {
      this.tape = new Tape(this.recording);
      this.play.disabled = false;
      this.jump(0);
    }
    this.showTime();
  }

  showTime() {
    const { duration } = this.recording, text = `${clock(this.position)} / ${clock(duration)}`;
    this.seek.max = duration;
    this.seek.value = this.position;
    if (this.time.textContent === text) return;
    this.time.textContent = text;
    this.seek.setAttribute('aria-valuetext', `${clock(this.position)} of ${clock(duration)}`);
  }

  // ---- going somewhere

  // Shows the screen of a time. A newer jump replaces one that is not done.
  jump(time) {
    this.position = Math.min(Math.max(time, 0), this.recording.duration);
    this.goal = null;
    this.run(this.recording.indexAt(this.position));
    this.showTime();
  }

  // Shows the screen after a number of events.
  jumpTo(index) {
    const { times } = this.recording;
    index = Math.min(Math.max(index, 0), times.length);
    this.position = index > 0 ? times[index - 1] : 0;
    this.run(index);
    this.showTime();
  }

  async run(index) {
    const work = ++this.work, { tape, keyframes } = this;
    if (!tape) return;
    this.box.dataset.busy = '';
    keyframes.prepare(tape, index);
    while (!this.advance(index)) {
      await nextTurn();
      if (work !== this.work) return;
    }
    this.screen.draw(tape.terminal);
    delete this.box.dataset.busy;
  }

  // A slice of the way; stops at each place where a screen may be kept.
  advance(index) {
    const deadline = performance.now() + SLICE_MS;
    while (this.tape.index < index && performance.now() < deadline) {
      this.tape.advance(this.tape.index + 1, deadline);
      this.keyframes.pass(this.tape);
    }
    return this.tape.index >= index;
  }

  // ---- playing

  toggle(on = !this.isPlaying) {
    if (!this.tape) return;
    this.isPlaying = on;
    this.play.textContent = on ? 'Pause' : 'Play';
    if (!on) return;
    if (this.recording.isWhole && this.tape.index >= this.recording.times.length) this.jump(0);
    let before = performance.now();
    const frame = now => {
      if (!this.isPlaying) return;
      this.step(Math.max(now - before, 0) / 1000 * Number(this.speed.value));
      before = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  }

  step(seconds) {
    if ('busy' in this.box.dataset) return; // a jump is not done
    const { times, duration } = this.recording, { tape } = this;
    let to = this.position + seconds;
    const next = times[tape.index];
    if (this.idle.checked && next > to + IDLE_SECONDS) to = next - IDLE_SECONDS;
    to = Math.min(to, duration);
    if (!this.advance(this.recording.indexAt(to)) && tape.index > 0) to = Math.max(times[tape.index - 1], this.position); // this machine is slower than the recording
    this.position = to;
    this.screen.draw(tape.terminal);
    this.showTime();
    if (tape.index >= times.length && this.recording.isWhole) this.toggle(false);
  }

  onKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target !== this.stage) return;
    const speed = step => { this.speed.selectedIndex = Math.min(Math.max(this.speed.selectedIndex + step, 0), SPEEDS.length - 1); };
    const actions = {
      ' ': () => this.toggle(), ArrowLeft: () => this.jump(this.position - STEP_SECONDS), ArrowRight: () => this.jump(this.position + STEP_SECONDS),
      Home: () => this.jump(0), End: () => this.jump(this.recording.duration), ',': () => this.jumpTo(this.tape.index - 1), '.': () => this.jumpTo(this.tape.index + 1),
      '<': () => speed(-1), '>': () => speed(1), '/': () => this.needle.focus(), n: () => this.showHit(this.hit + 1), N: () => this.showHit(this.hit - 1),
    };
    if (!this.tape || !Object.hasOwn(actions, event.key)) return;
    event.preventDefault();
    if (event.key === ',' || event.key === '.') this.toggle(false);
    actions[event.key]();
  }

  // ---- the text

  // Calls check(tape) after each event from the start, in slices, until it returns false or is replaced by a newer pass.
  async pass(tape, isCurrent, check) {
    for (let from = performance.now(); tape.index < this.recording.times.length;) {
      const until = tape.index + 1;
      while (!tape.advance(until, performance.now() + SLICE_MS)) { await nextTurn(); if (!isCurrent()) return false; }
      if (!check(tape)) break;
      if (performance.now() - from > SLICE_MS) { await nextTurn(); if (!isCurrent()) return false; from = performance.now(); }
    }
    return isCurrent();
  }

  // Finds each time at which the text appears on the screen, also one that is overwritten later.
  async find(text) {
    const search = ++this.search, needle = text.trim().toLowerCase();
    this.hits = []; this.hit = -1;
    this.list.replaceChildren();
    this.list.hidden = true;
    this.setSteps();
    this.screen.needle = needle;
    if (this.tape) this.screen.draw(this.tape.terminal);
    this.found.textContent = '';
    if (!needle || !this.tape) return;
    this.found.textContent = 'Searching…';
    let version = 0;
    const counts = new WeakMap(); // rows → how often the text was in them
    const isDone = await this.pass(new Tape(this.recording), () => search === this.search, tape => {
      const { rows, changes } = tape.terminal;
      for (const row of rows) {
        if (row.version <= version) continue;
        const line = row.text.join(''), count = line.toLowerCase().split(needle).length - 1;
        if (count > (counts.get(row) || 0)) this.hits.push({ index: tape.index, time: this.recording.times[tape.index - 1], line: line.trim() });
        counts.set(row, count);
      }
      version = changes;
      return this.hits.length < HITS_MAX;
    });
    if (isDone) this.listHits();
  }

  listHits() {
    const { hits } = this;
    this.list.replaceChildren(...hits.map((hit, i) => element('li', {}, element('button', { type: 'button', onclick: () => this.showHit(i) },
      `${clock(hit.time)} `, element('code', { textContent: hit.line.slice(0, 200) })))));
    this.list.hidden = !hits.length;
    this.found.textContent = hits.length === 0 ? 'Not found' : hits.length >= HITS_MAX ? `The first ${HITS_MAX} places` : hits.length === 1 ? '1 place' : `${hits.length} places`;
    this.setSteps();
    if (hits.length) this.showHit(0);
  }

  setSteps() { for (const button of this.steps) button.disabled = !this.hits.length; }

  showHit(i) {
    const { hits } = this;
    if (!hits.length) return;
    this.list.querySelector('[aria-current]')?.removeAttribute('aria-current');
    this.hit = (i + hits.length) % hits.length;
    const button = this.list.children[this.hit].firstChild;
    button.setAttribute('aria-current', 'true');
    this.list.scrollTop = button.offsetTop - this.list.offsetTop - this.list.clientHeight / 2;
    this.toggle(false);
    this.jumpTo(hits[this.hit].index);
  }

  // All lines of the main screen, and the last screens of full-screen programs.
  async writeTranscript() {
    const { lastChild: pre } = this.transcript;
    if (pre.textContent || !this.tape) return;
    pre.textContent = '…';
    const lines = [], tape = new Tape(this.recording), put = row => { if (lines.length < TRANSCRIPT_LINES) lines.push(row.string()); };
    tape.terminal.listener = { onScrolledOff: put, onScreenLeft: rows => rows.forEach(put) };
    await this.pass(tape, () => true, () => lines.length < TRANSCRIPT_LINES);
    if (tape.terminal.main) tape.terminal.main.forEach(put);
    tape.terminal.rows.forEach(put);
    const text = lines.join('\n').trimEnd();
    pre.textContent = (text || 'This recording has no text.') + (lines.length >= TRANSCRIPT_LINES ? `\n\nOnly ${TRANSCRIPT_LINES} lines are shown. The download has the rest.` : '');
  }
}

const playerBox = document.getElementById('player');
if (playerBox) {
  const player = new Player(playerBox);
  playerBox.hidden = false;
  player.load(playerBox.dataset.cast);
}
