/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report stream of one user's connection to this host (SessionService/Report), which continues after the
 * connection to the Auth Service was lost. Events are sent in order and kept until the Auth Service has stored
 * them; after a loss the next stream begins with the accepted certificate and repeats the events that were not
 * acknowledged.
 */
#ifndef AGENT_REPORT_STREAM_H
#define AGENT_REPORT_STREAM_H

#include "api.pb-c.h"
#include "base/error.h"

struct agent;

struct report_events {
        /* The answer to report_stream_request, in the order of the requests; or a later decision on a certificate. Borrowed. */
        void (*on_decision)(void *ctx, const Cteleport__V1__ReportDecision *decision);
        /* The Auth Service orders that the connection be closed. reason is untrusted text. */
        void (*on_terminate)(void *ctx, struct str reason);
        /*
         * The service has to close the connection: the cluster does not know it (any more), or too many events
         * are unacknowledged. err is owned. Called at most once; no events are reported afterwards.
         */
        void (*on_refused)(void *ctx, struct error *err);
        /* After report_stream_finish: all events are acknowledged. */
        void (*on_finished)(void *ctx);
};

struct report_stream;
struct report_stream *report_stream_new(struct agent *agent, struct str connection_id, struct str client_addr,
                                        const struct report_events *events, void *ctx) MUST_USE;
/* Frees the stream. Pending acknowledgements end with CANCELLED before this returns. NULL is ignored. */
void report_stream_free(struct report_stream *a);

/* Requests the decision on a certificate; copied. */
void report_stream_request(struct report_stream *a, const Cteleport__V1__ReportRequest *request);

/* Reports the certificate (copied) with which the user logged in: now, and at the begin of each stream after a loss. */
void report_stream_accepted(struct report_stream *a, const Cteleport__V1__ReportAccepted *accepted);

/* Adds an event to the stream, as connection_report() does. */
void report_stream_send(struct report_stream *a, const Cteleport__V1__ReportUp *up, void (*acknowledged)(void *ctx, struct error *err),
                 void *ctx);

/* Reports the end of the connection, and that no further events follow. reason NULL: it ended by itself. */
void report_stream_close(struct report_stream *a, uint64_t bytes_to_client, uint64_t bytes_from_client, const char *reason);
/* States that no further events follow. */
void report_stream_finish(struct report_stream *a);

#endif
