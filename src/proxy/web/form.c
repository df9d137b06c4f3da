/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web/form.h"

#include "base/text.h"

static struct error *bad(const char *why)
{
        return error_new(ERROR_INVALID_ARGUMENT, "not a form: %s", why);
}

/* Decodes '+' to a blank and %XX to a byte. Writes at most as many bytes as it reads. */
static struct error *unescape(struct str text, char *out, size_t *ret_len)
{
        size_t len = 0;
        for (size_t i = 0; i < text.len; i++) {
                char c = text.ptr[i] == '+' ? ' ' : text.ptr[i];
                if (c == '%') {
                        int high = i + 2 < text.len ? hex_digit(text.ptr[i + 1]) : -1;
                        int low = i + 2 < text.len ? hex_digit(text.ptr[i + 2]) : -1;
                        if (high < 0 || low < 0)
                                return bad("a percent sign is not followed by two hex digits");
                        c = (char)(16 * high + low);
                        i += 2;
                }
                if (c == '\0')
                        return bad("it holds a NUL");
                out[len++] = c;
        }
        *ret_len = len;
        return text_is_utf8(str_of_bytes(out, len)) ? NULL : bad("it is no UTF-8");
}

static struct error *take(struct str text, size_t most, struct secret *ret)
{
        char plain[3 * FORM_ADDRESS_MAX];
        size_t len = 0;
        if (text.len > sizeof plain)
                return bad("a field is too long");
        struct error *err = unescape(text, plain, &len);
        if (err == NULL && len > most)
                err = bad("a field is too long");
        if (err == NULL)
                *ret = secret_of(str_of_bytes(plain, len));
        wipe(plain, sizeof plain);
        return err;
}

static const struct form_field *find(const struct form *f, struct str name)
{
        for (size_t i = 0; i < f->count; i++) {
                if (str_equal(secret_str(&f->fields[i].name), name))
                        return &f->fields[i];
        }
        return NULL;
}

/* The length of a value of this name. */
static size_t most_of(struct str name)
{
        return str_equal(name, STR("redirect_uri")) || str_equal(name, STR("path")) || str_equal(name, STR("query")) ? FORM_ADDRESS_MAX : FORM_VALUE_MAX;
}

static struct error *take_field(struct str pair, struct form *form)
{
        AUTO(secret) name = { 0 };
        struct str value = pair;
        struct str key = str_split(&value, '=');
        if (form->count == FORM_FIELDS_MAX)
                return bad("it has too many fields");
        TRY(take(key, FORM_NAME_MAX, &name));
        if (find(form, secret_str(&name)) != NULL)
                return bad("a field is given twice");
        TRY(take(value, most_of(secret_str(&name)), &form->fields[form->count].value));
        form->fields[form->count++].name = name;
        name = (struct secret){ 0 };
        return NULL;
}

struct error *form_parse(struct str body, struct form *ret)
{
        struct form form = { 0 };
        while (!str_is_empty(body)) {
                struct str pair = str_split(&body, '&');
                struct error *err = str_is_empty(pair) ? NULL : take_field(pair, &form);
                if (err != NULL) {
                        form_release(&form);
                        *ret = form;
                        return err;
                }
        }
        *ret = form;
        return NULL;
}

void form_release(struct form *f)
{
        for (size_t i = 0; i < f->count; i++) {
                secret_release(&f->fields[i].name);
                secret_release(&f->fields[i].value);
        }
        *f = (struct form){ 0 };
}

struct str form_value(const struct form *f, const char *name)
{
        const struct form_field *field = find(f, str_of(name));
        return field == NULL ? STR("") : secret_str(&field->value);
}
