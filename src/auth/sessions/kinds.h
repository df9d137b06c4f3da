/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of kinds of resources that users connect to: one row for each kind.
 *
 * Each Dial request, report stream and decision concerns a resource of a kind. The row defines what is specific to the
 * kind: how its request is checked, which hosts may offer it, and what a user must be allowed. Which service of a host
 * offers the kind is in the table of services (services/services.h, `kind`). A kind is added by a row here and its own
 * message beside NodeLogin in api.proto.
 */
#ifndef AUTH_SESSIONS_KINDS_H
#define AUTH_SESSIONS_KINDS_H

#include "access/access.h"
#include "api.pb-c.h"
#include "auth/hosts/nodes.h"
#include "auth/sessions/kind_fields.h"
#include "base/shares.h"

struct answer;
struct directory;
struct service_row;
struct shown_certificate;

enum { KIND_NODE, KIND_APP, KIND_COUNT };

/* A resource as its host announces it; borrowed from the host. */
struct kind_resource {
        struct str uri; /* where the host reaches it; "": it is the host */
        struct str public_addr; /* of an application; may be empty */
        const struct access_label *labels;
        size_t label_count;
};

struct resource_kind {
        const char *name;           /* "node": of Dial, of records and of the service that offers it */
        const char *missing_hint;   /* how a user lists the existing ones */
        const char *ambiguous;      /* the error when several hosts match the target; NULL: each of them will do */
        const char *ambiguous_hint; /* and how to name exactly one */
        const char *place;          /* the other end of a connection, in an error about the number of connections */
        struct share_limits limits; /* of the connections to one host */

        /* Reads target and own fields of a Dial request, which they borrow from. INVALID_ARGUMENT: malformed. */
        struct error *(*read)(const Cteleport__V1__DialRequest *m, struct str *ret_target, struct kind_fields *ret_fields);
        /*
         * Finds the IDs of the hosts that may offer the target, borrowed until the next turn of the loop; returns their
         * number. If each of them will do, they are in the order in which they are tried.
         */
        size_t (*find)(const struct nodes *hosts, struct str target, struct str ret_ids[LIMIT_DIAL_CANDIDATES]);
        /* Whether the host offers it. */
        bool (*is_offered)(const struct node *host, const struct kind_fields *fields);
        /* Whether the user sees the resource on this host, so that a refusal may mention it. */
        bool (*is_seen)(const struct access_user *user, const struct node *host, const struct kind_fields *fields);
        /* Its labels and uri, all empty if the host does not offer it. */
        struct kind_resource (*resource)(const struct node *host, const struct kind_fields *fields);
        /*
         * Whether the user exists, is not locked out and may use the resource on this host, see decision_check():
         * *ret_user is set once the user is found, `may` only when fields are given.
         */
        struct error *(*check)(const struct directory *d, struct str user, const struct kind_fields *fields, const struct node *host,
                               struct arena *arena, struct access_user *ret_user, struct access_session *ret_may);
        /* Whether the certificate that the user has shown to the service permits the connection; sets its fields of the answer. */
        struct error *(*check_certificate)(const struct shown_certificate *c, struct answer *answer);
};

/* NULL: this release has no such kind. */
const struct resource_kind *kind_find(const char *name);
/* The kind of a stored record; "" means "node", as releases without other kinds stored none. */
const struct resource_kind *kind_of_record(const char *name);
/* Its number in the table, KIND_NODE … */
size_t kind_index(const struct resource_kind *kind);
/* The service that offers it. */
const struct service_row *kind_service(const struct resource_kind *kind);
/* UNIMPLEMENTED, with a text for the user that names the unknown kind and lists the known ones. */
struct error *kind_unknown(const char *name) MUST_USE;

#endif
