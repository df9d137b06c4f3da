/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads what a browser sends for a form: application/x-www-form-urlencoded (URL Standard section 5.1), strict
 * and bounded. The values may be passwords, so that they are wiped.
 */
#ifndef PROXY_FORM_H
#define PROXY_FORM_H

#include "base/error.h"
#include "base/secret.h"
#include "base/str.h"

enum { FORM_FIELDS_MAX = 8, FORM_NAME_MAX = 64, FORM_VALUE_MAX = 1 * KiB };

struct form {
        /* nothing below is for others */
        struct form_field {
                struct secret name, value;
        } fields[FORM_FIELDS_MAX];
        size_t count;
};

/*
 * Takes a body apart. INVALID_ARGUMENT: an escape that is none, bytes that are no text (UTF-8 without NUL), a name twice,
 * more than FORM_FIELDS_MAX fields, or longer names and values than above. *ret is empty then.
 */
struct error *form_parse(struct str body, struct form *ret) MUST_USE;

/* Wipes it. */
void form_release(struct form *f);

/* The value of a field, "" when there is none of that name; borrowed from the form, a NUL stands behind it. */
struct str form_value(const struct form *f, const char *name);

#endif
