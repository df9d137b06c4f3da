/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reports the steps of a connection while it is made, for a diagnosis (cluster/diagnosis.h). A connection without a watch
 * takes the same steps.
 */
#ifndef NET_WATCH_H
#define NET_WATCH_H

#include <stddef.h>

/* In their order. A step that is not needed is not reported. */
enum watch_step {
        WATCH_DNS,        /* the addresses of the host, or of the HTTP proxy */
        WATCH_TCP,        /* the connection to one of them */
        WATCH_EGRESS_TLS, /* TLS with the HTTP proxy */
        WATCH_TUNNEL,     /* CONNECT through it */
        WATCH_TLS,        /* the handshake with the server at the address */
        WATCH_ALPN,       /* whether it speaks the cluster's protocol */
        WATCH_UPGRADE,    /* the connection upgrade through a load balancer, and before it the request for the host CA */
        WATCH_INNER_TLS,  /* the handshake inside of it */
};

struct watch {
        /*
         * detail NULL: the step begins; it may begin again. Otherwise it has succeeded, and detail (borrowed, safe for
         * terminals) describes the result. A failure is not reported: it ends the connection with an error.
         */
        void (*report)(void *ctx, enum watch_step step, const char *detail);
        /* What the step that is about to fail has found, borrowed: the certificate of the server. May be NULL. */
        void (*note)(void *ctx, enum watch_step step, const char *text);
        void *ctx;
};

/* Reports to w, which may be NULL. */
static inline void watch_report(const struct watch *w, enum watch_step step, const char *detail)
{
        if (w != NULL)
                w->report(w->ctx, step, detail);
}

/* Notes a text for w; either may be NULL. */
static inline void watch_note(const struct watch *w, enum watch_step step, const char *text)
{
        if (w != NULL && w->note != NULL && text != NULL)
                w->note(w->ctx, step, text);
}

#endif
