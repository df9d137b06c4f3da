/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Driving the system's ssh, scp and sftp: the options that make them use a profile and nothing else, as
 * words of a command line and as text of ssh_config.
 *
 * A node is `<node>.<cluster>` to them. Who answers is proven by a certificate of the cluster for the host ID that the Auth
 * Service said (client/locate.h); there is no trust on first use. tsh says the ID as HostKeyAlias, `tsh config` by a
 * KnownHostsCommand (OpenSSH 8.5) that trusts the CA only for a key whose certificate has that ID.
 */
#ifndef CLIENT_OPENSSH_H
#define CLIENT_OPENSSH_H

#include "base/buf.h"
#include "client/client.h"
#include "client/mux.h"

/* A command line in the making; lives in the arena. */
struct words {
        struct arena *arena;
        const char **list; /* NULL-terminated */
        size_t count, room;
};
void words_add(struct words *w, const char *word);
/* The same made of a format. */
void words_printf(struct words *w, const char *format, ...) PRINTF_LIKE(2, 3);

/* A word for a POSIX shell: in single quotes. */
void shell_put_word(struct buf *out, struct str word);

/*
 * Adds `-F none` and the options that ours depend on; the first value counts to ssh, so that what is added
 * behind cannot change them. `self` is the absolute path of tsh. relay: name of the socket of a way that stands
 * already (tsh proxy attach); NULL: tsh proxy ssh dials whatever node ssh says. mux: the connection that is reused or kept
 * for others; NULL: neither.
 */
void openssh_add_options(struct words *w, const struct profile *p, const char *self, const char *relay, const struct mux *mux);

/* Only the host of this ID is believed, by whatever name it is called. */
void openssh_add_host_id(struct words *w, const struct profile *p, const char *host_id);

/*
 * For ssh's KnownHostsCommand: the lines of known_hosts by which ssh believes the CA for `host` (as ssh names it), provided
 * that `key` (base64, the certificate that the host shows) is a host certificate of the cluster for host_id.
 * UNAUTHENTICATED otherwise.
 */
struct error *openssh_put_known_host(struct buf *out, const struct profile *p, const char *host, const char *key,
                                     const char *host_id) MUST_USE;

/*
 * Text of ssh_config for every node of the cluster. home NULL: the profile is where tsh looks by itself, otherwise
 * where it is. INVALID_ARGUMENT if `self` or `home` cannot be written there.
 */
struct error *openssh_put_config(struct buf *out, const struct profile *p, const char *self, const char *home) MUST_USE;

/* The path of the running program. INVALID_ARGUMENT if it has characters that a line of configuration cannot. */
struct error *openssh_self(struct arena *a, const char **ret) MUST_USE;

#endif
