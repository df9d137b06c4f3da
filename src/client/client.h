/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user's side of the cluster, for tsh and tctl: the profile under ~/.tsh, and connections from this
 * workstation to the Proxy Service, the Auth Service and nodes.
 *
 *     TELEPORT_HOME or ~/.tsh
 *         current-profile                       name of the proxy host
 *         <proxy>.yaml                          web_proxy_addr, user, cluster, …
 *         mux/                                  sockets of connections that stay open (client/mux.h)
 *         known_hosts                           @cert-authority lines of all profiles, for other programs
 *         keys/<proxy>/certs.pem                host CA, X.509
 *         keys/<proxy>/cas/<cluster>.pem
 *         keys/<proxy>/cas/known_hosts          host CA, SSH: @cert-authority lines
 *         keys/<proxy>/<user>                   private key (0600), OpenSSH form, Ed25519
 *         keys/<proxy>/<user>.pub
 *         keys/<proxy>/<user>.key               private key of the X.509 certificate (0600), P-256
 *         keys/<proxy>/<user>-x509.pem
 *         keys/<proxy>/<user>-ssh/<cluster>-cert.pub
 *         keys/<proxy>/<user>-app/<cluster>/    certificates for applications (client/app_login.h)
 *
 * <proxy> is the proxy's host, or "host:port" for the second proxy of one host. Everything is 0600 in directories of
 * 0700, written atomically; files that other accounts could change are refused.
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/secret.h"
#include "net/stream.h"
#include "rpc/rpc.h"

struct loop;
struct tls_context;
struct watch;

enum { CLIENT_NAMES_MAX = 64 };

struct profile {
        struct arena *arena;
        const char *home;       /* the directory */
        const char *proxy_host; /* names the files; with a port for the second proxy of a host */
        const char *web_addr;   /* host:port of the proxy */
        const char *user, *cluster;
        bool is_insecure;       /* logged in with --insecure */
        bool is_current;        /* the default profile */
        /* from the certificates */
        struct str roles[CLIENT_NAMES_MAX], logins[CLIENT_NAMES_MAX], extensions[8];
        size_t role_count, login_count, extension_count;
        struct walltime not_after;
        const char **inner;     /* profile_find_inner: clusters of other profiles whose names end in this one's */
        size_t inner_count;
        /* paths of the files above */
        const char *known_hosts, *ssh_key, *ssh_cert, *tls_key, *tls_cert, *host_cas;
};

/* ---- the profile on disk --------------------------------------------------------------------------------- */

/* TELEPORT_HOME, or ~/.tsh; in the arena. An absolute path. */
struct error *profile_home(struct arena *a, const char **ret) MUST_USE;

/*
 * Reads the profile of `proxy` (host[:port]; NULL: the current one) and of `user` (NULL: the one it names).
 * NOT_FOUND "Not logged in." when there is none; expired certificates are no error here (see not_after).
 */
struct error *profile_load(struct profile *p, const char *proxy, const char *user) MUST_USE;
/* The same without the certificates: names and paths only. */
struct error *profile_find(struct profile *p, const char *proxy, const char *user) MUST_USE;
void profile_release(struct profile *p);

/* UNAUTHENTICATED "Active profile expired." with the hint how to log in again. */
struct error *profile_check_times(const struct profile *p, struct walltime now) MUST_USE;

/* The names of all profiles (proxy hosts), sorted, in the arena. */
struct error *profile_names(struct arena *a, const char ***ret, size_t *ret_count) MUST_USE;

/* The result of a login; everything borrowed. */
struct profile_login {
        const char *web_addr; /* host:port */
        const char *user, *cluster;
        bool is_insecure;
        const struct secret *ssh_key; /* OpenSSH form */
        const struct secret *tls_key; /* PEM */
        struct str ssh_public;        /* wire form */
        struct str ssh_cert;          /* wire form */
        struct str tls_cert;          /* DER */
        const struct str *tls_cas;    /* of the host CA, DER */
        size_t tls_ca_count;
        const struct str *ssh_cas;    /* of the host CA, wire form */
        size_t ssh_ca_count;
};

/*
 * Whether the CAs of a login may be trusted: those that --ca-pin names ("sha256:…" of X.509, "SHA256:…" of SSH;
 * NULL-terminated, may be NULL), those that the profile of this proxy has, or without one those of other profiles of the
 * same cluster's name. A first login without pins trusts the CAs of the proxy. UNAUTHENTICATED with all fingerprints.
 */
struct error *profile_check_trust(const struct profile_login *login, const char *const *pins) MUST_USE;

