// SPDX-License-Identifier: Apache-2.0
/*
 * A terminal without a display: xterm's sequences (ECMA-48, DEC VT220, xterm's ctlseqs) as far as programs print them. It answers nothing, and
 * skips what it does not know. Everything is bounded: size, parameters, strings, combining characters, the cost of a sequence.
 */
'use strict';

const TERMINAL_COLUMNS_MAX = 512, TERMINAL_ROWS_MAX = 256;
const BOLD = 1, DIM = 2, ITALIC = 4, UNDERLINE = 8, BLINK = 16, INVERSE = 32, CONCEAL = 64, STRIKE = 128, OVERLINE = 256;
const TRUE_COLOUR = 0x1000000; // a colour is 0 (default), 1 + its number in the palette of 256, or TRUE_COLOUR | 0xrrggbb

const terminalWidths = (() => {
  // First and last of the ranges of wide characters (Unicode 15: East_Asian_Width W and F).
  const wide = [0x1100, 0x115f, 0x231a, 0x231b, 0x2329, 0x232a, 0x23e9, 0x23ec, 0x23f0, 0x23f0, 0x23f3, 0x23f3, 0x25fd, 0x25fe, 0x2614, 0x2615, 0x2648, 0x2653,
    0x267f, 0x267f, 0x2693, 0x2693, 0x26a1, 0x26a1, 0x26aa, 0x26ab, 0x26bd, 0x26be, 0x26c4, 0x26c5, 0x26ce, 0x26ce, 0x26d4, 0x26d4, 0x26ea, 0x26ea, 0x26f2, 0x26f3,
    0x26f5, 0x26f5, 0x26fa, 0x26fa, 0x26fd, 0x26fd, 0x2705, 0x2705, 0x270a, 0x270b, 0x2728, 0x2728, 0x274c, 0x274c, 0x274e, 0x274e, 0x2753, 0x2755, 0x2757, 0x2757,
    0x2795, 0x2797, 0x27b0, 0x27b0, 0x27bf, 0x27bf, 0x2b1b, 0x2b1c, 0x2b50, 0x2b50, 0x2b55, 0x2b55, 0x2e80, 0x303e, 0x3041, 0x33ff, 0x3400, 0x4dbf, 0x4e00, 0xa4cf,
    0xa960, 0xa97f, 0xac00, 0xd7a3, 0xf900, 0xfaff, 0xfe10, 0xfe19, 0xfe30, 0xfe6f, 0xff01, 0xff60, 0xffe0, 0xffe6, 0x16fe0, 0x18cff, 0x1aff0, 0x1b2ff,
    0x1f004, 0x1f004, 0x1f0cf, 0x1f0cf, 0x1f18e, 0x1f18e, 0x1f191, 0x1f19a, 0x1f200, 0x1f320, 0x1f32d, 0x1f335, 0x1f337, 0x1f37c, 0x1f37e, 0x1f393, 0x1f3a0, 0x1f3ca,
    0x1f3cf, 0x1f3d3, 0x1f3e0, 0x1f3f0, 0x1f3f4, 0x1f3f4, 0x1f3f8, 0x1f43e, 0x1f440, 0x1f440, 0x1f442, 0x1f4fc, 0x1f4ff, 0x1f53d, 0x1f54b, 0x1f54e, 0x1f550, 0x1f567,
    0x1f57a, 0x1f57a, 0x1f595, 0x1f596, 0x1f5a4, 0x1f5a4, 0x1f5fb, 0x1f64f, 0x1f680, 0x1f6c5, 0x1f6cc, 0x1f6cc, 0x1f6d0, 0x1f6d2, 0x1f6d5, 0x1f6d7, 0x1f6dc, 0x1f6df,
    0x1f6eb, 0x1f6ec, 0x1f6f4, 0x1f6fc, 0x1f7e0, 0x1f7eb, 0x1f7f0, 0x1f7f0, 0x1f90c, 0x1f93a, 0x1f93c, 0x1f945, 0x1f947, 0x1f9ff, 0x1fa70, 0x1faff, 0x20000, 0x3fffd];
  const none = /^[\p{Mn}\p{Me}\p{Cf}\u1160-\u11ff]$/u;
  return { wide, none };
})();

// The number of cells of a character: 0 (joins the one before), 1 or 2.
function terminalWidth(code) {
  if (code < 0x300) return 1;
  const { wide, none } = terminalWidths;
  let low = 0, high = wide.length / 2 - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (code < wide[2 * middle]) high = middle - 1;
    else if (code > wide[2 * middle + 1]) low = middle + 1;
    else return 2;
  }
  return none.test(String.fromCodePoint(code)) ? 0 : 1;
}

