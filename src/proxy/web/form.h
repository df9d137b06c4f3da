/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict, bounded parser of HTML form data, application/x-www-form-urlencoded (URL Standard section 5.1). Values may be
 * passwords, so they are wiped.
 */
#ifndef PROXY_FORM_H
#define PROXY_FORM_H

#include "base/error.h"
#include "base/secret.h"
#include "base/str.h"

enum { FORM_FIELDS_MAX = 8, FORM_NAME_MAX = 64, FORM_VALUE_MAX = 1 * KiB };

/*
 * A page of an application that a browser is to come back to: path and query, percent-encoded. The path of the launch page that has it, escaped once more, and a password of
 * LIMIT_PASSWORD with all characters escaped fit into LIMIT_HTTP1_FORM. The values of redirect_uri, path and query may be as long as such a path of the launch page.
 */
enum { FORM_TARGET_MAX = 5 * KiB / 2, FORM_ADDRESS_MAX = FORM_TARGET_MAX + 1 * KiB };

struct form {
        /* the following fields are private */
        struct form_field {
                struct secret name, value;
        } fields[FORM_FIELDS_MAX];
        size_t count;
};

/*
 * Parses a body. INVALID_ARGUMENT: a malformed escape, bytes that are not UTF-8 or contain NUL, a duplicate name, more
 * than FORM_FIELDS_MAX fields, or names and values beyond the limits above. *ret is empty then.
 */
struct error *form_parse(struct str body, struct form *ret) MUST_USE;

/* Wipes and frees the form. */
void form_release(struct form *f);

/* The value of a field, "" when there is none of that name; borrowed from the form, NUL-terminated. */
struct str form_value(const struct form *f, const char *name);

#endif
