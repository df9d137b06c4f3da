/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parses YAML text to a tree of bounded size with the positions of nodes, independent of their meaning.
 *
 * Tags that change a value, directives, duplicate keys, keys that are not scalars and self-references are refused;
 * depth, aliases and the number of nodes (with aliases expanded) are limited.
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
        size_t weight;           /* nodes in it, itself included, with aliases expanded */
        unsigned height;         /* levels below it */
};

/*
 * Reads a stream of documents; *ret is the first of a chain of items whose values are their roots, NULL when there are
 * none. Everything is in the arena, which must have a cap of NODE_ARENA_CAP bytes. INVALID_ARGUMENT, "FILE:LINE:COLUMN:
 * …".
 */
struct error *node_parse(struct arena *a, const char *file, struct str text, struct node_item **ret) MUST_USE;
/*
 * The same, but duplicate keys in a mapping are not fatal: the tree has all of them, and *ret_mistakes (a chain, owned
 * by the caller, see error_also()) reports each. The caller must not use the tree if there are any.
 */
struct error *node_parse_noting(struct arena *a, const char *file, struct str text, struct node_item **ret,
                                struct error **ret_mistakes) MUST_USE;

enum { NODE_ARENA_CAP = 16 * MiB };

/* An error with a node's position. */
#define node_error(file, n, ...) error_wrap(error_new(ERROR_INVALID_ARGUMENT, __VA_ARGS__), "%s:%d:%d", file, (n)->line, (n)->column)

/* Whether a scalar is null: plain and empty, `~` or `null`. */
bool node_is_null(const struct node *n);

/* Parses a boolean of YAML 1.1, any case: yes, no, on, off, true, false, y, n and so on. */
bool text_as_bool(struct str text, bool *ret);

/* Whether a plain scalar would be read as a number, a boolean or null. */
bool text_means_another_type(struct str text);

/* The value under a key of a mapping, or NULL. */
const struct node *node_member(const struct node *mapping, struct str key);

#endif