// DEC Special Graphics, from 0x5f on.
const DEC_GRAPHICS = '\u00a0\u25c6\u2592\u2409\u240c\u240d\u240a\u00b0\u00b1\u2424\u240b\u2518\u2510\u250c\u2514\u253c\u23ba\u23bb\u2500\u23bc\u23bd\u251c\u2524\u2534\u252c\u2502\u2264\u2265\u03c0\u2260\u00a3\u00b7';

class TerminalRow {
  constructor(columns, background = 0) {
    this.text = new Array(columns).fill(' '); // a cell's character with those that combine with it; '' is the right half of a wide one
    this.fg = new Uint32Array(columns);
    this.bg = new Uint32Array(columns);
    this.flags = new Uint16Array(columns);
    if (background) this.bg.fill(background);
    this.isWrapped = false; // it continues on the next row
    this.version = 0;       // of its content; larger after each change
    this.isShared = false;  // a blank row that is in several places, and is not changed
  }

  // A row of its own with this content and another width.
  copy(columns = this.text.length) {
    const row = new TerminalRow(columns), kept = Math.min(this.text.length, columns);
    for (let x = 0; x < kept; x++) row.text[x] = this.text[x];
    for (const field of ['fg', 'bg', 'flags']) row[field].set(this[field].subarray(0, kept));
    if (this.text[kept] === '') row.text[kept - 1] = ' ';
    row.isWrapped = this.isWrapped && kept === columns;
    row.version = this.version;
    return row;
  }

  // Its text without blanks at the end; whole: with them, if it continues on the next row.
  string() {
    const text = this.text.join('');
    return this.isWrapped ? text : text.trimEnd();
  }
}

class Terminal {
  constructor(columns, rows) {
    this.listener = null; // onScrolledOff(row): it left the top of the main screen; onScreenLeft(rows): of the alternate screen
    this.changes = 0;
    this.blanks = new Map(); // background → shared row
    this.setSize(columns, rows);
    this.reset();
  }

  setSize(columns, rows) {
    this.columns = Math.min(Math.max(Math.trunc(columns) || 80, 2), TERMINAL_COLUMNS_MAX);
    this.height = Math.min(Math.max(Math.trunc(rows) || 24, 1), TERMINAL_ROWS_MAX);
    this.blanks.clear();
  }

  reset() {
    this.rows = this.blankScreen();
    this.main = null; // the rows of the main screen while the alternate one is shown
    this.x = this.y = 0;
    this.isPending = false; // the last column was written: the next character wraps
    this.fg = this.bg = this.flags = 0;
    this.saved = { main: null, alternate: null };
    this.title = '';
    this.last = '';
    this.tabs = null; // columns with a stop; null: every eighth
    this.state = this.ground;
    this.softReset();
  }

  softReset() {
    this.top = 0;
    this.bottom = this.height - 1;
    this.fg = this.bg = this.flags = 0;
    this.hasOrigin = this.isInserting = this.isNewline = this.isReversed = false;
    this.wraps = this.showsCursor = true;
    this.sets = [false, false]; // whether G0 and G1 are the special graphics
    this.shift = 0;
  }

  blank(background = 0) {
    let row = this.blanks.get(background);
    if (row) return row;
    row = new TerminalRow(this.columns, background);
    row.isShared = true;
    if (this.blanks.size >= 64) this.blanks.clear();
    this.blanks.set(background, row);
    return row;
  }

  blankScreen() { return new Array(this.height).fill(this.blank()); }

  // The row of the cursor, or another, to be changed.
  own(y = this.y) {
    if (this.rows[y].isShared) this.rows[y] = this.rows[y].copy();
    return this.rows[y];
  }

  // ---- states that can be kept

  snapshot() {
    const copy = rows => rows && rows.map(row => (row.isShared ? row : row.copy()));
    const { listener, blanks, ...rest } = this;
    return { ...rest, rows: copy(this.rows), main: copy(this.main), saved: { ...this.saved }, sets: this.sets.slice(), tabs: this.tabs && new Set(this.tabs) };
  }

  restore(kept) {
    const changes = Math.max(this.changes, kept.changes);
    Object.assign(this, Terminal.prototype.snapshot.call(kept), { changes });
    this.blanks.clear();
  }

