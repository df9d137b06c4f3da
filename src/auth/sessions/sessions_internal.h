/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the streams about connections (session_service.c) and the list of them (sessions.c); included by
 * nobody else.
 */
#ifndef AUTH_SESSIONS_SESSIONS_INTERNAL_H
#define AUTH_SESSIONS_SESSIONS_INTERNAL_H

#include "auth/users/directory.h"
#include "auth/sessions/sessions.h"

struct report_stream;

struct sessions {
        struct auth *auth;
        struct nodes *nodes;
        struct map reporting; /* connection ID -> struct report_stream */
        struct map lost;     /* connection ID -> struct lost, owned */
        struct map open;     /* connection ID -> struct place, owned: all that are in the store, or on their way there */
        struct map shares_by_host;   /* host ID -> struct shares, owned: how many of them each user has there */
        struct timer *timeout;
        struct timer *recheck;
        struct directory_watch *users;
        struct state_watch *hosts, *connections;
        void (*ready)(void *ctx, struct error *err);
        void *ready_ctx;
        size_t pending; /* our operations, and report streams: nothing is freed while there are any */
        bool is_closing;
};

/* One is over: frees s if it was the last that a close waits for. */
void sessions_leave(struct sessions *s);

/* The node of this connection is silent from now on; it has not given it up. */
void sessions_note_lost(struct sessions *s, struct str id);
/* It reports again, or is over. */
void sessions_forget_lost(struct sessions *s, struct str id);

/* What somebody may do could not be looked at: all are looked at again, soon. */
void sessions_recheck_later(struct sessions *s);

/* Closes the audit and the record of a connection without its node; it must have no report stream. reason is static. */
void report_stream_give_up(struct sessions *s, struct str id, const char *reason);

/* Asks anew whether who is in may be in. */
void report_stream_recheck(struct report_stream *t);

/* Ends the connection if it is on this host. */
void report_stream_end_on(struct report_stream *t, struct str host_id);

#endif
