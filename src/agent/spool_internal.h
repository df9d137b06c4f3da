/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A recording on its way: written by spool.c, sent by upload.c. Private to the two.
 *
 *      begun ──▶ writing, and sending behind ──▶ finished ──▶ all sent ──▶ gone
 *                       │ the disk or the cluster takes no more
 *                       └──▶ failed ──▶ finished …
 *
 * Disk work is done on the pool, one write and one read at a time, on copies: a file that goes cancels its jobs.
 */
#ifndef AGENT_SPOOL_INTERNAL_H
#define AGENT_SPOOL_INTERNAL_H

#include <sys/queue.h>

#include "agent/agent.h"
#include "agent/spool.h"
#include "base/budget.h"
#include "base/limits.h"
#include "recording/recording.h"
#include "rpc/rpc.h"

enum {
        SPOOL_NAME_MAX = 48,           /* "<uuid>.rec" */
        SPOOL_PIECE = 64 * KiB,        /* read and sent at once */
        SPOOL_BUDGET = 8 * SPOOL_PIECE, /* of all recordings together */
};

_Static_assert((int)SPOOL_PIECE <= (int)LIMIT_RECORD_CHUNK && (int)SPOOL_BUDGET <= (int)LIMIT_UNREAD_OUTPUT / 2,
               "the sessions' own words go over the same connection");

struct upload {
        struct rpc_client_call *call; /* NULL: none under way */
        bool is_asking;               /* for a client of auth */
        struct job *reading;          /* of the next piece; NULL: none */
        bool has_offset;              /* auth has said where to begin */
        bool has_finished_sending;     /* RecordFinish went out */
        uint64_t sent, acked;         /* offsets */
        struct instant sent_at;       /* the last piece */
        size_t reserved;              /* of the spool's budget */
        bool is_queued;               /* for its turn */
        TAILQ_ENTRY(spool_file) turn;
        struct timer *retry;          /* a pause, between tries or between pieces */
        struct backoff backoff;
};

/* What an earlier run's file has lost in the middle, or to its end. */
struct spool_hole {
        uint64_t from, to;
        uint32_t next; /* number of the chunk behind it */
};

struct spool_file {
        struct spool_file *next, **at;
        struct spool *spool;
        char id[SPOOL_NAME_MAX];
        char name[SPOOL_NAME_MAX];
        int fd;
        bool is_old;       /* of an earlier run */
        bool is_published; /* may be sent */
        bool is_closed;    /* the producer of the bytes has ended */
        bool has_failed;   /* takes no more */
        bool is_aborted;   /* ends without its end */
        bool is_complete;  /* nothing more will be written: size is final */
        bool is_unwanted;  /* discarded, or the cluster has it: goes when no job holds it */
        bool is_damaged;   /* on this disk: kept, under another name, when the cluster has what is left */
        struct spool_hole *holes;
        size_t hole_count;
        bool is_refused;   /* the cluster will not have it: stays where it is, for an operator */
        uint64_t size;     /* on disk, whole chunks */
        struct budget_holder *user; /* whose recording it is, and what it takes of the spool's room; NULL: of an earlier run */
        size_t taken;
        uint64_t old_size; /* of an earlier run: what it takes of the room until it goes */

        struct recording_writer *writer;
        struct instant begun, synced;
        struct timer *sync;    /* of what is written and not synced */
        struct job *looking;   /* at what an earlier run left; NULL: none */
        struct job *writing;   /* NULL: none */
        size_t writing_len;    /* bytes that it has */
        bool is_dirty;         /* something was written and not synced */
        size_t counted;        /* bytes of it in memory, as the spool has them */
        bool wants_drain;
        void (*failed)(void *ctx, struct error *err);
        void (*drained)(void *ctx);
        void *ctx;

        struct upload upload;
};

struct spool {
        struct agent *agent;
        struct loop *loop;
        int dir;
        struct spool_file *files;
        size_t waiting;      /* bytes of all recordings that are in memory and not on the disk */
        bool is_full;     /* they have reached LIMIT_SPOOL_WAITING_ALL, and not fallen to half of it since */
        struct timer *stuck; /* runs while the spool is full: to log it */
        void (*full)(void *ctx, bool is_full);
        void *full_ctx;
        struct budget room;  /* of the folder, in bytes */
        uint64_t disk_free;  /* bytes of the disk that recordings may yet take, when it was last asked */
        size_t old_uploads;  /* of earlier runs, under way */
        size_t budget;       /* bytes that may yet be sent without being acknowledged: the connection is everybody's */
        TAILQ_HEAD(turns, spool_file) turns; /* those that wait for budget, in order */
        bool is_closing;
};

/* spool.c: a file that nobody needs any more goes when no job holds it; the pointer may be dead then. */
void spool_file_settle(struct spool_file *f);
/* spool.c: ends the recording as it is, and tells its session (err owned). */
void spool_file_fail(struct spool_file *f, struct error *err);
/* spool.c: begins to send what waits of earlier runs. */
void spool_send_old(struct spool *sp);

/* upload.c */
void upload_init(struct spool_file *f);
void upload_release(struct spool_file *f);
/* Sends no more, for good. */
void upload_close(struct spool_file *f);
/* There is more to send, or nothing more will come; the pointer may be dead then. */
void upload_advance(struct spool_file *f);
bool upload_is_busy(const struct spool_file *f);

#endif