/* Fingerprints of CAs in the form of --ca-pin, in the arena. */
struct error *profile_tls_pin(struct arena *a, struct str ca_der, const char **ret) MUST_USE;
struct error *profile_ssh_pin(struct arena *a, struct str ca_wire, const char **ret) MUST_USE;

/* Sets p->inner. */
struct error *profile_find_inner(struct profile *p) MUST_USE;
/* INVALID_ARGUMENT if the name belongs to a cluster of another profile whose name ends in this cluster's. */
struct error *profile_check_host(const struct profile *p, struct str host) MUST_USE;

/* The error of profile_store about a directory that other accounts could change; to be called before a password prompt. */
struct error *profile_check_place(void) MUST_USE;

/* Writes all files of the profile and makes it the current one. INVALID_ARGUMENT for names that are not valid as file names. */
struct error *profile_store(const struct profile_login *login) MUST_USE;

/* Removes the keys and certificates of the profile's user, and its CAs from known_hosts. */
struct error *profile_remove(const struct profile *p) MUST_USE;

/* Removes all files of logins in the directory. *ret_any: whether there were any. */
struct error *profile_remove_all(bool *ret_any) MUST_USE;

/* The private key of the X.509 certificate. PERMISSION_DENIED when other accounts may read the file. */
struct error *profile_tls_key(const struct profile *p, struct secret *ret) MUST_USE;

/* Whether a word may be part of a file's name in the profile: printable, no '/', no dot or dash in front. */
bool profile_is_file_name(struct str s);

/* ---- connections; done is called exactly once from the loop; pointers are borrowed until then ------------- */

/* gRPC to the Auth Service with the user's certificate, end to end: through the proxy, which forwards TLS unchanged. */
struct client_dial;
struct client_dial *client_dial_auth(struct loop *l, const struct profile *p,
                                     void (*done)(void *ctx, struct stream *tls, struct error *err), void *ctx) MUST_USE;
/* The same without a certificate of the user: the server is verified by the CAs of the profile. */
struct client_dial *client_dial_auth_unauthenticated(struct loop *l, const struct profile *p,
                                                     void (*done)(void *ctx, struct stream *tls, struct error *err), void *ctx) MUST_USE;
/* gRPC to the Proxy Service without authentication, for a login. web_addr "host:port"; its web certificate is verified unless insecure. */
struct client_dial *client_dial_proxy(struct loop *l, const char *web_addr, bool is_insecure,
                                      void (*done)(void *ctx, struct stream *tls, struct error *err), void *ctx) MUST_USE;
/* The same, but verified by the CAs of the profile, as every connection of a login is. */
struct client_dial *client_dial_known_proxy(struct loop *l, const struct profile *p,
                                            void (*done)(void *ctx, struct stream *tls, struct error *err), void *ctx) MUST_USE;
/* client_dial_proxy() for HTTP/1.1. */
struct client_dial *client_dial_page(struct loop *l, const char *web_addr, bool is_insecure,
                                     void (*done)(void *ctx, struct stream *tls, struct error *err), void *ctx) MUST_USE;
/* A stream to the SSH server of a node (host name or host ID): ALPN "cteleport-ssh", then HTTP/1.1 CONNECT. */
struct client_dial *client_dial_node(struct loop *l, const struct profile *p, const char *target, const char *login,
                                     void (*done)(void *ctx, struct stream *s, struct error *err), void *ctx) MUST_USE;
/*
 * A stream to the host of an application: the same, with the name of the application, and one of its tcp_ports or 0. The host ends TLS in it (client/app_dial.h).
 * tried: IDs of hosts, separated by commas, instead of which another one is wanted; "": none.
 */
struct client_dial *client_dial_app(struct loop *l, const struct profile *p, const char *app, uint32_t port, const char *tried,
                                    void (*done)(void *ctx, struct stream *s, struct error *err), void *ctx) MUST_USE;
/* The ID of the host that a stream to an application leads to, by the proxy, valid within done when there is a stream; "": it named none. */
const char *client_dial_host_id(const struct client_dial *d);
/* TLS 1.3 with a host of the cluster, verified by the CAs of the profile, with the certificate of the user. */
struct error *client_tls_context(const struct profile *p, const char *const *alpn, struct tls_context **ret) MUST_USE;
/* Reports the steps to w, as connect_watch() does. */
void client_dial_watch(struct client_dial *d, const struct watch *w);
/* done is called with CANCELLED unless it has been called already. */
void client_dial_cancel(struct client_dial *d);

/* Names the remedy if the cluster refuses the certificate of this user, whose CA may have been replaced. Other errors stay as they are. */
struct error *client_refusal_hint(struct error *err, const struct profile *p) MUST_USE;

#endif
