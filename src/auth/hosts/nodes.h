/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Index of the announced hosts by host name, and the data that each one announces.
 */
#ifndef AUTH_HOSTS_NODES_H
#define AUTH_HOSTS_NODES_H

#include "access/access.h"
#include "auth/core/auth.h"
#include "base/limits.h"
#include "state/presence.h"

struct nodes;

/*
 * Reads the names from the store and watches their changes; ready(ctx, err) once from the loop, with CANCELLED when it
 * is closed before.
 */
struct nodes *nodes_open(struct auth *a, void (*ready)(void *ctx, struct error *err), void *ctx) MUST_USE;
void nodes_close(struct nodes *n); /* NULL is silent */

/*
 * Writes the IDs of up to `room` hosts that announce the name in any spelling; borrowed until the next turn of the
 * loop. Returns the number of all such hosts.
 */
size_t nodes_named(const struct nodes *n, struct str host_name, struct str *ret_ids, size_t room);

/*
 * The hosts that match `target` of a Dial, a name or an ID in any spelling: at most LIMIT_DIAL_CANDIDATES. An ID cannot
 * be taken by a name. Borrowed until the next turn.
 */
size_t nodes_dialled(const struct nodes *n, struct str target, struct str ret_ids[LIMIT_DIAL_CANDIDATES]);

/*
 * Hosts that offer the application `name`, in the order in which they are to be tried: at most LIMIT_DIAL_CANDIDATES, in random
 * order, but those with a tunnel to some proxy first. Borrowed until the next turn.
 */
size_t nodes_offering_app(const struct nodes *n, struct str name, struct str ret_ids[LIMIT_DIAL_CANDIDATES]);

/* Calls each() for every public_addr of an application of a host's teleport.yaml, in no particular order. */
void nodes_each_app_address(const struct nodes *n, void (*each)(void *ctx, struct str app, struct str addr), void *ctx);

/* Calls each() for the name of every application that hosts offer, in no particular order. */
void nodes_each_app(const struct nodes *n, void (*each)(void *ctx, struct str app), void *ctx);

/* Describes up to `room` applications that hosts offer with different URIs, in the arena. Returns their number. */
size_t nodes_app_conflicts(const struct nodes *n, struct arena *arena, char **ret, size_t room);

/* An application that a host offers. */
struct node_app {
        struct str name, uri, public_addr;
        struct access_label *labels;
        size_t label_count;
        const Cteleport__V1__AppSpec *spec; /* NULL: unknown */
};

/* A host that announces itself. */
struct node {
        struct str host_id, hostname;
        struct access_label *labels; /* static labels and the last results of label commands */
        size_t label_count;
        bool has_ssh; /* it runs the SSH Service */
        struct node_app *apps; /* of its Application Service */
        size_t app_count;
        struct str aws_account, aws_arn; /* attested at its join; may be empty */
        char *const *system_roles;       /* of its join, announced or not */
        size_t system_role_count;
};

/* Reads it from the store. node borrowed until done returns; NULL without err: the host is not announced. err owned. */
void node_find(struct auth *a, struct str host_id, void (*done)(void *ctx, const struct node *node, struct error *err), void *ctx);

/* The application of this name that the host offers; NULL: none. */
const struct node_app *node_find_app(const struct node *host, struct str name);

/* Converts an application, in the arena; borrows from app. */
struct node_app node_app_of(struct arena *arena, const Cteleport__V1__App *app);

/* Converts a presence record, in the arena; borrows from p. */
struct node node_of_presence(struct arena *arena, const Cteleport__State__V1__Presence *p);

#endif
