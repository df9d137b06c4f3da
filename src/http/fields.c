/* SPDX-License-Identifier: Apache-2.0 */
#include "http/fields.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/field_name.h"
#include "base/limits.h"
#include "base/mem.h"

enum { ARENA_MAX = 4 * LIMIT_HTTP_HEAD, ROOM_FIRST = 16 };

void http_fields_release(struct http_fields *f)
{
        free(f->list);
        arena_free(f->arena);
        *f = (struct http_fields){ 0 };
}

size_t http_fields_find(const struct http_fields *f, const char *name, size_t from)
{
        struct str wanted = str_of(name);
        size_t i = from;

        while (i < f->count && !str_equal_nocase(f->list[i].name, wanted))
                i++;
        return i < f->count ? i : f->count;
}

struct str http_fields_get(const struct http_fields *f, const char *name)
{
        size_t i = http_fields_find(f, name, 0);

        return i < f->count ? f->list[i].value : (struct str){ 0 };
}

static struct error *check_field(struct str name, struct str value)
{
        if (!http_is_token(name))
                return error_new(ERROR_INVALID_ARGUMENT, "a field has no proper name");
        if (!http_is_field_value(value))
                return error_new(ERROR_INVALID_ARGUMENT, "a field holds control bytes");
        return NULL;
}

struct str http_fields_keep(struct http_fields *f, struct str s)
{
        if (f->arena == NULL)
                f->arena = arena_new(ARENA_MAX);
        struct str kept = arena_str(f->arena, s);
        return kept.ptr == NULL ? STR("") : kept;
}

/* Appends a field whose texts live as long as the list. */
static struct error *append(struct http_fields *f, struct str name, struct str value)
{
        TRY(check_field(name, value));
        if (f->count >= LIMIT_HTTP_FIELDS)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "the message has more than %d fields", LIMIT_HTTP_FIELDS);
        if (f->count == f->room) {
                f->room = f->room == 0 ? ROOM_FIRST : 2 * f->room;
                f->list = mem_resize(f->list, f->room, sizeof(*f->list));
        }
        f->list[f->count++] = (struct http_field){ .name = name, .value = value };
        return f->arena == NULL ? NULL : arena_check(f->arena, "the fields of the message");
}

struct error *http_fields_add(struct http_fields *f, struct str name, struct str value)
{
        return append(f, http_fields_keep(f, name), http_fields_keep(f, str_trim(value)));
}

struct error *http_fields_set(struct http_fields *f, struct str name, struct str value)
{
        AUTO_MEM char *wanted = str_dup(name);

        TRY(check_field(name, str_trim(value)));
        http_fields_remove(f, wanted);
        return http_fields_add(f, name, value);
}

struct error *http_fields_replace(struct http_fields *f, size_t index, struct str value)
{
        value = str_trim(value);
        TRY(check_field(f->list[index].name, value));
        f->list[index].value = http_fields_keep(f, value);
        return arena_check(f->arena, "the fields of the message");
}

void http_fields_remove_at(struct http_fields *f, size_t index)
{
        f->count--;
        memmove(&f->list[index], &f->list[index + 1], (f->count - index) * sizeof(*f->list));
}

size_t http_fields_remove(struct http_fields *f, const char *name)
{
        size_t before = f->count;

        for (size_t i = http_fields_find(f, name, 0); i < f->count; i = http_fields_find(f, name, i))
                http_fields_remove_at(f, i);
        return before - f->count;
}

size_t http_fields_remove_if(struct http_fields *f, bool (*match)(struct str name))
{
        size_t kept = 0, before = f->count;

        for (size_t i = 0; i < before; i++)
                if (!match(f->list[i].name))
                        f->list[kept++] = f->list[i];
        f->count = kept;
        return before - kept;
}

struct error *http_fields_parse_line(struct http_fields *f, struct str line)
{
        size_t colon = str_find_char(line, ':');

        if (colon == line.len)
                return error_new(ERROR_INVALID_ARGUMENT, "a field has no proper name");
        return append(f, str_slice(line, 0, colon), str_trim(str_slice(line, colon + 1, line.len)));
}

void http_fields_put(struct buf *out, const struct http_fields *f)
{
        for (size_t i = 0; i < f->count; i++) {
                buf_put(out, f->list[i].name);
                buf_put_c(out, ": ");
                buf_put(out, f->list[i].value);
                buf_put_c(out, "\r\n");
        }
}

size_t http_fields_size(const struct http_fields *f)
{
        size_t sum = 0;

        for (size_t i = 0; i < f->count; i++)
                sum += f->list[i].name.len + f->list[i].value.len + strlen(": \r\n");
        return sum;
}
