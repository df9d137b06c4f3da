/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of kinds of resources that users connect to: one row for each kind.
 *
 * Dial, report streams and decisions are about a resource of a kind, and find here what is different for each: how its request is
 * checked, which hosts may offer it, and what a user must be allowed. Which service of a host offers the kind is in the table of
 * services (services/services.h, `kind`). A kind is added by a row here and its own message beside NodeLogin in api.proto.
 */
#ifndef AUTH_SESSIONS_KINDS_H
#define AUTH_SESSIONS_KINDS_H

#include "access/access.h"
#include "api.pb-c.h"
#include "auth/hosts/nodes.h"
#include "auth/sessions/kind_fields.h"

struct directory;
struct service_row;

struct resource_kind {
        const char *name;           /* "node": of Dial, of records and of the service that offers it */
        const char *missing_hint;   /* where a user finds those there are */
        const char *ambiguous;      /* the error when several answer to the target */
        const char *ambiguous_hint; /* and what names one of them */

        /* Reads target and own fields of a Dial request, which they borrow from. INVALID_ARGUMENT: malformed. */
        struct error *(*read)(const Cteleport__V1__DialRequest *m, struct str *ret_target, struct kind_fields *ret_fields);
        /* IDs of the hosts that may offer the target, borrowed until the next turn; how many there are. */
        size_t (*find)(const struct nodes *hosts, struct str target, struct str ret_ids[LIMIT_DIAL_CANDIDATES]);
        /* Whether the host offers it. */
        bool (*is_offered)(const struct node *host);
        /* Whether the user sees a resource on this host, so that a refusal may mention it. */
        bool (*is_seen)(const struct access_user *user, const struct node *host);
        /*
         * Whether the user exists, is not locked out and may use the resource on this host, see decision_check(): *ret_user is set once
         * the user is found, may only when the fields say what for.
         */
        struct error *(*check)(const struct directory *d, struct str user, const struct kind_fields *fields, const struct node *host,
                               struct arena *arena, struct access_user *ret_user, struct access_session *ret_may);
};

/* NULL: this release has no such kind. */
const struct resource_kind *kind_find(const char *name);
/* Of a record; releases that knew nodes only left the kind out. */
const struct resource_kind *kind_of_record(const char *name);
/* The service that offers it. */
const struct service_row *kind_service(const struct resource_kind *kind);
/* UNIMPLEMENTED, for the user: which kind is not there, and which are. */
struct error *kind_unknown(const char *name) MUST_USE;

#endif
