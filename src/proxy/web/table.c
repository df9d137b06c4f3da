/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web/table.h"

#include "http/html.h"

void table_cell(struct buf *out, const char *label, const char *text)
{
        html_print(out, "<td data-label=\"%s\">%s</td>", label, text == NULL ? "" : text);
}

void table_time_cell(struct buf *out, const char *label, const Cteleport__V1__Timestamp *t)
{
        html_print(out, "<td data-label=\"%s\">", label);
        if (t != NULL)
                html_put_time(out, t->seconds);
        buf_put_c(out, "</td>");
}

void table_list_cell(struct buf *out, const char *label, char *const *texts, size_t count)
{
        html_print(out, "<td data-label=\"%s\">", label);
        for (size_t i = 0; i < count; i++)
                html_print(out, i == 0 ? "%s" : ", %s", texts[i]);
        buf_put_c(out, "</td>");
}

void table_begin(struct buf *out, const char *const *columns)
{
        buf_put_c(out, "<div class=\"scroll\"><table class=\"cards\"><thead><tr>");
        for (; *columns != NULL; columns++)
                html_print(out, "<th>%s</th>", *columns);
        buf_put_c(out, "</tr></thead><tbody>\n");
}

void table_end(struct buf *out, const char *next, const char *command)
{
        buf_put_c(out, "</tbody></table></div>\n");
        if (next[0] != '\0')
                html_print(out, "<p class=\"soft\">There are more: <code>%s</code> lists all.</p>\n", command);
}
