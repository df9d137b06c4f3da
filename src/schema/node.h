/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML text as a tree of bounded size: what stood where, before anybody asks what it means.
 *
 * Tags that change a value, directives, keys given twice, keys that are not plain words and references of a node to itself
 * are refused here; depth, aliases and nodes (aliases counted as what they repeat) are limited.
 */
#ifndef SCHEMA_NODE_H
#define SCHEMA_NODE_H

#include "base/arena.h"
#include "base/error.h"

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAPPING };

struct node_item {
        struct node *key; /* a scalar; mappings only */
        struct node *value;
        struct node_item *next;
};

struct node {
        enum node_kind kind;
        int line, column;        /* from 1 */
        struct str text;         /* scalars */
        bool is_plain;           /* scalars: written without quotes, and not tagged !!str */
        struct node_item *items; /* lists and mappings, in order */
        size_t weight;           /* nodes in it, itself included; what aliases repeat counts each time */
        unsigned height;         /* levels below it */
};

/*
 * Reads a stream of documents; *ret is the first of a chain of items whose values are their roots, NULL
 * when there are none. Everything lives in the arena, which needs room for NODE_ARENA_CAP bytes.
 * INVALID_ARGUMENT, "FILE:LINE:COLUMN: …".
 */
struct error *node_parse(struct arena *a, const char *file, struct str text, struct node_item **ret) MUST_USE;
/*
 * Key given twice in one mapping: the tree is complete and holds both, and *ret_mistakes (a chain, owned by the caller, see
 * error_also) names each. A caller must not use the tree if there are any.
 */
struct error *node_parse_noting(struct arena *a, const char *file, struct str text, struct node_item **ret,
                                struct error **ret_mistakes) MUST_USE;

enum { NODE_ARENA_CAP = 16 * MiB };

/* An error at a node's place. */
#define node_error(file, n, ...) error_wrap(error_new(ERROR_INVALID_ARGUMENT, __VA_ARGS__), "%s:%d:%d", file, (n)->line, (n)->column)

/* A scalar that says nothing: plain and empty, `~` or `null`. */
bool node_is_null(const struct node *n);

/* What YAML 1.1 reads as a boolean, any case: yes, no, on, off, true, false, y, n and so on. */
bool text_as_bool(struct str text, bool *ret);

/* Whether a plain scalar would be read as a number, a boolean or null. */
bool text_means_another_type(struct str text);

/* The value under a key of a mapping, or NULL. */
const struct node *node_member(const struct node *mapping, struct str key);

#endif
