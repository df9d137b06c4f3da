/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private declarations shared by the report streams (session_service.c) and the list of connections (sessions.c).
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
        struct map open;     /* connection ID -> struct counted, owned: all that are in the store, or on their way there */
        struct map shares_by_host;   /* host ID -> struct host_shares, owned: number of connections of each user there */
        struct timer *timeout;
        struct timer *recheck;
        struct directory_watch *users;
        struct state_watch *hosts, *connections;
        void (*ready)(void *ctx, struct error *err);
        void *ready_ctx;
        size_t pending; /* running operations and report streams; nothing is freed while it is above 0 */
        bool is_closing;
};

/* Ends one pending operation. Frees s if it was the last one that a close waits for. */
void sessions_leave(struct sessions *s);

/* Marks a connection as lost: its node has stopped reporting without ending it. */
void sessions_note_lost(struct sessions *s, struct str id);
/* Removes the mark: the node reports again, or the connection has ended. */
void sessions_forget_lost(struct sessions *s, struct str id);

/* Schedules a new check of all connections, after a check could not be completed. */
void sessions_recheck_later(struct sessions *s);

/*
 * Writes the final audit events and removes the record of a connection whose node does not report; it must have no
 * report stream. reason is static.
 */
void report_stream_give_up(struct sessions *s, struct str id, const char *reason);

/* Checks again whether the user of this connection may be connected. */
void report_stream_recheck(struct report_stream *t);

/* Ends the connection if it is on this host. */
void report_stream_end_on(struct report_stream *t, struct str host_id);

#endif