  get cells() { return this.columns * this.height * (this.main ? 2 : 1); }

  // All rows of the screen as text.
  strings() { return this.rows.map(row => row.text.join('').trimEnd()); }

  touch(row) { row.version = ++this.changes; }

  resize(columns, rows) {
    const from = this.height;
    this.setSize(columns, rows);
    for (const screen of this.main ? [this.rows, this.main] : [this.rows]) {
      screen.forEach((row, y) => {
        if (row.text.length === this.columns) return;
        screen[y] = row.isShared ? this.blank(row.bg[0]) : row.copy(this.columns);
        if (!row.isShared) this.touch(screen[y]);
      });
      const isMain = screen !== this.rows || !this.main;
      while (screen.length > this.height) {
        if (screen.length - 1 > (screen === this.rows ? this.y : this.height)) screen.pop();
        else { const off = screen.shift(); if (isMain && this.listener) this.listener.onScrolledOff(off); if (screen === this.rows) this.y--; }
      }
      while (screen.length < this.height) screen.push(this.blank());
    }
    if (from !== this.height) [this.top, this.bottom] = [0, this.height - 1];
    this.bottom = Math.min(this.bottom, this.height - 1);
    this.move(this.x, this.y);
  }

  // ---- input

  // Processes text from one index on, up to another.
  write(text, from = 0, until = text.length) {
    for (let i = from; i < until; i++) {
      let code = text.charCodeAt(i);
      if (code >= 0xd800 && code <= 0xdfff) {
        const low = code < 0xdc00 && i + 1 < text.length ? text.charCodeAt(i + 1) : 0;
        if (low >= 0xdc00 && low <= 0xdfff) { code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00); i++; }
        else code = 0xfffd; // a byte that was no part of a character
      }
      this.state(code);
    }
  }

  ground(code) {
    if (code < 0x20 || code === 0x7f) this.control(code);
    else if (code < 0x80 || code > 0x9f) this.print(code);
  }

  control(code) {
    switch (code) {
      case 0x08: this.move(this.x - 1, this.y); break;
      case 0x09: this.tab(1); break;
      case 0x0a: case 0x0b: case 0x0c: this.index(); if (this.isNewline) this.x = 0; break;
      case 0x0d: this.move(0, this.y); break;
      case 0x0e: this.shift = 1; break;
      case 0x0f: this.shift = 0; break;
      case 0x18: case 0x1a: this.state = this.ground; break;
      case 0x1b: this.state = this.escape; this.inter = ''; break;
    }
  }

  escape(code) {
    if (code < 0x20) { this.control(code); return; }
    if (code <= 0x2f) { if (this.inter.length < 4) this.inter += String.fromCharCode(code); return; }
    this.state = this.ground;
    const final = String.fromCodePoint(code);
    if (this.inter !== '') this.escapeWith(this.inter, final);
    else if (final === '[') { this.params = [0]; this.isSub = [false]; this.prefix = ''; this.state = this.csi; }
    else if (final === ']') { this.string = ''; this.state = this.osc; }
    else if ('PX^_'.includes(final)) { this.skipped = 0; this.state = this.skip; }
    else if (final === '7') this.save();
    else if (final === '8') this.recall();
    else if (final === 'D') this.index();
    else if (final === 'E') { this.index(); this.x = 0; }
    else if (final === 'M') this.reverseIndex();
    else if (final === 'H') this.stops().add(this.x);
    else if (final === 'c') this.reset();
  }

  escapeWith(inter, final) {
    if (inter === '(' || inter === ')') this.sets[inter === '(' ? 0 : 1] = final === '0';
    else if (inter === '#' && final === '8') {
      this.rows = this.rows.map(() => { const row = new TerminalRow(this.columns); row.text.fill('E'); this.touch(row); return row; });
      [this.top, this.bottom] = [0, this.height - 1];
      this.move(0, 0);
    }
  }

  csi(code) {
    const { params } = this;
    if (code < 0x20) this.control(code);
    else if (code >= 0x30 && code <= 0x39) params[params.length - 1] = Math.min(params[params.length - 1] * 10 + code - 0x30, 65535);
    else if (code === 0x3a || code === 0x3b) {
      if (params.length < 32) { params.push(0); this.isSub.push(code === 0x3a); }
      else this.prefix = 'x'; // too many: not executed
    } else if (code >= 0x3c && code <= 0x3f) this.prefix = String.fromCharCode(code);
    else if (code <= 0x2f) { if (this.inter.length < 4) this.inter += String.fromCharCode(code); }
    else { this.state = this.ground; if (code <= 0x7e) this.execute(String.fromCharCode(code)); }
  }

  // A string for the terminal: only a title is used. A newline ends it, so that a string without an end does not hide what follows.
  osc(code) {
    if (code === 0x1b || code === 0x07 || code === 0x18 || code === 0x1a || code === 0x0a) {
      const title = /^[02];(.*)/su.exec(this.string);
      if (title && code !== 0x18 && code !== 0x1a) this.title = title[1].replace(/[\p{C}]/gu, '').slice(0, 256);
      this.state = this.ground;
      if (code === 0x1b || code === 0x0a) this.control(code);
    } else if (this.string.length < 1024) this.string += String.fromCodePoint(code);
  }

  skip(code) {
    if (code !== 0x1b && code !== 0x18 && code !== 0x1a && ++this.skipped < 1 << 20) return;
    this.state = this.ground;
    if (code === 0x1b) this.control(code);
  }

  execute(final) {
    const { params, prefix, inter } = this;
    const first = Math.max(params[0], 1), second = Math.max(params[1] || 0, 1);
    if (inter !== '') { if (inter === '!' && final === 'p') this.softReset(); return; }
    if (prefix === '?') {
      if (final === 'h' || final === 'l') for (const mode of params) this.setPrivate(mode, final === 'h');
      else if (final === 'J') this.eraseScreen(params[0]);
      else if (final === 'K') this.eraseLine(params[0]);
      return;
    }
    if (prefix !== '') return;
    switch (final) {
      case 'A': this.moveRows(-first); break;
      case 'B': case 'e': this.moveRows(first); break;
      case 'C': case 'a': this.move(this.x + first, this.y); break;
      case 'D': this.move(this.x - first, this.y); break;
      case 'E': this.moveRows(first); this.x = 0; break;
      case 'F': this.moveRows(-first); this.x = 0; break;
      case 'G': case '`': this.move(first - 1, this.y); break;
      case 'H': case 'f': this.place(second - 1, first - 1); break;
      case 'd': this.place(this.x, first - 1); break;
      case 'I': this.tab(first); break;
      case 'Z': this.tab(-first); break;
      case 'J': this.eraseScreen(params[0]); break;
      case 'K': this.eraseLine(params[0]); break;
      case '@': this.insertCells(first); break;
      case 'P': this.deleteCells(first); break;
      case 'X': this.erase(this.y, this.x, this.x + first); break;
      case 'L': this.scrollAt(first, -1); break;
      case 'M': this.scrollAt(first, 1); break;
      case 'S': this.scroll(this.top, this.bottom, first); break;
      case 'T': if (params.length === 1) this.scroll(this.top, this.bottom, -first); break;
      case 'b': if (this.last) for (let n = Math.min(first, this.columns); n > 0; n--) this.print(this.last.codePointAt(0), true); break;
      case 'g': if (params[0] === 3) this.tabs = new Set(); else if (params[0] === 0) this.stops().delete(this.x); break;
      case 'h': case 'l': for (const mode of params) { if (mode === 4) this.isInserting = final === 'h'; else if (mode === 20) this.isNewline = final === 'h'; } break;
      case 'm': this.style(); break;
      case 'r': this.setRegion(first - 1, (params[1] || this.height) - 1); break;
      case 's': this.save(); break;
      case 'u': this.recall(); break;
    }
  }

  setPrivate(mode, on) {
    if (mode === 5) this.isReversed = on;
    else if (mode === 6) { this.hasOrigin = on; this.place(0, 0); }
    else if (mode === 7) this.wraps = on;
    else if (mode === 25) this.showsCursor = on;
    else if (mode === 1048) { if (on) this.save(); else this.recall(); }
    else if (mode === 47 || mode === 1047 || mode === 1049) this.switchScreen(mode, on);
  }

  switchScreen(mode, on) {
    if (on === (this.main !== null)) return;
    if (on) {
      if (mode === 1049) this.save();
      this.main = this.rows;
      this.rows = this.blankScreen();
    } else {
      if (this.listener) this.listener.onScreenLeft(this.rows);
      this.rows = this.main;
      this.main = null;
      if (mode === 1049) this.recall();
    }
    this.isPending = false;
  }

  save() {
    const { x, y, isPending, fg, bg, flags, hasOrigin, sets, shift } = this;
    this.saved[this.main ? 'alternate' : 'main'] = { x, y, isPending, fg, bg, flags, hasOrigin, sets: sets.slice(), shift };
  }

  recall() {
    const kept = this.saved[this.main ? 'alternate' : 'main'] || { x: 0, y: 0, isPending: false, fg: 0, bg: 0, flags: 0, hasOrigin: false, sets: [false, false], shift: 0 };
    Object.assign(this, kept, { sets: kept.sets.slice() });
    const { isPending } = kept;
    this.move(this.x, this.y);
    this.isPending = isPending && this.x === this.columns - 1;
  }

  // ---- the cursor

  move(x, y) {
    this.x = Math.min(Math.max(x, 0), this.columns - 1);
    this.y = Math.min(Math.max(y, 0), this.height - 1);
    this.isPending = false;
  }

  // By rows: a margin of the scroll region stops it.
  moveRows(count) {
    const low = this.y >= this.top ? this.top : 0, high = this.y <= this.bottom ? this.bottom : this.height - 1;
    this.move(this.x, Math.min(Math.max(this.y + count, low), high));
  }

  // To a position as sequences give it: within the region, if it is the origin.
  place(x, y) {
    if (this.hasOrigin) this.move(x, Math.min(y + this.top, this.bottom));
    else this.move(x, y);
  }

  setRegion(top, bottom) {
    bottom = Math.min(bottom, this.height - 1);
    if (top >= bottom) return;
    [this.top, this.bottom] = [top, bottom];
    this.place(0, 0);
  }

  stops() {
    if (!this.tabs) { this.tabs = new Set(); for (let x = 8; x < TERMINAL_COLUMNS_MAX; x += 8) this.tabs.add(x); }
    return this.tabs;
  }

  tab(count) {
    const step = Math.sign(count);
    let { x } = this;
    for (let n = Math.min(Math.abs(count), this.columns); n > 0; n--)
      do x += step; while (x > 0 && x < this.columns - 1 && !(this.tabs ? this.tabs.has(x) : x % 8 === 0));
    this.move(x, this.y);
  }

  index() {
    this.isPending = false;
    if (this.y === this.bottom) this.scroll(this.top, this.bottom, 1);
    else if (this.y < this.height - 1) this.y++;
  }

  reverseIndex() {
    this.isPending = false;
    if (this.y === this.top) this.scroll(this.top, this.bottom, -1);
    else if (this.y > 0) this.y--;
  }

  // ---- changes

  print(code, isRepeated = false) {
    let char = String.fromCodePoint(code);
    if (!isRepeated && this.sets[this.shift] && code >= 0x5f && code <= 0x7e) char = DEC_GRAPHICS[code - 0x5f];
    const width = terminalWidth(char.codePointAt(0));
    if (width === 0) { this.combine(char); return; }
    if (this.isPending || (width === 2 && this.x === this.columns - 1)) {
      if (this.wraps) { this.own().isWrapped = true; this.index(); this.x = 0; }
      else this.x = this.columns - width;
      this.isPending = false;
    }
    if (this.isInserting) this.insertCells(width);
    const row = this.own(), { x } = this;
    this.split(row, x);
    this.split(row, x + width);
    for (let i = x; i < x + width; i++) { row.text[i] = i === x ? char : ''; row.fg[i] = this.fg; row.bg[i] = this.bg; row.flags[i] = this.flags; }
    this.touch(row);
    this.last = char;
    if (x + width >= this.columns) { this.x = this.columns - 1; this.isPending = true; }
    else this.x = x + width;
  }

  combine(char) {
    const row = this.own();
    let x = this.isPending ? this.x : this.x - 1;
    if (x >= 0 && row.text[x] === '') x--;
    if (x < 0 || row.text[x].length >= 16) return;
    row.text[x] += char;
    this.touch(row);
  }

  // Makes blanks of a wide character whose right half is at x: something else will take one of the halves.
  split(row, x) {
    if (x > 0 && x < this.columns && row.text[x] === '') row.text[x - 1] = row.text[x] = ' ';
  }

  erase(y, from, until) {
    until = Math.min(until, this.columns);
    this.isPending = false;
    if (from === 0 && until === this.columns) { this.rows[y] = this.blank(this.bg); return; }
    const row = this.own(y);
    this.split(row, from);
    this.split(row, until);
    row.text.fill(' ', from, until);
    row.fg.fill(0, from, until);
    row.bg.fill(this.bg, from, until);
    row.flags.fill(0, from, until);
    if (until === this.columns) row.isWrapped = false;
    this.touch(row);
  }

  eraseLine(which) {
    if (which > 2) return;
    this.erase(this.y, which === 0 ? this.x : 0, which === 1 ? this.x + 1 : this.columns);
  }

  eraseScreen(which) {
    if (which > 2) return;
    if (which < 2) this.eraseLine(which);
    const from = which === 0 ? this.y + 1 : 0, until = which === 1 ? this.y : this.height;
    for (let y = from; y < until; y++) this.erase(y, 0, this.columns);
  }

  shiftCells(row, from, to) {
    for (const field of ['text', 'fg', 'bg', 'flags']) row[field].copyWithin(to, from, to < from ? this.columns : this.columns - (to - from));
  }

  insertCells(count) {
    const row = this.own(), n = Math.min(count, this.columns - this.x);
    this.split(row, this.x);
    this.split(row, this.columns - n);
    this.shiftCells(row, this.x, this.x + n);
    this.erase(this.y, this.x, this.x + n);
  }

  deleteCells(count) {
    const row = this.own(), n = Math.min(count, this.columns - this.x);
    this.split(row, this.x);
    this.split(row, this.x + n);
    this.shiftCells(row, this.x + n, this.x);
    this.erase(this.y, this.columns - n, this.columns);
  }

  // Rows move up, or down if count is negative.
  scroll(top, bottom, count) {
    const n = Math.min(Math.abs(count), bottom - top + 1), off = this.rows.splice(count > 0 ? top : bottom - n + 1, n);
    this.rows.splice(count > 0 ? bottom - n + 1 : top, 0, ...new Array(n).fill(this.blank(this.bg)));
    if (count > 0 && top === 0 && !this.main && this.listener) off.forEach(row => this.listener.onScrolledOff(row));
  }

  scrollAt(count, direction) {
    if (this.y < this.top || this.y > this.bottom) return;
    this.scroll(this.y, this.bottom, direction * count);
    this.move(0, this.y);
  }

  // ---- colours and attributes

  style() {
    const { params, isSub } = this, set = [0, BOLD, DIM, ITALIC, UNDERLINE, BLINK, BLINK, INVERSE, CONCEAL, STRIKE];
    for (let i = 0; i < params.length;) {
      let end = i + 1;
      while (end < params.length && isSub[end]) end++;
      const n = params[i];
      if (n === 0) this.fg = this.bg = this.flags = 0;
      else if (n === 4 && end > i + 1 && params[i + 1] === 0) this.flags &= ~UNDERLINE;
      else if (n < 10) this.flags |= set[n];
      else if (n === 21) this.flags |= UNDERLINE;
      else if (n === 22) this.flags &= ~(BOLD | DIM);
      else if (n >= 23 && n <= 29 && n !== 26) this.flags &= ~set[n - 20];
      else if (n >= 30 && n <= 37) this.fg = 1 + n - 30;
      else if (n >= 40 && n <= 47) this.bg = 1 + n - 40;
      else if (n >= 90 && n <= 97) this.fg = 9 + n - 90;
      else if (n >= 100 && n <= 107) this.bg = 9 + n - 100;
      else if (n === 39) this.fg = 0;
      else if (n === 49) this.bg = 0;
      else if (n === 53) this.flags |= OVERLINE;
      else if (n === 55) this.flags &= ~OVERLINE;
      else if (n === 38 || n === 48 || n === 58) {
        const { colour, length } = this.colourAt(i, end);
        if (n === 38 && colour !== null) this.fg = colour;
        if (n === 48 && colour !== null) this.bg = colour;
        end = Math.max(end, i + length);
      }
      i = end;
    }
  }

  // The colour of 38;5;n, 38;2;r;g;b, 38:5:n, 38:2:r:g:b and 38:2:space:r:g:b at i; end: behind its subparameters.
  colourAt(i, end) {
    const { params } = this, isColon = end > i + 1, kind = params[i + 1];
    if (kind === 5) return { colour: params[i + 2] <= 255 ? 1 + params[i + 2] : null, length: 3 };
    if (kind !== 2) return { colour: null, length: 2 };
    const at = isColon && end - i >= 6 ? i + 3 : i + 2, rgb = [0, 1, 2].map(n => Math.min(params[at + n] || 0, 255));
    return { colour: TRUE_COLOUR | rgb[0] << 16 | rgb[1] << 8 | rgb[2], length: isColon ? 1 : 5 };
  }
}
