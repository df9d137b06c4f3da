/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cluster's own servers, Auth and Proxy Services: the public names under which clients reach them and the keys that
 * they serve with. No other host gets a certificate for these names, for a name below a proxy's (of applications), or
 * on these keys; no user does on these keys. The keys of web certificates, which a proxy serves browsers and tsh with,
 * are not certified for any host, not even for the proxy.
 *
 * Store: /servers/<host ID>, written with each certificate of role Proxy, as long as that lasts, and /servers/<host
 * ID>/web, written when the proxy reports the keys of its web certificates, and again with each certificate. The names
 * of the Auth Service and its key are known from its configuration.
 *
 * Where auth->servers is NULL nothing is reserved.
 */
#ifndef AUTH_HOSTS_SERVERS_H
#define AUTH_HOSTS_SERVERS_H

#include "api.pb-c.h"
#include "auth/core/auth.h"

struct servers;

/* Reads the records and watches the store; ready(ctx, err) is called once from the loop. */
struct servers *servers_open(struct auth *a, void (*ready)(void *ctx, struct error *err), void *ctx) MUST_USE;
/* Stops watching the store, so that it can be closed. */
void servers_stop(struct servers *s);
void servers_close(struct servers *s);

/* The names of this Auth Service and its TLS key (DER), copied. */
void servers_set_own(struct servers *s, const struct str *names, size_t count, struct str key_der);

/* The host that claims a name or a key. */
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

/*
 * The same without an error: whether a name, exactly as spelled, may be in a TLS certificate, where x.CLUSTER may be
 * the name of an application.
 */
bool servers_may_name_tls(const struct auth *a, struct str name, struct server_claim claim);

/* PERMISSION_DENIED for the key of a server, in SubjectPublicKeyInfo or SSH wire form; a proxy may keep its own. */
struct error *servers_check_key(const struct auth *a, struct str der, struct server_claim claim) MUST_USE;
struct error *servers_check_ssh_key(const struct auth *a, struct str wire) MUST_USE;

/* Adds the names and keys of a new certificate of role Proxy to the transaction; names in any spelling. */
void servers_put(const struct auth *a, struct store_txn *t, struct str host_id, struct str binding, const struct str *names, size_t count,
                 struct str key_der, struct walltime expires);
/*
 * Stores the keys with which a proxy reports to serve HTTPS, replacing earlier ones. Keys whose possession it does not
 * prove are left out, so that a proxy cannot reserve keys of others. Runs in the background.
 */
void servers_note_web_keys(struct auth *a, struct str host_id, Cteleport__V1__WebKey *const *keys, size_t count);
/* Adds the deletion of a removed host's records to the transaction. */
void servers_delete(struct store_txn *t, struct str host_id);

/* Logs other hosts that announce one of the proxy's names. */
void servers_warn_of_duplicates(const struct auth *a, struct str host_id, const struct str *names, size_t count);

#endif
