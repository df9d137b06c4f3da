/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The threads that work on the files of recordings, so that neither logins nor the audit log wait for them.
 *
 * What all recordings append is written and synced together, in rounds:
 *
 *      record_disk_append ─▶ waiting ─▶ round ─▶ [thread] write all, begin write-back of all, sync each ─▶ done, done, done
 *                                         ▲                                                                   │
 *                                         └───────────────────────── pause ◀──────────────────────────────────┘
 *
 * The file system commits what all files have appended with the first sync, so the others of a round have little left to do. A
 * pause is as long as the round before it took, TIMEOUT_RECORDS_PAUSE at most: at least half of the time the disk is free for
 * the syncs that logins wait for. Opening and cutting, which read whole files, have a second thread.
 */
#ifndef AUTH_SESSIONS_RECORD_DISK_H
#define AUTH_SESSIONS_RECORD_DISK_H

#include "auth/sessions/records.h"

struct job;
struct loop;
struct record_disk;

struct record_disk *record_disk_new(struct loop *l) MUST_USE;
/* What was given is finished first; the threads end by themselves. NULL is silent. */
void record_disk_free(struct record_disk *d);

/* One append under way; embedded in its owner, who may look at err when done is called, and touches nothing before. */
struct record_append {
        struct record_append *next;
        struct record_file *file;
        struct str bytes;
        struct error *err; /* owned by the owner from done on; as of record_file_write() and record_file_sync() */
        bool is_written;
        void (*done)(void *ctx);
        void *ctx;
};

/* Appends bytes (borrowed, as the file is, until done) to the file; they are durable when done is called without an error. */
void record_disk_append(struct record_disk *d, struct record_append *a, struct record_file *f, struct str bytes, void (*done)(void *ctx),
                        void *ctx);
/* The owner ends: release(ctx) is called instead of done, and frees the owner. The bytes are appended all the same. */
void record_append_cancel(struct record_append *a, void (*release)(void *ctx));

/* A job on the second thread, as loop_job() is on the pool. */
struct job *record_disk_job(struct record_disk *d, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx);

#endif
