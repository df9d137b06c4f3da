/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An accepted form has only UTF-8 texts within their limits, and no name twice. Encoded again with every byte escaped,
 * it is parsed to the same fields.
 */
#include "base/bug.h"
#include "base/buf.h"
#include "base/text.h"
#include "proxy/web/form.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_escaped(struct buf *out, struct str plain)
{
        for (size_t i = 0; i < plain.len; i++) {
                buf_put_char(out, '%');
                hex_encode(out, str_slice(plain, i, 1));
        }
}

static void check(const struct form *f, struct buf *again)
{
        if (f->count > FORM_FIELDS_MAX)
                bug("%zu fields", f->count);
        for (size_t i = 0; i < f->count; i++) {
                struct str name = secret_str(&f->fields[i].name), value = secret_str(&f->fields[i].value);
                if (name.len > FORM_NAME_MAX || value.len > FORM_ADDRESS_MAX || !text_is_utf8(name) || !text_is_utf8(value))
                        bug("a field that is no short text");
                if (strlen(name.ptr) != name.len || strlen(value.ptr) != value.len)
                        bug("a NUL in a field");
                if (!str_equal(form_value(f, name.ptr), value))
                        bug("a name leads to another field");
                put_escaped(again, name);
                buf_put_char(again, '=');
                put_escaped(again, value);
                buf_put_char(again, '&');
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        AUTO(buf) text = BUF_MAX(64 * KiB);
        AUTO(form) form = { 0 }, again = { 0 };
        struct error *err = form_parse(str_of_bytes(data, size), &form);

        if (err == NULL) {
                check(&form, &text);
                err = form_parse(buf_str(&text), &again);
                if (err != NULL || again.count != form.count)
                        bug("a form is read otherwise when escaped");
                for (size_t i = 0; i < form.count; i++) {
                        if (!str_equal(secret_str(&form.fields[i].value), secret_str(&again.fields[i].value)))
                                bug("a value is read otherwise when escaped");
                }
        } else if (form.count != 0) {
                bug("a refused form holds fields");
        }
        error_free(err);
        return 0;
}
