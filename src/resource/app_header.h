/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An entry of an application's rewrite.headers: "Name: value", where the value may have one {{internal.NAME}} or {{external.NAME}}, which stands for
 * the values of that trait of the user; {{internal.jwt}} for the user's token.
 */
#ifndef RESOURCE_APP_HEADER_H
#define RESOURCE_APP_HEADER_H

#include "base/error.h"
#include "base/str.h"

/* Borrowed from the text. */
struct app_header {
        struct str name;
        struct str before, trait, after; /* trait "": `before` is the whole value */
        bool is_token;                   /* {{internal.jwt}}: not a trait, but the token of the user stands there */
};

/*
 * INVALID_ARGUMENT, with a hint: it has no name and value of HTTP, its name is one that the cluster or the connection sets, or its template is
 * malformed.
 */
struct error *app_header_parse(struct str text, struct app_header *ret) MUST_USE;

#endif
