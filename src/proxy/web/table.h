/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of the pages. Their rows become cards on narrow screens, where each cell has the name of its column as a label. */
#ifndef PROXY_WEB_TABLE_H
#define PROXY_WEB_TABLE_H

#include "api.pb-c.h"
#include "base/buf.h"

/* columns: their names, ended by NULL. */
void table_begin(struct buf *out, const char *const *columns);
/* next: "" if the table has all rows; otherwise the command that lists all is shown. */
void table_end(struct buf *out, const char *next, const char *command);

/* Cells; text and time may be NULL. */
void table_cell(struct buf *out, const char *label, const char *text);
void table_time_cell(struct buf *out, const char *label, const Cteleport__V1__Timestamp *t);
void table_list_cell(struct buf *out, const char *label, char *const *texts, size_t count);

#endif
