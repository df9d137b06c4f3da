/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict parser of JSON objects of servers: one document, no duplicate keys, no NULs, limited depth. The document may
 * contain secrets, so its memory is wiped when it is freed.
 */
#ifndef NET_STRICT_JSON_H
#define NET_STRICT_JSON_H

#include <jansson.h>

#include "base/error.h"
#include "base/str.h"

struct strict_json {
        json_t *root; /* an object */
};
void strict_json_release(struct strict_json *j);

/*
 * Reads a whole text. INVALID_ARGUMENT, "WHAT is not …", for anything but one object nested at most
 * LIMIT_JSON_DEPTH deep; nothing of the text is in the error.
 */
struct error *strict_json_read(struct str text, const char *what, struct strict_json *ret) MUST_USE;

/* The text of a member, borrowed from the document; false when absent or not a string. object may be NULL. */
bool strict_json_text(const json_t *object, const char *key, struct str *ret);

#endif
