/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The query language of `tsh ls --query`, `tsh apps ls --query` and so on, which selects nodes and applications.
 *
 *     query   = term { ( "&&" | "||" ) term }        && binds closer than ||
 *     term    = "!" term | "(" query ")" | value ( "==" | "!=" ) value | call
 *     call    = "search(" value { "," value } ")"    all words occur in name, address, description or labels, any case
 *             | "equals(" value "," value ")"
 *             | "hasPrefix(" value "," value ")"
 *             | "exists(" labels[…] ")"
 *     value   = "text" | 'text' | `text` | name | labels["key"] | labels.key
 *             | resource.metadata.name | resource.metadata.labels["key"] | resource.spec.hostname | resource.spec.addr
 *
 * A missing label counts as the empty text.
 */
#ifndef CLIENT_PREDICATE_H
#define CLIENT_PREDICATE_H

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

enum {
        PREDICATE_TEXT_MAX = 4 * KiB, /* of a query */
        PREDICATE_TESTS_MAX = 64,     /* comparisons and calls in it */
        PREDICATE_NESTING_MAX = 64,   /* parentheses and negations open at once */
};

struct predicate_label {
        struct str key, value;
};

/* The attributes of a node, or an application; everything borrowed. */
struct predicate_subject {
        struct str name, id, addr; /* host name, host ID, address; of an application its name twice, and its uri */
        struct str description;    /* for words only */
        const struct predicate_label *labels;
        size_t label_count;
};

/*
 * Lives in the arena, as do copies of the texts in it. INVALID_ARGUMENT with the position of a mistake. `subjects` is what the query selects, for that error:
 * "applications".
 */
struct predicate;
struct error *predicate_compile(struct arena *a, struct str query, const char *subjects, const struct predicate **ret) MUST_USE;

bool predicate_matches(const struct predicate *p, const struct predicate_subject *subject);

/* Whether the word occurs in name, ID, address, description or labels, in any case. */
bool predicate_subject_has_word(const struct predicate_subject *subject, struct str word);

#endif
