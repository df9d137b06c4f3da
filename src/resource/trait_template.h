/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text with one {{internal.NAME}} or {{external.NAME}}, which stands for the values of that trait of the user. Blanks inside the braces have no meaning.
 * The two words mean the same here: a user has one set of traits.
 */
#ifndef RESOURCE_TRAIT_TEMPLATE_H
#define RESOURCE_TRAIT_TEMPLATE_H

#include "base/str.h"

/* Borrowed from the text. */
struct trait_template {
        struct str before, trait, after; /* trait "": the text has no template, and is `before` */
        bool is_internal;
};

/* false: it has braces that are no such template, several of them, or a name of a trait that is no token (RFC 9110 section 5.6.2). */
bool trait_template_split(struct str text, struct trait_template *ret) MUST_USE;

#endif
