/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/pem.h"

#include "base/text.h"

#define BEGIN  STR("-----BEGIN ")
#define END    STR("-----END ")
#define DASHES STR("-----")

enum { LINE_BYTES = 48 }; /* 64 characters of base64, as RFC 7468 section 2 requires */

/* Removes the next line from the front of *text and returns it without its line end. */
static struct str take_line(struct str *text)
{
        struct str line = str_split(text, '\n');

        return str_ends_with(line, STR("\r")) ? str_slice(line, 0, line.len - 1) : line;
}

/* Gets the label if the line is "-----<edge> label-----". */
static bool marker_label(struct str line, struct str edge, struct str *ret)
{
        if (!str_starts_with(line, edge) || line.len < edge.len + DASHES.len || !str_ends_with(line, DASHES))
                return false;
        *ret = str_slice(line, edge.len, line.len - edge.len - DASHES.len);
        return true;
}

bool pem_next(struct str *text, struct pem_block *ret)
{
        const struct str all = *text;
        struct str rest = all;

        while (!str_is_empty(rest)) {
                size_t begins_at = all.len - rest.len;
                struct str line = take_line(&rest);
                struct pem_block block = { .before = str_slice(all, 0, begins_at) };

                if (!marker_label(line, BEGIN, &block.label))
                        continue;
                const struct str body = rest;
                while (!str_is_empty(rest)) {
                        size_t body_len = body.len - rest.len;
                        struct str inner = take_line(&rest), label;

                        if (marker_label(inner, BEGIN, &label))
                                break;
                        if (!marker_label(inner, END, &label))
                                continue;
                        if (!str_equal(label, block.label))
                                break;
                        block.body = str_slice(body, 0, body_len);
                        *ret = block;
                        *text = rest;
                        return true;
                }
                rest = body; /* a BEGIN without END is ordinary text */
        }
        return false;
}

struct error *pem_decode(const struct pem_block *block, struct buf *out)
{
        AUTO(buf) joined = BUF_MAX(block->body.len + 1);
        struct str rest = block->body;

        while (!str_is_empty(rest))
                buf_put(&joined, str_trim(take_line(&rest)));
        struct error *err = base64_decode(out, buf_str(&joined));
        if (err != NULL)
                return error_because(error_new(ERROR_INVALID_ARGUMENT, "the PEM block does not hold plain base64"),
                                     err);
        return NULL;
}

void pem_put(struct buf *out, const char *label, struct str bytes)
{
        buf_printf(out, "-----BEGIN %s-----\n", label);
        for (size_t at = 0; at < bytes.len; at += LINE_BYTES) {
                base64_encode(out, str_slice(bytes, at, LINE_BYTES));
                buf_put_char(out, '\n');
        }
        buf_printf(out, "-----END %s-----\n", label);
}
