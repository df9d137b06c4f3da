/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web/request_rows.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/text.h"

void request_rows_begin(struct request_rows *r, struct str words)
{
        *r = (struct request_rows){ .words = words, .line = BUF_MAX(REQUEST_LINE_MAX) };
}

void request_rows_release(struct request_rows *r)
{
        for (size_t i = 0; i < ARRAY_LEN(r->ring); i++)
                json_decref(r->ring[i].event);
        for (size_t i = 0; i < r->note_count; i++)
                free(r->notes[i]);
        buf_release(&r->line);
        *r = (struct request_rows){ 0 };
}

static const char *text_of(const json_t *event, const char *key)
{
        const char *text = json_string_value(json_object_get(event, key));

        return text == NULL ? "" : text;
}

static int64_t number_of(const json_t *event, const char *key)
{
        return json_integer_value(json_object_get(event, key));
}

static bool contains(const char *text, struct str word)
{
        return str_contains_nocase(str_of(text), word);
}

static bool matches(struct str words, const struct request_row *row)
{
        char status[24];

        snprintf(status, sizeof status, "%lld", (long long)row->status);
        while (!str_is_empty(words)) {
                struct str word = str_split(&words, ' ');

                if (!contains(row->method, word) && !contains(row->path, word) && !contains(row->query, word) && !contains(status, word))
                        return false;
        }
        return true;
}

static void add_note(struct request_rows *r, struct str note)
{
        if (r->note_count < REQUEST_NOTES_MAX)
                r->notes[r->note_count++] = mem_printf("%.*s", STR_ARG(note));
}

/* Takes the event. */
static void add_row(struct request_rows *r, json_t *event)
{
        struct request_row row = {
                .time = text_of(event, "time"), .method = text_of(event, "method"), .path = text_of(event, "path"), .query = text_of(event, "raw_query"),
                .status = number_of(event, "status_code"), .received = number_of(event, "rx"), .sent = number_of(event, "tx"),
                .took_ms = number_of(event, "duration_ms"), .is_cut = json_is_true(json_object_get(event, "cut")), .event = event,
        };
        struct request_row *oldest = &r->ring[r->matching % LIMIT_WEB_REQUESTS_SHOWN];

        r->seen++;
        if (!matches(r->words, &row)) {
                json_decref(event);
                return;
        }
        json_decref(oldest->event);
        *oldest = row;
        r->matching++;
}

static void take_line(struct request_rows *r)
{
        struct str line = str_trim(buf_str(&r->line));
        json_t *event = r->is_too_long ? NULL : json_loadb(line.ptr, line.len, JSON_REJECT_DUPLICATES, NULL);

        if (json_is_object(event)) {
                add_row(r, event);
        } else {
                if (!str_is_empty(line))
                        add_note(r, line.ptr[0] == '[' ? str_slice(line, 1, line.len - 1) : STR("a line of the recording is no request"));
                json_decref(event);
        }
        r->line.len = 0;
        r->is_too_long = false;
}

void request_rows_put(struct request_rows *r, struct str text)
{
        while (!str_is_empty(text)) {
                size_t end = str_find_char(text, '\n');
                struct str part = str_slice(text, 0, end);

                r->is_too_long = r->is_too_long || r->line.len + part.len > REQUEST_LINE_MAX;
                if (!r->is_too_long)
                        buf_put(&r->line, part);
                if (end < text.len)
                        take_line(r);
                text = str_slice(text, end + 1, text.len);
        }
}

size_t request_rows_shown(const struct request_rows *r)
{
        return r->matching < LIMIT_WEB_REQUESTS_SHOWN ? r->matching : LIMIT_WEB_REQUESTS_SHOWN;
}

const struct request_row *request_rows_at(const struct request_rows *r, size_t index)
{
        return &r->ring[(r->matching - 1 - index) % LIMIT_WEB_REQUESTS_SHOWN];
}
