/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of fields of an HTTP message (RFC 9110 section 5), in their order, which a gateway edits before it sends the message on.
 *
 * Names are compared without regard to case. Every name in a list is a token and every value is free of control bytes but tabs, so that a
 * list that is written has exactly its fields.
 */
#ifndef HTTP_FIELDS_H
#define HTTP_FIELDS_H

#include "base/buf.h"
#include "base/error.h"
#include "base/field_name.h"
#include "base/str.h"

struct arena;

struct http_field {
        struct str name, value; /* of the list's arena */
};

/* A zeroed list is a valid empty one. */
struct http_fields {
        struct http_field *list;
        size_t count;
        /* The following fields are private. */
        size_t room;
        struct arena *arena;
};

void http_fields_release(struct http_fields *f);

/* The value of the first field of that name; {NULL, 0}: there is none. Valid until the list is released. */
struct str http_fields_get(const struct http_fields *f, const char *name);

/* The index of the first field of that name from `from` on; f->count: there is none. For all values of one name. */
size_t http_fields_find(const struct http_fields *f, const char *name, size_t from);

/*
 * Appends a copy; set: in place of all fields of that name. INVALID_ARGUMENT: the name is no token, or the value has control bytes;
 * RESOURCE_EXHAUSTED: more than LIMIT_HTTP_FIELDS. The list is unchanged then.
 */
struct error *http_fields_add(struct http_fields *f, struct str name, struct str value) MUST_USE;
struct error *http_fields_set(struct http_fields *f, struct str name, struct str value) MUST_USE;

/* Replaces the value of one field; errors as of http_fields_add(). */
struct error *http_fields_replace(struct http_fields *f, size_t index, struct str value) MUST_USE;

/* A copy of the bytes that lives as long as the list. */
struct str http_fields_keep(struct http_fields *f, struct str bytes);

/* Removes the field at an index, all fields of that name, or those whose name matches; return the number of removed ones. */
void http_fields_remove_at(struct http_fields *f, size_t index);
size_t http_fields_remove(struct http_fields *f, const char *name);
size_t http_fields_remove_if(struct http_fields *f, bool (*match)(struct str name));

/*
 * Parses "name: value" without its line end (RFC 9112 section 5) and appends it, without a copy: the line must be of http_fields_keep().
 * INVALID_ARGUMENT: no name, a blank before the colon, a folded line, a control byte.
 */
struct error *http_fields_parse_line(struct http_fields *f, struct str line) MUST_USE;

/* Appends "name: value CR LF" for every field; size: the bytes of that. */
void http_fields_put(struct buf *out, const struct http_fields *f);
size_t http_fields_size(const struct http_fields *f);

#endif
