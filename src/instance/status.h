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
        STATUS_JOINING,    /* has no identity (any more), is getting one */
        STATUS_CONNECTING, /* has one, has no connection to the Auth Service */
        STATUS_CONNECTED,  /* announced, heartbeats are taken; a node: it has a tunnel as well */
        STATUS_UNREACHABLE, /* announced, but no proxy has a tunnel to this node yet or any more */
        STATUS_LOCKED,     /* a lock of the cluster is in force against this host */
        STATUS_STOPPED,    /* the process ended in order */
};

enum { STATUS_NOTICES_MAX = 8 };

struct status {
        struct loop *loop;
        char *path;
        enum status_state state;
        struct walltime since;      /* in this state */
        char *host_id, *cluster, *server;
        struct walltime joined;     /* 0: not yet */
        struct walltime cert_not_after;
        char *last_error, *last_error_hint;
        struct walltime last_error_at;
        int64_t clock_skew_ms;      /* the cluster's clock minus ours */
        char *notices[STATUS_NOTICES_MAX]; /* the newest; of one kind there is only one */
        char *notice_kinds[STATUS_NOTICES_MAX];
        struct timer *soon;  /* runs from the first change of a turn of the loop to its end */
        struct job *writing; /* NULL: no write is under way */
        bool is_dirty;       /* something has changed since the last write began */
        void (*finished)(void *ctx); /* set by status_finish */
        void *finished_ctx;
};

/* dir: data_dir/proc, whatever it is called by. */
void status_init(struct status *s, struct loop *l, const char *dir);
/* At any moment: a write that is under way is done all the same, and `done` of status_finish is not called any more. */
void status_release(struct status *s);

/* The last news: STATUS_STOPPED. done comes once from the loop when that is written; nothing is noted afterwards. */
void status_finish(struct status *s, void (*done)(void *ctx), void *ctx);

/* Each of these notes a change and has the file written soon. Text is copied; escape_text has been applied to foreign text. */
void status_set_state(struct status *s, enum status_state state); /* true news only; no change, no write */
void status_set_identity(struct status *s, struct str host_id, struct str cluster, struct walltime joined,
                         struct walltime not_after);
void status_set_server(struct status *s, const char *server);
void status_set_error(struct status *s, const struct error *err); /* NULL: all is well */
void status_set_skew(struct status *s, struct duration skew);
void status_set_notice(struct status *s, const char *kind, const char *text); /* text NULL: it is over */

/* "connected" … as written to the file. */
const char *status_state_name(enum status_state state);

/* The file's text, for tests. */
void status_put_json(const struct status *s, struct buf *out);

#endif
