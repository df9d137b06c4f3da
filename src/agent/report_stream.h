/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report stream of one connection, SessionService/Report, which outlives the connection to the Auth Service. Events are
 * sent in order and kept until they are durable there; after a loss the next stream begins with the accepted certificate and
 * repeats the events that were not acknowledged.
 */
#ifndef AGENT_REPORT_STREAM_H
#define AGENT_REPORT_STREAM_H

#include "api.pb-c.h"
#include "base/error.h"

struct agent;

struct report_events {
        /* The answer to report_stream_request, in the order of the requests; or a later decision on a certificate. Borrowed. */
        void (*on_decision)(void *ctx, const Cteleport__V1__ReportDecision *decision);
        /* The order to end. Foreign text. */
        void (*on_terminate)(void *ctx, struct str reason);
        /*
         * The cluster knows nothing of this connection (any more), or there is more to tell than is kept: end it. err
         * is owned. At most once; nothing is reported any more.
         */
        void (*on_refused)(void *ctx, struct error *err);
        /* After report_stream_finish: all is acknowledged. */
        void (*on_finished)(void *ctx);
};

struct report_stream;
struct report_stream *report_stream_new(struct agent *agent, struct str connection_id, struct str client_addr,
                                        const struct report_events *events, void *ctx) MUST_USE;
/* Pending acknowledgements end with CANCELLED, now. NULL is silent. */
void report_stream_free(struct report_stream *a);

/* Requests the decision on a certificate; copied. */
void report_stream_request(struct report_stream *a, const Cteleport__V1__ReportRequest *request);

/* The connection is that of this certificate (copied): reported now, and with the begin of each stream after a loss. */
void report_stream_accepted(struct report_stream *a, const Cteleport__V1__ReportAccepted *accepted);

/* As connection_report. */
void report_stream_send(struct report_stream *a, const Cteleport__V1__ReportUp *up, void (*acknowledged)(void *ctx, struct error *err),
                 void *ctx);

/* There are no further events. */
void report_stream_finish(struct report_stream *a);

#endif
