/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Admission control by source: connections or requests of unauthenticated peers are counted (net/sources.h), and when the
 * total is reached, the oldest one of the source that has most is ended for a new one. So a few sources that open many
 * cannot keep others out.
 *
 * source_pick_consider() selects the one to end: one of the new peer's own source is never ended, a source's only one is
 * spared while it is young, and sources of authenticated peers are spared while they are within the limit of a source.
 */
#ifndef NET_ADMISSION_H
#define NET_ADMISSION_H

#include "net/socket.h"
#include "net/sources.h"

struct loop;
struct admitted;

/* The owner sets the fields up to `ctx` and touches nothing below. */
struct admission {
        struct loop *loop;
        struct sources *sources;
        enum source_counter counter;
        /* Ends `a` for a new one. It is not counted any more; admission_leave() of it does nothing. */
        void (*end)(void *ctx, struct admitted *a);
        /* Whether `a` may be ended for a new one. NULL: each may. */
        bool (*may_end)(void *ctx, const struct admitted *a);
        void *ctx;

        struct admitted *newest;
};

/* One counted connection or request; embedded by its owner. A zeroed struct is not counted. */
struct admitted {
        struct admission *admission; /* NULL: not counted */
        struct admitted *next, **at;
        const struct source *source;
        struct instant since;
        const char *peer; /* borrowed: must live as long as it is counted */
        bool is_exempt;   /* set before admission_enter(): only the total applies to it, not the limit of its source */
        bool is_fixed;    /* for the owner's may_end(); set once it was granted */
};

enum admission_result {
        ADMISSION_GRANTED,
        ADMISSION_SOURCE_FULL, /* the source has as many as one may have */
        ADMISSION_FULL,        /* the total is reached, and none may be ended for this one */
};

/*
 * Counts `a` for `peer`, an address with port, ending another one if that is necessary. Unless it is granted, nothing has
 * changed.
 */
enum admission_result admission_enter(struct admission *ad, struct admitted *a, const char *peer) MUST_USE;

/* Counts it no more. May be called again. */
void admission_leave(struct admitted *a);

#endif
