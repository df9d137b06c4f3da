/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State of one recording in the spool. Private to spool.c, which writes it, and upload.c, which sends it.
 *
 *      begun ──▶ writing and sending ──▶ finished ──▶ all sent ──▶ removed
 *                       │ the disk or the cluster accepts no more
 *                       └──▶ failed ──▶ finished …
 *
 * Disk work is done on the pool, one write and one read at a time, on copies of the data: freeing a file
 * cancels its jobs.
 */
#ifndef AGENT_SPOOL_INTERNAL_H
#define AGENT_SPOOL_INTERNAL_H

#include <sys/queue.h>

#include "agent/agent.h"
#include "agent/spool.h"
#include "base/budget.h"
#include "base/limits.h"
#include "base/map.h"
#include "recording/recording.h"
#include "rpc/rpc.h"

enum {
        SPOOL_NAME_MAX = 48,           /* "<uuid>.rec" */
        SPOOL_PIECE = 128 * KiB,       /* read and sent at once: each costs a sync in the Auth Service */
        SPOOL_BUDGET = 4 * SPOOL_PIECE, /* of all recordings together */
};

_Static_assert((int)SPOOL_PIECE <= (int)LIMIT_RECORD_CHUNK && (int)SPOOL_BUDGET <= (int)LIMIT_UNREAD_OUTPUT / 2,
               "the messages of sessions use the same connection");

struct upload {
        struct rpc_client_call *call; /* NULL: none under way */
        bool is_request_pending;      /* a client of auth is requested */
        struct job *reading;          /* of the next piece; NULL: none */
        bool has_offset;              /* auth has sent the offset to begin at */
        bool has_finished_sending;     /* RecordFinish was sent */
        uint64_t sent, acked;         /* offsets */
        struct instant sent_at;       /* the last piece */
        size_t reserved;              /* of the spool's budget */
        bool is_queued;               /* for its turn */
        TAILQ_ENTRY(spool_file) turn;
        struct timer *retry;          /* a pause, between tries or between pieces */
        struct backoff backoff;
};

/* A range of bytes that is missing in the file of an earlier run, in the middle or at the end. */
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
        bool has_failed;   /* further data is dropped */
        bool is_aborted;   /* closed without the record that ends a recording */
        bool is_complete;  /* nothing more will be written: size is final */
        bool is_unwanted;  /* discarded, or stored in the cluster: removed when no job uses it */
        bool is_damaged;   /* on this disk: renamed and kept when the cluster has the intact parts */
        struct spool_hole *holes;
        size_t hole_count;
        bool is_empty;     /* of an earlier run, with a header at most: the session may never have begun */
        bool is_refused;   /* refused by the cluster: the file is left for an operator */
        uint64_t size;     /* on disk, whole chunks */
        struct budget_holder *user; /* the user's share of the spool's disk space; NULL: a recording of an earlier run */
        size_t taken;
        uint64_t old_size; /* bytes of disk space that the file of an earlier run uses */

        struct recording_writer *writer;
        struct instant begun, synced;
        struct timer *sync;    /* until the next sync of written data */
        struct job *checking;  /* the job that reads files of an earlier run; NULL: none */
        struct job *writing;   /* NULL: none */
        size_t writing_len;    /* bytes that this job writes */
        bool is_dirty;         /* something was written and not synced */
        size_t counted;        /* bytes of it in memory that the spool has counted */
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
        struct map by_id;    /* of files */
        size_t settled;      /* recordings that were settled since the folder was last read */
        size_t waiting;      /* bytes of all recordings that are in memory and not on the disk */
        bool is_full;     /* `waiting` has reached LIMIT_SPOOL_WAITING_ALL and not yet fallen to half of it */
        struct timer *stuck; /* runs while the spool is full, to log that */
        void (*full)(void *ctx, bool is_full);
        void *full_ctx;
        struct budget room;  /* disk space of the folder, in bytes */
        uint64_t disk_free;  /* bytes of the disk that recordings may still use, as last measured */
        size_t old_uploads;  /* uploads of files of earlier runs that are running */
        size_t budget;       /* bytes that may still be sent before an acknowledgement; all recordings share the connection */
        TAILQ_HEAD(turns, spool_file) turns; /* recordings that wait for budget, in order */
        bool is_closing;
};

/* spool.c: removes a file that is no longer needed, once no job uses it. f may be freed afterwards. */
void spool_file_settle(struct spool_file *f);
/* spool.c: ends the recording at this point and reports err (owned) to its session. */
void spool_file_fail(struct spool_file *f, struct error *err);
/* spool.c: begins to send files of earlier runs. */

/* upload.c */
void upload_init(struct spool_file *f);
void upload_release(struct spool_file *f);
/* Ends the upload for good. */
void upload_close(struct spool_file *f);
/* Continues the upload: there is more to send, or the recording is complete. f may be freed afterwards. */
void upload_advance(struct spool_file *f);
bool upload_is_busy(const struct spool_file *f);

#endif
