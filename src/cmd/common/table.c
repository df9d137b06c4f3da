/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/common/table.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"

enum {
        COLUMN_WIDTH_MIN = 5,
        CELL_MAX = 4 * KiB, /* bytes of a cell, escaped */
        FRAME = 16,         /* characters of a line set aside before the columns share it */
        CUT_MIN = 8,        /* minimum width of a useful column */
        TERMINAL_WIDTH_DEFAULT = 80,
};

struct table {
        const char *const *titles; /* NULL: headless */
        size_t columns;
        char **cells; /* row after row, escaped */
        size_t cell_count, cell_room;
};

static struct table *make(const char *const *titles, size_t columns)
{
        struct table *t = NEW(struct table);

        t->titles = titles;
        t->columns = columns;
        return t;
}

struct table *table_new(const char *const *titles)
{
        size_t columns = 0;

        while (titles[columns] != NULL)
                columns++;
        return make(titles, columns);
}

struct table *table_new_headless(size_t columns)
{
        return make(NULL, columns);
}

void table_free(struct table *t)
{
        if (t == NULL)
                return;
        for (size_t i = 0; i < t->cell_count; i++)
                free(t->cells[i]);
        free(t->cells);
        free(t);
}

void table_row(struct table *t, const struct str *cells)
{
        if (t->cell_count + t->columns > t->cell_room) {
                t->cell_room = 2 * t->cell_room + 16 * t->columns;
                t->cells = mem_resize(t->cells, t->cell_room, sizeof *t->cells);
        }
        for (size_t i = 0; i < t->columns; i++) {
                AUTO(buf) cell = BUF_MAX(2 * CELL_MAX);

                escape_text(&cell, cells[i], CELL_MAX);
                t->cells[t->cell_count++] = buf_take(&cell);
        }
}

/* Characters, not bytes: escaped text is well-formed UTF-8. */
static size_t width_of(const char *cell)
{
        size_t width = 0;

        for (; *cell != '\0'; cell++)
                width += ((unsigned char)*cell & 0xc0) != 0x80;
        return width;
}

/* The first `most` characters of a cell. */
static struct str clip(const char *cell, size_t most)
{
        const char *end = cell;

        while (*end != '\0') {
                if (((unsigned char)*end & 0xc0) != 0x80 && most-- == 0)
                        break;
                end++;
        }
        return str_of_bytes(cell, (size_t)(end - cell));
}

/* Writes a cell in a column: at most `most` characters of it, padded to `width`. */
static void put_cell(struct buf *out, const char *cell, size_t most, size_t width)
{
        size_t length = width_of(cell);

        if (length > most) {
                buf_put(out, clip(cell, most - 3));
                buf_put_c(out, "...");
                length = most;
        } else {
                buf_put_c(out, cell);
        }
        buf_printf(out, "%*s", (int)(width - length), "");
}

static size_t longest_cell(const struct table *t, size_t column)
{
        size_t longest = t->titles == NULL ? 0 : width_of(t->titles[column]);

        for (size_t i = column; i < t->cell_count; i += t->columns) {
                size_t width = width_of(t->cells[i]);

                longest = width > longest ? width : longest;
        }
        return longest;
}

/* most[i]: the number of characters that column i shows of a cell. */
static void put_with_limits(struct buf *out, const struct table *t, const size_t *most)
{
        size_t *lengths = mem_array(t->columns, sizeof *lengths);
        size_t *widths = mem_array(t->columns, sizeof *widths);

        for (size_t i = 0; i < t->columns; i++) {
                size_t longest = longest_cell(t, i);

                lengths[i] = longest < most[i] ? longest : most[i];
                widths[i] = lengths[i] + 1 > COLUMN_WIDTH_MIN ? lengths[i] + 1 : COLUMN_WIDTH_MIN;
        }
        if (t->titles != NULL) {
                for (size_t i = 0; i < t->columns; i++)
                        put_cell(out, t->titles[i], most[i], widths[i]);
                buf_put_char(out, '\n');
                for (size_t i = 0; i < t->columns; i++) {
                        for (size_t n = 0; n < lengths[i]; n++)
                                buf_put_char(out, '-');
                        buf_printf(out, "%*s", (int)(widths[i] - lengths[i]), "");
                }
                buf_put_char(out, '\n');
        }
        for (size_t i = 0; i < t->cell_count; i++) {
                put_cell(out, t->cells[i], most[i % t->columns], widths[i % t->columns]);
                if ((i + 1) % t->columns == 0)
                        buf_put_char(out, '\n');
        }
        free(lengths);
        free(widths);
}

void table_put(struct buf *out, const struct table *t)
{
        size_t *most = mem_array(t->columns, sizeof *most);

        for (size_t i = 0; i < t->columns; i++)
                most[i] = SIZE_MAX;
        put_with_limits(out, t, most);
        free(most);
}

void table_put_truncated(struct buf *out, const struct table *t, size_t index, size_t width)
{
        size_t *most = mem_array(t->columns, sizeof *most);
        size_t share = t->columns > 1 && width > FRAME ? (width - FRAME) / (t->columns - 1) : width;
        size_t used = 0, whole = 0;

        for (size_t i = 0; i < t->columns; i++)
                whole += longest_cell(t, i) + 1;
        if (whole <= width) {
                free(most);
                table_put(out, t);
                return;
        }
        if (share < CUT_MIN)
                share = CUT_MIN;
        for (size_t i = 0; i < t->columns; i++) {
                size_t longest = longest_cell(t, i);

                most[i] = share;
                if (i != index)
                        used += (longest < share ? longest : share) + 1;
        }
        most[index] = used + 4 + CUT_MIN < width ? width - used - 4 : CUT_MIN;
        put_with_limits(out, t, most);
        free(most);
}

size_t terminal_width(void)
{
        struct winsize size = { 0 };

        if (!isatty(STDOUT_FILENO))
                return SIZE_MAX;
        if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
                return TERMINAL_WIDTH_DEFAULT;
        return size.ws_col;
}
