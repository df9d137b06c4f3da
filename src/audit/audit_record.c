/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/random.h>

#include "audit/audit.h"
#include "base/bug.h"
#include "base/limits.h"
#include "base/text.h"

enum {
        DEPTH_MAX = 8,
        RESERVE = 64, /* for the braces of all depths, "truncated", "success" and the newline */
};

/* RFC 9562 section 5.4. */
static void make_uid(char uid[AUDIT_UID_LEN + 1])
{
        uint8_t bytes[16];
        AUTO(buf) hex = BUF_MAX(2 * sizeof bytes);
        size_t at = 0;

        if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
                bug("no random numbers");
        bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);
        bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
        hex_encode(&hex, str_of_bytes(bytes, sizeof bytes));
        for (size_t i = 0; i < hex.len; i++) {
                if (i == 8 || i == 12 || i == 16 || i == 20)
                        uid[at++] = '-';
                uid[at++] = hex.ptr[i];
        }
        uid[at] = '\0';
}

/* ---- fields: each is written completely or not at all ---------------------------------------------- */

/* Whether the field can be written; *ret_start is its start then. */
static bool begin_field(struct audit_record *r, const char *key, size_t *ret_start)
{
        if (r->is_finished)
                bug("an audit record is changed after it was read");
        if (r->skipped > 0)
                return false;
        *ret_start = r->json.len;
        if (r->json.len > 0 && r->json.ptr[r->json.len - 1] != '{')
                buf_put_char(&r->json, ',');
        json_put_string(&r->json, str_of(key));
        buf_put_char(&r->json, ':');
        return true;
}

/* Removes the field if it did not fit; returns whether it was written. */
static bool end_field(struct audit_record *r, size_t start)
{
        if (!r->json.overflowed && r->json.len <= LIMIT_AUDIT_RECORD - RESERVE)
                return true;
        r->json.len = start;
        r->json.overflowed = false;
        r->is_truncated = true;
        return false;
}

/* The first bytes, at most `most`, without cutting a character. */
static struct str truncate_to(struct str value, size_t most)
{
        size_t len = most;

        if (value.len <= len)
                return value;
        while (len > 0 && len + 4 > most && ((uint8_t)value.ptr[len] & 0xc0) == 0x80)
                len--;
        return str_slice(value, 0, len);
}

static struct str truncate(struct str value)
{
        return truncate_to(value, LIMIT_AUDIT_FIELD);
}

void audit_begin(struct audit_record *r, const struct audit_kind *kind, struct walltime at, struct str cluster)
{
        *r = (struct audit_record){ .json = BUF_MAX(LIMIT_AUDIT_RECORD) };
        make_uid(r->uid);
        buf_put_c(&r->json, "{\"time\":\"");
        walltime_put_rfc3339_ms(&r->json, at);
        buf_put_char(&r->json, '"');
        audit_str(r, "uid", str_of(r->uid));
        audit_str(r, "event", str_of(kind->event));
        audit_str(r, "code", str_of(kind->code));
        audit_str(r, "cluster_name", cluster);
        audit_int(r, "ei", 0);
}

void audit_str(struct audit_record *r, const char *key, struct str value)
{
        size_t start;

        if (!begin_field(r, key, &start))
                return;
        json_put_string(&r->json, truncate(value));
        end_field(r, start);
}

/* Control characters take six bytes in JSON. The value is halved until it fits, so that padding cannot hide a command. */
void audit_text(struct audit_record *r, const char *key, struct str value)
{
        bool was_truncated = r->is_truncated;
        size_t start;

        for (size_t most = LIMIT_AUDIT_TEXT; most >= 64 && begin_field(r, key, &start); most /= 2) {
                struct str part = truncate_to(value, most);

                json_put_string(&r->json, part);
                if (end_field(r, start)) {
                        r->is_truncated = was_truncated || part.len < value.len;
                        return;
                }
        }
}

void audit_int(struct audit_record *r, const char *key, int64_t value)
{
        size_t start;

        if (!begin_field(r, key, &start))
                return;
        buf_printf(&r->json, "%lld", (long long)value);
        end_field(r, start);
}

void audit_bool(struct audit_record *r, const char *key, bool value)
{
        size_t start;

        if (r->depth == 0 && str_equal(str_of(key), STR("success"))) {
                r->is_failure = !value; /* written once, at the end of the record */
                return;
        }
        if (!begin_field(r, key, &start))
                return;
        buf_put_c(&r->json, value ? "true" : "false");
        end_field(r, start);
}

void audit_strs(struct audit_record *r, const char *key, const struct str *values, size_t count)
{
        size_t shown = count < LIMIT_AUDIT_VALUES ? count : LIMIT_AUDIT_VALUES;
        size_t start;

        if (!begin_field(r, key, &start))
                return;
        r->is_truncated |= shown < count;
        buf_put_char(&r->json, '[');
        for (size_t i = 0; i < shown; i++) {
                if (i > 0)
                        buf_put_char(&r->json, ',');
                json_put_string(&r->json, truncate(values[i]));
        }
        buf_put_char(&r->json, ']');
        end_field(r, start);
}

void audit_open(struct audit_record *r, const char *key)
{
        size_t start;

        if (r->depth + r->skipped == DEPTH_MAX)
                bug("an audit record nests deeper than %d", DEPTH_MAX);
        bool fits = begin_field(r, key, &start);
        if (fits)
                buf_put_char(&r->json, '{');
        if (fits && end_field(r, start))
                r->depth++;
        else
                r->skipped++; /* no room for the object: its fields are skipped too */
}

void audit_close(struct audit_record *r)
{
        if (r->skipped > 0) {
                r->skipped--;
                return;
        }
        if (r->depth == 0)
                bug("an audit record is closed too often");
        r->depth--;
        buf_put_char(&r->json, '}');
}

/* Closes all open objects. */
static void close_all(struct audit_record *r)
{
        while (r->depth + r->skipped > 0)
                audit_close(r);
}

void audit_error(struct audit_record *r, const struct error *err)
{
        struct str causes[8];
        size_t count = 0;

        close_all(r);
        r->is_failure = true;
        audit_str(r, "error", str_of(err->what));
        for (const struct error *c = err->cause; c != NULL && count < ARRAY_LEN(causes); c = c->cause)
                causes[count++] = str_of(c->what);
        if (count > 0)
                audit_strs(r, "causes", causes, count);
}

struct str audit_record_text(struct audit_record *r)
{
        if (r->is_finished)
                return buf_str(&r->json);
        close_all(r);
        if (r->is_truncated)
                buf_put_c(&r->json, ",\"truncated\":true");
        buf_printf(&r->json, ",\"success\":%s}\n", r->is_failure ? "false" : "true");
        r->is_finished = true;
        return buf_str(&r->json);
}

void audit_record_release(struct audit_record *r)
{
        buf_release(&r->json);
        *r = (struct audit_record){ 0 };
}
