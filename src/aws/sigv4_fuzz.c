/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Properties of the canonical form: it does not depend on the order of different headers, on the case of
 * their names or on blanks around values; and a canonical path or query is its own canonical form.
 * Input: lines; the first is path and query, the others headers.
 */
#include "aws/sigv4.h"
#include "base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEADERS = 8 };

static bool canonical(const struct sigv4_request *r, struct buf *out)
{
        AUTO_PTR(error) err = sigv4_canonical_request(r, out, NULL);

        return err == NULL;
}

/* The same headers in reverse order; headers of one name stay in order. */
static void turn_around(const struct sigv4_header *headers, size_t count, struct sigv4_header *ret)
{
        size_t done = 0;

        for (size_t i = count; i-- > 0;) {
                bool is_first = true;
                for (size_t k = 0; k < i; k++)
                        is_first = is_first && !str_equal_nocase(headers[k].name, headers[i].name);
                for (size_t k = i; is_first && k < count; k++)
                        if (str_equal_nocase(headers[k].name, headers[i].name))
                                ret[done++] = headers[k];
        }
}

static void upper(struct str name, struct buf *ret)
{
        for (size_t i = 0; i < name.len; i++)
                buf_put_char(ret, name.ptr[i] >= 'a' && name.ptr[i] <= 'z' ? (char)(name.ptr[i] - 32) : name.ptr[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct sigv4_header headers[HEADERS], turned[HEADERS];
        struct buf names[HEADERS], values[HEADERS];
        struct str rest = str_of_bytes(data, size);
        struct str query = str_split(&rest, '\n');
        struct str path = str_split(&query, '?');
        struct sigv4_request r = { .method = STR("GET"), .path = path, .query = query, .headers = headers,
                                   .payload_hash = STR(SIGV4_EMPTY_HASH) };
        AUTO(buf) first = BUF_MAX(SIGV4_CANONICAL_MAX);
        AUTO(buf) second = BUF_MAX(SIGV4_CANONICAL_MAX);

        while (!str_is_empty(rest) && r.header_count < HEADERS) {
                struct str value = str_split(&rest, '\n');
                struct str name = str_split(&value, ':');
                headers[r.header_count++] = (struct sigv4_header){ name, value };
        }
        if (!canonical(&r, &first))
                return 0;

        turn_around(headers, r.header_count, turned);
        for (size_t i = 0; i < r.header_count; i++) {
                names[i] = BUF_MAX(SIGV4_CANONICAL_MAX);
                values[i] = BUF_MAX(SIGV4_CANONICAL_MAX);
                upper(turned[i].name, &names[i]);
                buf_put_c(&values[i], " \t");
                buf_put(&values[i], turned[i].value);
                buf_put_c(&values[i], "  ");
                turned[i] = (struct sigv4_header){ buf_str(&names[i]), buf_str(&values[i]) };
        }
        struct sigv4_request again = r;
        again.headers = turned;
        if (!canonical(&again, &second) || !str_equal(buf_str(&first), buf_str(&second)))
                bug("the canonical request depends on how headers are written");
        for (size_t i = 0; i < r.header_count; i++) {
                buf_release(&names[i]);
                buf_release(&values[i]);
        }

        /* Lines 2 and 3 are path and query; a path with '%' is encoded again by design. */
        struct str lines = buf_str(&first);
        (void)str_split(&lines, '\n');
        again = r;
        again.path = str_split(&lines, '\n');
        again.query = str_split(&lines, '\n');
        buf_clear(&second);
        if (str_find_char(again.path, '%') == again.path.len &&
            (!canonical(&again, &second) || !str_equal(buf_str(&first), buf_str(&second))))
                bug("a canonical path or query changes when made canonical");
        return 0;
}
