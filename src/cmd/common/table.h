/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text tables for terminals: cells are left aligned, each column is as wide as its longest cell and a blank, but
 * at least five; every cell is padded, the last one too. With titles, a line of dashes follows them.
 *
 * Cells pass escape_text, so that text of peers cannot control the terminal.
 */
#ifndef CMD_COMMON_TABLE_H
#define CMD_COMMON_TABLE_H

#include "base/buf.h"
#include "base/str.h"

struct table;

/* titles is NULL-terminated static text; its length is the number of columns. */
struct table *table_new(const char *const *titles) MUST_USE;
/* Without titles and dashes. */
struct table *table_new_headless(size_t columns) MUST_USE;
void table_free(struct table *t);
DEFINE_AUTO_PTR(table);

/* Adds a row; cells has an element a column, copied. */
void table_row(struct table *t, const struct str *cells);
#define TABLE_ROW(t, ...) table_row(t, (const struct str[]){ __VA_ARGS__ })

void table_put(struct buf *out, const struct table *t);

/*
 * The same limited to `width` characters: the other columns get an equal share each at most, the column at `index`
 * (the labels) gets the rest; truncated cells end in "...".
 */
void table_put_truncated(struct buf *out, const struct table *t, size_t index, size_t width);

/*
 * The width of the terminal on standard input, 80 without a terminal. Unlimited when the output goes to a
 * program, which needs complete cells.
 */
size_t terminal_width(void);

#endif
