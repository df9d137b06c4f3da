/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kinds of resources that administrators manage: one row (struct admin_kind) per kind, in the file of that kind.
 * List, Get, Put and Delete are implemented once, in resources.c; the row holds what is specific to the kind.
 *
 *      Put:     check ─▶ present read ─▶ conditions ─▶ check_write ─▶ prepare ─▶ transaction: require, resource, audit ─▶ PutResponse
 *      Delete:  present read ─▶ check_delete ─▶ transaction: resource, delete_more, audit ─▶ Empty
 *
 * A new kind is a row, its record in src/state, and the methods that serve it in auth/core/methods.c.
 */
#ifndef AUTH_ADMIN_RESOURCES_H
#define AUTH_ADMIN_RESOURCES_H

#include "auth/admin/request.h"
#include "resource/token.h"
#include "state/state.h"

struct change;

struct admin_kind {
        const char *name;                       /* "user": in errors, and in the rules of roles */
        const char *listed_by;                  /* the command that lists them, for hints */
        const struct state_kind *state;         /* its record; listings are in the order of its IDs */
        const ProtobufCMessageDescriptor *page; /* answer of List: field 1 the resources, field 2 the start of the next page */

        /* Reads a record, in the arena, as the resource that is shown to this client; *ret stays NULL for one that is not shown. */
        struct error *(*show)(struct admin_request *q, const struct state_record *r, ProtobufCMessage **ret);
        /* The same for records that hold several resources: adds those that are shown by listing_add_more(). Instead of show. */
        struct error *(*show_all)(struct admin_request *q, const struct state_record *r, struct listing *l);
        /*
         * Finds the resource in memory, borrowed until the next turn of the loop; NULL with a revision: its record
         * cannot be read. Hook NULL: resources are read from the store, with the ID that put_id makes of the name.
         */
        const ProtobufCMessage *(*find)(const struct admin_request *q, struct str name, uint64_t *ret_revision);
        void (*put_id)(struct str name, struct buf *out);

        /* Resources that teleport.yaml defines, in the arena: they are listed first and are not changed. NULL: there are none. */
        size_t (*list_configured)(struct admin_request *q, ProtobufCMessage ***ret);
        const char *configured_in; /* the key of teleport.yaml */

        /* Prepares a List. Returns true when it handles the whole request itself, such as a special query. May be NULL. */
        bool (*begin_list)(struct admin_request *q, struct listing *l);
        /* Adds fields that are not stored to the resources of a page, or to one; ends with listing_reply(). NULL: there are none. */
        void (*complete)(struct admin_request *q, struct listing *l);

        /* ---- Put; NULL in kinds that are not written */
        const ProtobufCMessageDescriptor *put; /* request: the resource comes first */
        struct error *(*check)(struct admin_request *q, struct change *c);       /* validates it and brings it into canonical form */
        struct error *(*check_write)(struct admin_request *q, struct change *c); /* against the present state; may be NULL */
        void (*prepare)(struct admin_request *q, struct change *c);              /* ends with change_write(), perhaps later; may be NULL */
        void (*require)(const struct change *c, struct store_txn *t);            /* other requirements of the transaction; may be NULL */
        struct walltime (*expires)(const ProtobufCMessage *resource);            /* of the record; NULL: never */
        enum audit_account account;                                              /* that a write is charged to */
        bool is_last_write_kept; /* of two concurrent unconditional writes the later wins; else it is ABORTED */
        bool has_secret_name;    /* the name is a secret, or may be: errors do not quote it */

        /* ---- Delete; NULL in kinds that are not removed */
        struct error *(*missing)(struct admin_request *q, const struct change *c); /* the error for one that is not stored; NULL: NOT_FOUND */
        void (*remove)(struct admin_request *q); /* replaces the fields below and ends the request; NULL: Delete as drawn above */
        struct error *(*check_delete)(struct admin_request *q, const struct change *c); /* may be NULL */
        void (*delete_more)(const struct change *c, struct store_txn *t); /* deletes related records; may be NULL */

        /* ---- audit */
        const struct audit_kind *created, *updated, *deleted;
        void (*put_shown_name)(const ProtobufCMessage *resource, struct buf *out);     /* for audit and log; NULL: the name */
        /* Fields beside user and name; c->resource is NULL in a Delete. May be NULL. */
        void (*put_audit)(const struct change *c, const ProtobufCMessage *resource, struct audit_record *r);
};

/* All kinds; NULL at the end. */
extern const struct admin_kind *const admin_kinds[];
extern const struct admin_kind admin_token_kind, admin_node_kind, admin_app_kind, admin_app_server_kind, admin_instance_kind, admin_user_kind, admin_role_kind, admin_lock_kind;

/* A write or removal of a resource, in the arena of its request. */
struct change {
        const struct admin_kind *kind;
        struct str name;
        ProtobufCMessage *resource;      /* that is written; of a Delete NULL */
        const ProtobufCMessage *present; /* the one that is stored, in the arena; NULL: none that can be read */
        bool is_there;                   /* whether one is stored */
        uint64_t revision;               /* of its record; 0: none */
        bool must_be_new;
        const char *if_revision;
        struct token_warnings warnings;
        void *more; /* of the kind */
};

/* The metadata of a resource. */
Cteleport__V1__Metadata *resource_metadata(const ProtobufCMessage *resource);

/* "user \"x\" is not found", with the command that lists them as hint. */
struct error *resource_not_found(const struct admin_kind *kind, struct str name) MUST_USE;

/* Adds a warning to the answer of a Put; text lives as long as the request. */
void change_warn(struct change *c, const char *text);
/* Writes the resource with its audit event, and ends the request. For prepare. */
void change_write(struct admin_request *q, struct change *c);

/* The four methods of AdminService; the kind is that of the method's row. */
void admin_list_resources(struct rpc_call *call, const ProtobufCMessage *first);
void admin_get_resource(struct rpc_call *call, const ProtobufCMessage *first);
void admin_put_resource(struct rpc_call *call, const ProtobufCMessage *first);
void admin_delete_resource(struct rpc_call *call, const ProtobufCMessage *first);

#endif
