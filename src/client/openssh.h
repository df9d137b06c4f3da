/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options for the system's ssh, scp and sftp that make them use a profile and no other keys or hosts, as
 * words of a command line and as text of ssh_config.
 *
 * Their name of a node is `<node>.<cluster>`. The node proves itself by a certificate of the cluster for the host ID that the Auth
 * Service returned (client/locate.h); there is no trust on first use. tsh passes the ID as HostKeyAlias, `tsh config` uses a
 * KnownHostsCommand (OpenSSH 8.5) that trusts the CA only for a key whose certificate has that ID.
 */
#ifndef CLIENT_OPENSSH_H
#define CLIENT_OPENSSH_H

#include "base/buf.h"
#include "client/client.h"
#include "client/mux.h"

/* A command line under construction; lives in the arena. */
struct words {
        struct arena *arena;
        const char **list; /* NULL-terminated */
        size_t count, room;
};
void words_add(struct words *w, const char *word);
/* The same with a printf format. */
void words_printf(struct words *w, const char *format, ...) PRINTF_LIKE(2, 3);

/* A word for a POSIX shell: in single quotes. */
void shell_put_word(struct buf *out, struct str word);

/*
 * Adds `-F none` and the options that ours depend on; ssh uses the first value of an option, so that options added
 * later cannot change them. `self` is the absolute path of tsh. relay: name of the socket of an existing connection
 * (tsh proxy attach); NULL: tsh proxy ssh dials the node that ssh names. mux: the shared connection to use or to
 * make; NULL: none.
 */
void openssh_add_options(struct words *w, const struct profile *p, const char *self, const char *relay, const struct mux *mux);

/* Only the host with this ID is trusted, under any name. */
void openssh_add_host_id(struct words *w, const struct profile *p, const char *host_id);

/*
 * For ssh's KnownHostsCommand: the lines of known_hosts by which ssh trusts the CA for `host` (as ssh names it), provided
 * that `key` (base64, the certificate that the host presents) is a host certificate of the cluster for host_id.
 * UNAUTHENTICATED otherwise.
 */
struct error *openssh_put_known_host(struct buf *out, const struct profile *p, const char *host, const char *key,
                                     const char *host_id) MUST_USE;

/*
 * Text of ssh_config for every node of the cluster. home: the directory of the profile; NULL: the default
 * directory. INVALID_ARGUMENT if `self` or `home` cannot be written there.
 */
struct error *openssh_put_config(struct buf *out, const struct profile *p, const char *self, const char *home) MUST_USE;

/* The path of the running program. INVALID_ARGUMENT if it has characters that a configuration line cannot contain. */
struct error *openssh_self(struct arena *a, const char **ret) MUST_USE;

#endif
