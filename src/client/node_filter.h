/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Selects nodes by labels, words, a query or a name.
 */
#ifndef CLIENT_NODE_FILTER_H
#define CLIENT_NODE_FILTER_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "client/predicate.h"
#include "resource.pb-c.h"

enum { NODE_FILTER_LABELS_MAX = 32 };

struct node_filter {
        struct predicate_label labels[NODE_FILTER_LABELS_MAX]; /* all of them, exactly */
        size_t label_count;
        const char *const *words;          /* NULL-terminated; all of them occur */
        const struct predicate *predicate; /* NULL: any */
};

/*
 * Adds `k=v,k2="v with, comma"` to the filter; quotes protect commas and equals signs. Texts live in the
 * arena. INVALID_ARGUMENT for an invalid label.
 */
struct error *node_filter_add_labels(struct node_filter *f, struct arena *a, struct str text) MUST_USE;

/* Fills the filter from a command line: labels as above, words, a query; each may be NULL. subjects: as of predicate_compile(). */
struct error *node_filter_read(struct node_filter *f, struct arena *a, const char *labels, const char *const *words, const char *query,
                               const char *subjects) MUST_USE;

/* Moves the nodes that fit to the front, in their order, and returns how many they are. */
size_t node_filter_keep(const struct node_filter *f, Cteleport__V1__Node **nodes, size_t count, struct arena *a);

/* Checks that the parts that are shown are there: DATA_LOSS. */
struct error *app_servers_check(Cteleport__V1__AppServer *const *servers, size_t count) MUST_USE;
/* The same of applications, by their name, description, uri and labels. */
size_t app_filter_keep(const struct node_filter *f, Cteleport__V1__AppServer **servers, size_t count, struct arena *a);

/* Labels of commands count like the others; temporary memory is from the arena. */
bool node_filter_matches(const struct node_filter *f, const Cteleport__V1__Node *node, struct arena *a);

/*
 * Puts a node's labels, those of commands among them, as `a=1,b=2`: plain ones first, then namespaced ones. The
 * cluster's own are left out unless is_verbose.
 */
void node_put_labels(struct buf *out, const Cteleport__V1__Node *node, bool is_verbose);

/* The same of an application. */
void app_put_labels(struct buf *out, const Cteleport__V1__AppServer *server, bool is_verbose);

/* Adds " (locked)" after the address of a locked node; nothing for an online node. */
void node_put_state(struct buf *out, const Cteleport__V1__NodeSpec *spec);

/* The node as input of predicates; borrowed from the node, the list in the arena. */
struct predicate_subject node_subject(const Cteleport__V1__Node *node, struct arena *a);

#endif
