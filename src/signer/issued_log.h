/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signer's log of issued certificates: one line of JSON for each, durable before the certificate is sent. Auth has
 * no access to it, so it is reliable even if auth is compromised.
 *
 * The lines of several orders are written and synced together:
 *
 *      issued_log_add, issued_log_add, … ─▶ issued_log_commit: write, fdatasync ─▶ the certificates may leave
 *
 * Bounded: from ISSUED_LOG_PLAIN bytes on, issued_log_rotate() packs the lines into the archive (issued_archive.h), and
 * begins the file anew. A crash between the two leaves them in the archive only, or in both until the next start; no
 * line is lost.
 */
#ifndef SIGNER_ISSUED_LOG_H
#define SIGNER_ISSUED_LOG_H

#include <sys/types.h>

#include "base/buf.h"
#include "pki/cert.h"
#include "signer/issued_archive.h"

struct issued_log {
        int fd;
        off_t size;       /* durable size, or the size at the start */
        struct buf lines; /* added, not written yet */
        bool is_torn;     /* the last line may lack its end: disk full, power cut */
        off_t rotate_at;  /* the size from which on it is rotated */
        struct issued_archive archive;
};

/*
 * Opens the file, 0600, creating it if missing, and its archive beside it, and makes their names durable. Rotates a
 * file that is too large already.
 */
struct error *issued_log_open(struct issued_log *log, const char *path) MUST_USE;
void issued_log_release(struct issued_log *log);

/* Fields that all lines about one order have: the subject and the reason. Texts that are "" are left out. */
struct issued_order {
        struct str host_id, node_name, role; /* of a host */
        struct str user;                     /* of a user */
        const struct str *roles;             /* a host's system roles, a user's roles */
        size_t role_count;
        const char *reason;
        struct cert_times times;
};

/* One certificate of an order. */
struct issued {
        const char *kind;  /* "x509" or "ssh" */
        struct str serial; /* hex */
        struct str key;    /* the certified public key, as in the order */
        const struct str *names, *more_names; /* names of a host; the logins of a user */
        size_t name_count, more_name_count;
};

/*
 * Adds a line for each, to be written with the next commit. RESOURCE_EXHAUSTED: they do not fit, and nothing is added;
 * ISSUED_LOG_BATCH bytes always fit when less than that is pending.
 */
enum { ISSUED_LOG_BATCH = 256 * KiB }; /* two certificates of a hundred names; a batch is at most twice that */
struct error *issued_log_add(struct issued_log *log, const struct issued_order *order, struct walltime now,
                             const struct issued *issued, size_t count) MUST_USE;

/*
 * Writes and syncs what was added; after an error none of the certificates may be sent. RESOURCE_EXHAUSTED and
 * INTERNAL: the file is as before, and the next commit may succeed. DATA_LOSS: it is unknown what is on the disk; the
 * process must end.
 */
struct error *issued_log_commit(struct issued_log *log) MUST_USE;

/*
 * Packs the lines when there are ISSUED_LOG_PLAIN bytes of them, some 2,000 lines; else nothing. To be called when no
 * request is pending, as it takes about 20 ms. A full disk is logged, and the rotation is tried again after as many
 * further bytes. DATA_LOSS as above.
 */
enum { ISSUED_LOG_PLAIN = 1 * MiB };
struct error *issued_log_rotate(struct issued_log *log) MUST_USE;

#endif
