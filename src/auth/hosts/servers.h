/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cluster's own servers, Auth and Proxy Services: the public names under which clients reach them and the keys that
 * they serve with. No other host gets a certificate for these names, for a name below a proxy's (of applications), or on
 * these keys; no user does on these keys. The keys of web certificates, which a proxy serves browsers and tsh with, are
 * certified for nobody, the proxy included.
 *
 * Store: /servers/<host ID>, written with each certificate of role Proxy, as long as that lasts, and /servers/<host ID>/web, written when
 * the proxy tells the keys of its web certificates, and again with each certificate. The names of the Auth Service and its key are
 * known from its configuration.
 *
 * Where auth->servers is NULL nothing is reserved.
 */
#ifndef AUTH_HOSTS_SERVERS_H
#define AUTH_HOSTS_SERVERS_H

#include "api.pb-c.h"
#include "auth/core/auth.h"

struct servers;

/* Reads those there are and follows the store; ready(ctx, err) once from the loop. */
struct servers *servers_open(struct auth *a, void (*ready)(void *ctx, struct error *err), void *ctx) MUST_USE;
/* Follows the store no longer, so that it can be closed. */
void servers_stop(struct servers *s);
void servers_close(struct servers *s);

/* The names of this Auth Service and its TLS key (DER), copied. */
void servers_set_own(struct servers *s, const struct str *names, size_t count, struct str key_der);

/* Who wants a name or a key. */
struct server_claim {
        struct str host_id;       /* "": not known yet, or a user */
        struct str proxy_binding; /* of a host that may be a Proxy Service, else "" (auth/hosts.h) */
        bool is_proxy;            /* the certificate is one of role Proxy: names below another proxy's may be its own */
};

/*
 * PERMISSION_DENIED for a name, in any spelling, or an address that is a server's or lies below a proxy's. A server's
 * own host may have it, and so may another proxy of the same binding: one address for several.
 */
struct error *servers_check_name(const struct auth *a, struct str name, struct server_claim claim) MUST_USE;

/* The same, silent: whether a name as it is spelled may be in a certificate for TLS, where x.CLUSTER may be an application's. */
bool servers_may_name_tls(const struct auth *a, struct str name, struct server_claim claim);

/* PERMISSION_DENIED for the key of a server, in SubjectPublicKeyInfo or SSH wire form; a proxy may keep its own. */
struct error *servers_check_key(const struct auth *a, struct str der, struct server_claim claim) MUST_USE;
struct error *servers_check_ssh_key(const struct auth *a, struct str wire) MUST_USE;

/* Adds to t what a new certificate of role Proxy is for; names in any spelling. */
void servers_put(const struct auth *a, struct store_txn *t, struct str host_id, struct str binding, const struct str *names, size_t count,
                 struct str key_der, struct walltime expires);
/*
 * Writes down the keys that a proxy says it serves HTTPS with, in the place of those before; what it cannot prove to hold is left out, so
 * that no proxy shuts out others by their keys. Nobody waits for it.
 */
void servers_note_web_keys(struct auth *a, struct str host_id, Cteleport__V1__WebKey *const *keys, size_t count);
/* Adds the end of a removed host's records. */
void servers_delete(struct store_txn *t, struct str host_id);

/* Logs which other hosts announce one of the names that a proxy has now. */
void servers_warn_of_duplicates(const struct auth *a, struct str host_id, const struct str *names, size_t count);

#endif
