/* SPDX-License-Identifier: Apache-2.0 */
#include "client/metrics_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { VALUE_MAX = 64 };

static bool is_name_char(char c)
{
        return char_is_alnum(c) || c == '_' || c == ':';
}

/* The length of a name at the beginning of a text; 0: there is none. */
static size_t name_length(struct str text)
{
        size_t len = 0;

        while (len < text.len && is_name_char(text.ptr[len]))
                len++;
        return len > 0 && text.ptr[0] >= '0' && text.ptr[0] <= '9' ? 0 : len;
}

/* The length of `name="value"`; 0: it is something else. */
static size_t label_length(struct str text)
{
        size_t at = name_length(text);

        if (at == 0 || at + 2 > text.len || text.ptr[at] != '=' || text.ptr[at + 1] != '"')
                return 0;
        for (at += 2; at < text.len && text.ptr[at] != '"'; at++)
                if (text.ptr[at] < ' ' || text.ptr[at] > '~' || text.ptr[at] == '\\')
                        return 0;
        return at < text.len ? at + 1 : 0;
}

/* The length of a series at the beginning of a line; 0: there is none. */
static size_t series_length(struct str line)
{
        size_t at = name_length(line), len;

        if (at == 0 || at == line.len || line.ptr[at] != '{')
                return at;
        do {
                at++;
                len = label_length(str_slice(line, at, line.len));
                at += len;
        } while (len > 0 && at < line.len && line.ptr[at] == ',');
        return len > 0 && at < line.len && line.ptr[at] == '}' ? at + 1 : 0;
}

static bool parse_value(struct str text, double *ret)
{
        char copy[VALUE_MAX], *end;

        if (text.len == 0 || text.len >= sizeof copy || text.ptr[0] == ' ' || memchr(text.ptr, '\0', text.len) != NULL)
                return false;
        memcpy(copy, text.ptr, text.len);
        copy[text.len] = '\0';
        *ret = strtod(copy, &end);
        return *end == '\0';
}

static bool parse_line(struct str line, struct metrics_sample *ret)
{
        size_t len = series_length(line);

        ret->series = str_slice(line, 0, len);
        return len > 0 && len < line.len && line.ptr[len] == ' ' && parse_value(str_slice(line, len + 1, line.len), &ret->value);
}

struct error *metrics_text_parse(struct str text, struct metrics_text *ret)
{
        AUTO(metrics_text) m = { 0 };
        size_t room = 0, number = 0;

        if (text.len > METRICS_TEXT_MAX)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "the metrics have more than %d bytes", METRICS_TEXT_MAX);
        while (!str_is_empty(text)) {
                struct str line = str_split(&text, '\n');

                number++;
                if (line.len == 0 || line.ptr[0] == '#')
                        continue;
                if (m.count == METRICS_TEXT_SAMPLES_MAX)
                        return error_new(ERROR_RESOURCE_EXHAUSTED, "there are more than %d metrics", METRICS_TEXT_SAMPLES_MAX);
                if (m.count == room) {
                        room = room == 0 ? 512 : 2 * room;
                        m.all = mem_resize(m.all, room, sizeof *m.all);
                }
                if (!parse_line(line, &m.all[m.count]))
                        return error_new(ERROR_INVALID_ARGUMENT, "line %zu is not a metric", number);
                m.count++;
        }
        *ret = m;
        m = (struct metrics_text){ 0 };
        return NULL;
}

void metrics_text_release(struct metrics_text *m)
{
        free(m->all);
        *m = (struct metrics_text){ 0 };
}

double metrics_text_value(const struct metrics_text *m, const char *series)
{
        for (size_t i = 0; i < m->count; i++)
                if (str_equal(m->all[i].series, str_of(series)))
                        return m->all[i].value;
        return NAN;
}

struct str metrics_text_label(struct str series, const char *label)
{
        struct str rest = series;

        (void)str_split(&rest, '{');
        for (size_t len; (len = label_length(rest)) > 0; rest = str_slice(rest, len + 1, rest.len)) {
                size_t name = name_length(rest);

                if (str_equal(str_slice(rest, 0, name), str_of(label)))
                        return str_slice(rest, name + 2, len - name - 3);
        }
        return STR("");
}

double metrics_text_within(const struct metrics_text *m, const char *name, const char *labels, double share)
{
        AUTO_MEM char *begin = mem_printf("%s_bucket{%s%sle=\"", name, labels, labels[0] == '\0' ? "" : ",");
        AUTO_MEM char *total = labels[0] == '\0' ? mem_printf("%s_count", name) : mem_printf("%s_count{%s}", name, labels);
        double count = metrics_text_value(m, total), bound;

        for (size_t i = 0; count > 0 && i < m->count; i++)
                if (str_starts_with(m->all[i].series, str_of(begin)) && m->all[i].value >= share * count)
                        return parse_value(metrics_text_label(m->all[i].series, "le"), &bound) && isfinite(bound) ? bound : NAN;
        return NAN;
}
