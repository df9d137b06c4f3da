/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of this host in data_dir/proc/status.json, for `teleport status` and for monitoring.
 * Rewritten on each change, with at most one write at a time, off the loop's thread.
 */
#ifndef INSTANCE_STATUS_H
#define INSTANCE_STATUS_H

#include "base/clock.h"
#include "base/error.h"

struct loop;

enum status_state {
        STATUS_STARTING,
        STATUS_JOINING,    /* has no identity (any more), and is joining */
        STATUS_CONNECTING, /* has one, has no connection to the Auth Service */
        STATUS_CONNECTED,  /* announced, with heartbeats; a node also has a tunnel */
        STATUS_UNREACHABLE, /* announced, but no proxy has a tunnel to this node yet or any more */
        STATUS_LOCKED,     /* a lock of the cluster is in force against this host */
        STATUS_STOPPED,    /* the process has ended normally */
};

enum { STATUS_NOTICES_MAX = 8 };
#define STATUS_NOTICE_CERTIFICATE "certificate" /* the kind of a notice that is also in the line */

struct status {
        struct loop *loop;
        char *path;
        enum status_state state;
        struct walltime since;      /* in this state */
        bool was_connected;         /* in this run */
        char *host_id, *cluster, *server;
        struct walltime joined;     /* 0: not yet */
        struct walltime cert_not_after;
        char *last_error, *last_error_hint;
        struct walltime last_error_at;
        int64_t clock_skew_ms;      /* the cluster's clock minus this host's */
        char *notices[STATUS_NOTICES_MAX]; /* the newest notices, one of each kind */
        char *notice_kinds[STATUS_NOTICES_MAX];
        struct timer *soon;  /* runs from the first change of a turn of the loop to its end */
        struct job *writing; /* NULL: no write is under way */
        bool is_dirty;       /* something has changed since the last write began */
        bool keeps_tunnels;  /* status_set_tunnels was called */
        size_t tunnels;
        void (*on_change)(void *ctx); /* called once for all changes of a turn of the loop; NULL: not called */
        void *on_change_ctx;
        void (*finished)(void *ctx); /* set by status_finish */
        void *finished_ctx;
};

/* dir: data_dir/proc. */
void status_init(struct status *s, struct loop *l, const char *dir);
/* May be called at any time: a running write is completed, and `done` of status_finish() is not called any more. */
void status_release(struct status *s);

/* Writes STATUS_STOPPED as the last state. done is called once, from the loop, when it is written; later changes are ignored. */
void status_finish(struct status *s, void (*done)(void *ctx), void *ctx);

/*
 * Each of these functions stores a change and schedules a write of the file. Text is copied; untrusted text must be
 * escaped with escape_text().
 */
void status_set_state(struct status *s, enum status_state state); /* the file is written only if the state has changed */
void status_set_identity(struct status *s, struct str host_id, struct str cluster, struct walltime joined,
                         struct walltime not_after);
void status_set_server(struct status *s, const char *server);
void status_set_error(struct status *s, const struct error *err); /* NULL: no error */
void status_set_skew(struct status *s, struct duration skew);
void status_set_tunnels(struct status *s, size_t tunnels); /* of a node */
void status_set_notice(struct status *s, const char *kind, const char *text); /* text NULL: removes the notice */

/* "connected" … as written to the file. */
const char *status_state_name(enum status_state state);

/*
 * One line for the service manager, at most STATUS_LINE_MAX bytes, without control characters: whether the host has joined, its
 * cluster, since when, its server and tunnels, a certificate that is near its end, the last error.
 */
enum { STATUS_LINE_MAX = 1024 };
void status_put_line(const struct status *s, struct buf *out);

/* The file's text, for tests. */
void status_put_json(const struct status *s, struct buf *out);

#endif
