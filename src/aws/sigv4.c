/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/sigv4.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/secret.h"
#include "base/text.h"
#include "pki/key.h"

enum { HASH_LEN = 32 };

static bool is_space(char c)
{
        return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_unreserved(char c)
{
        return char_is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

void sigv4_put_encoded(struct buf *out, struct str bytes, bool keep_slash)
{
        for (size_t i = 0; i < bytes.len; i++) {
                char c = bytes.ptr[i];

                if (is_unreserved(c) || (c == '/' && keep_slash))
                        buf_put_char(out, c);
                else
                        buf_printf(out, "%%%02X", (unsigned)(uint8_t)c);
        }
}

void sigv4_put_date(struct buf *out, struct walltime when)
{
        struct civil c = walltime_civil(when);

        buf_printf(out, "%04d%02d%02dT%02d%02d%02dZ", (int)c.year, c.month, c.day, c.hour, c.minute, c.second);
}

/* ---- path ------------------------------------------------------------------------------------------ */

/* RFC 3986 section 5.2.4 on segments; empty segments are dropped too, a trailing slash stays. */
static void put_normal_path(struct buf *out, struct str path)
{
        size_t start = out->len;
        bool ends_open = true; /* the last segment was empty, "." or ".." */
        struct str rest = path;

        while (!str_is_empty(rest)) {
                struct str segment = str_split(&rest, '/');

                ends_open = str_is_empty(segment) || str_equal(segment, STR(".")) || str_equal(segment, STR(".."));
                if (str_equal(segment, STR(".."))) {
                        while (out->len > start && out->ptr[--out->len] != '/')
                                continue;
                } else if (!ends_open) {
                        buf_put_char(out, '/');
                        buf_put(out, segment);
                }
        }
        if (out->len == start || ends_open || str_ends_with(path, STR("/")))
                buf_put_char(out, '/');
}

static void put_path(struct buf *out, const struct sigv4_request *r)
{
        if (r->keep_path) {
                sigv4_put_encoded(out, str_is_empty(r->path) ? STR("/") : r->path, true);
                return;
        }
        AUTO(buf) normal = BUF_MAX(SIGV4_CANONICAL_MAX);
        put_normal_path(&normal, r->path);
        sigv4_put_encoded(out, buf_str(&normal), true);
        out->overflowed |= normal.overflowed;
}

/* ---- query ----------------------------------------------------------------------------------------- */

struct parameter {
        char *text; /* encoded "name=value", owned */
        size_t name_len;
};

/* Encodes text that may already be encoded: "%E1" and the byte E1 give the same result. */
static void put_reencoded(struct buf *out, struct str text)
{
        for (size_t i = 0; i < text.len; i++) {
                char c = text.ptr[i];

                if (c == '%' && i + 2 < text.len && hex_digit(text.ptr[i + 1]) >= 0 && hex_digit(text.ptr[i + 2]) >= 0) {
                        c = (char)(hex_digit(text.ptr[i + 1]) * 16 + hex_digit(text.ptr[i + 2]));
                        i += 2;
                }
                sigv4_put_encoded(out, (struct str){ &c, 1 }, false);
        }
}

static int by_name_then_value(const void *left, const void *right)
{
        const struct parameter *a = left, *b = right;
        int names = str_compare((struct str){ a->text, a->name_len }, (struct str){ b->text, b->name_len });

        return names != 0 ? names : str_compare(str_of(a->text + a->name_len), str_of(b->text + b->name_len));
}

static struct error *put_query(struct buf *out, struct str query)
{
        struct parameter list[SIGV4_QUERY_MAX];
        size_t count = 0;
        struct str rest = query;
        struct error *err = NULL;

        while (!str_is_empty(rest) && err == NULL) {
                struct str value = str_split(&rest, '&');
                AUTO(buf) text = BUF_MAX(SIGV4_CANONICAL_MAX);

                if (str_is_empty(value))
                        continue;
                if (count == ARRAY_LEN(list)) {
                        err = error_new(ERROR_INVALID_ARGUMENT, "a query of more than %d parameters cannot be signed",
                                        SIGV4_QUERY_MAX);
                        break;
                }
                put_reencoded(&text, str_split(&value, '='));
                list[count].name_len = text.len;
                buf_put_char(&text, '=');
                put_reencoded(&text, value);
                err = buf_finish(&text, "query parameter");
                list[count++].text = buf_take(&text);
        }
        if (err == NULL)
                qsort(list, count, sizeof list[0], by_name_then_value);
        for (size_t i = 0; i < count; i++) {
                if (i > 0)
                        buf_put_char(out, '&');
                buf_put_c(out, list[i].text);
                free(list[i].text);
        }
        return err;
}

/* ---- headers --------------------------------------------------------------------------------------- */

/* Removes leading and trailing blanks; inner runs (also folded lines) become one space. */
static void put_value(struct buf *out, struct str value)
{
        size_t start = out->len;

        for (size_t i = 0; i < value.len; i++) {
                if (!is_space(value.ptr[i])) {
                        if (i > 0 && is_space(value.ptr[i - 1]) && out->len > start)
                                buf_put_char(out, ' ');
                        buf_put_char(out, value.ptr[i]);
                }
        }
}

struct named {
        char *name; /* lower case, owned */
        size_t position;
        const struct sigv4_header *header;
};

static int by_name_then_position(const void *left, const void *right)
{
        const struct named *a = left, *b = right;
        int names = strcmp(a->name, b->name);

        return names != 0 ? names : (a->position > b->position) - (a->position < b->position);
}

/* RFC 9110 section 5.6.2: token. */
static bool is_header_name(struct str name)
{
        for (size_t i = 0; i < name.len; i++)
                if (!char_is_alnum(name.ptr[i]) && (name.ptr[i] == 0 || strchr("!#$%&'*+-.^_`|~", name.ptr[i]) == NULL))
                        return false;
        return name.len > 0;
}

static struct error *put_headers(struct buf *out, struct buf *names, const struct sigv4_request *r)
{
        struct named list[SIGV4_HEADERS_MAX];

        if (r->header_count > ARRAY_LEN(list))
                return error_new(ERROR_INVALID_ARGUMENT, "more than %d headers cannot be signed", SIGV4_HEADERS_MAX);
        for (size_t i = 0; i < r->header_count; i++) {
                if (!is_header_name(r->headers[i].name)) {
                        AUTO_MEM char *shown = escaped(r->headers[i].name);
                        return error_new(ERROR_INVALID_ARGUMENT, "'%s' is not a header name", shown);
                }
        }
        for (size_t i = 0; i < r->header_count; i++) {
                list[i] = (struct named){ str_dup(r->headers[i].name), i, &r->headers[i] };
                for (char *c = list[i].name; *c != '\0'; c++)
                        *c = char_lower(*c);
        }
        qsort(list, r->header_count, sizeof list[0], by_name_then_position);
        for (size_t i = 0; i < r->header_count; i++) {
                if (i > 0 && strcmp(list[i].name, list[i - 1].name) == 0) {
                        buf_put_char(out, ',');
                } else {
                        if (i > 0) {
                                buf_put_char(out, '\n');
                                buf_put_char(names, ';');
                        }
                        buf_printf(out, "%s:", list[i].name);
                        buf_put_c(names, list[i].name);
                }
                put_value(out, list[i].header->value);
        }
        if (r->header_count > 0)
                buf_put_char(out, '\n');
        for (size_t i = 0; i < r->header_count; i++)
                free(list[i].name);
        return NULL;
}

/* ---- the signature --------------------------------------------------------------------------------- */

struct error *sigv4_canonical_request(const struct sigv4_request *r, struct buf *out, struct buf *ret_names)
{
        AUTO(buf) names = BUF_MAX(SIGV4_CANONICAL_MAX);

        buf_put(out, r->method);
        buf_put_char(out, '\n');
        put_path(out, r);
        buf_put_char(out, '\n');
        TRY(put_query(out, r->query));
        buf_put_char(out, '\n');
        TRY(put_headers(out, &names, r));
        buf_put_char(out, '\n');
        buf_put(out, buf_str(&names));
        buf_put_char(out, '\n');
        buf_put(out, r->payload_hash);
        if (ret_names != NULL)
                buf_put(ret_names, buf_str(&names));
        return buf_finish(out, "canonical request");
}

/* "20260131/us-west-2/sts/aws4_request" */
static void put_scope(struct buf *out, const struct sigv4_scope *scope)
{
        AUTO(buf) date = BUF_MAX(64);

        sigv4_put_date(&date, scope->when);
        buf_put(out, str_slice(buf_str(&date), 0, 8));
        buf_put_char(out, '/');
        buf_put(out, scope->region);
        buf_put_char(out, '/');
        buf_put(out, scope->service);
        buf_put_c(out, "/aws4_request");
}

struct error *sigv4_string_to_sign(const struct sigv4_scope *scope, struct str canonical, struct buf *out)
{
        uint8_t hash[HASH_LEN];

        sha256(canonical, hash);
        buf_put_c(out, "AWS4-HMAC-SHA256\n");
        sigv4_put_date(out, scope->when);
        buf_put_char(out, '\n');
        put_scope(out, scope);
        buf_put_char(out, '\n');
        hex_encode(out, str_of_bytes(hash, sizeof hash));
        return buf_finish(out, "string to sign");
}

struct error *sigv4_signature(struct str secret_key, const struct sigv4_scope *scope, struct str string_to_sign,
                              struct buf *out)
{
        AUTO(buf) seed = BUF_MAX(8 * KiB);
        AUTO(buf) date = BUF_MAX(64);
        uint8_t key[HASH_LEN], next[HASH_LEN];
        const struct str key_bytes = str_of_bytes(key, sizeof key);

        /* All memory is reserved at once: growing would leave copies of the secret behind. */
        char *at = buf_extend(&seed, 4 + secret_key.len);
        if (at == NULL)
                return buf_finish(&seed, "AWS secret access key");
        memcpy(at, "AWS4", 4);
        if (secret_key.len > 0)
                memcpy(at + 4, secret_key.ptr, secret_key.len);
        sigv4_put_date(&date, scope->when);

        hmac_sha256(buf_str(&seed), str_slice(buf_str(&date), 0, 8), key);
        const struct str steps[] = { scope->region, scope->service, STR("aws4_request"), string_to_sign };
        for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
                hmac_sha256(key_bytes, steps[i], next);
                memcpy(key, next, sizeof key);
        }
        hex_encode(out, key_bytes);
        wipe(seed.ptr, seed.len);
        wipe(key, sizeof key);
        wipe(next, sizeof next);
        return buf_finish(out, "signature");
}

struct error *sigv4_authorization(const struct sigv4_request *r, const struct sigv4_scope *scope,
                                  struct str access_key_id, struct str secret_key, struct buf *out)
{
        AUTO(buf) canonical = BUF_MAX(SIGV4_CANONICAL_MAX);
        AUTO(buf) names = BUF_MAX(SIGV4_CANONICAL_MAX);
        AUTO(buf) to_sign = BUF_MAX(4 * KiB);

        TRY(sigv4_canonical_request(r, &canonical, &names));
        TRY(sigv4_string_to_sign(scope, buf_str(&canonical), &to_sign));
        buf_put_c(out, "AWS4-HMAC-SHA256 Credential=");
        buf_put(out, access_key_id);
        buf_put_char(out, '/');
        put_scope(out, scope);
        buf_put_c(out, ", SignedHeaders=");
        buf_put(out, buf_str(&names));
        buf_put_c(out, ", Signature=");
        return sigv4_signature(secret_key, scope, buf_str(&to_sign), out);
}
