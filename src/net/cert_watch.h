/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches certificates that a process uses for a long time: reports each mark of pki/cert_end.h once, when it is passed. The time
 * of day may be set meanwhile, so it is read every PACE_CERT_END_CHECK at the latest.
 */
#ifndef NET_CERT_WATCH_H
#define NET_CERT_WATCH_H

#include "loop/loop.h"
#include "pki/cert_end.h"

enum { CERT_WATCH_MAX = 64 };

struct cert_watch_options {
        size_t count; /* of the certificates, at most CERT_WATCH_MAX */
        /* The times of certificate n; false: there is none now. */
        bool (*times)(void *ctx, size_t n, struct cert_times *ret);
        /* Certificate n has passed this mark; CERT_END_FAR: another one is used now, which has passed none, or there is none. */
        void (*passed)(void *ctx, size_t n, int mark, struct cert_times times);
        void *ctx;
};

struct cert_watch;

/* Its timer does not keep the loop running. */
struct cert_watch *cert_watch_new(struct loop *l, struct cert_watch_options options) MUST_USE;
void cert_watch_free(struct cert_watch *w); /* NULL is silent */

/* Reads all certificates again, in a later turn of the loop: some have changed. NULL is silent. */
void cert_watch_changed(struct cert_watch *w);

#endif
