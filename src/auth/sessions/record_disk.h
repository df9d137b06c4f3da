/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that write and read the files of recordings, so that logins and the audit log do not wait for them.
 *
 * Appends of all recordings are written and synced together, in rounds:
 *
 *      record_disk_append ─▶ waiting ─▶ round ─▶ [thread] write all, begin write-back of all, sync each ─▶ done, done, done
 *                                         ▲                                                                   │
 *                                         └───────────────────────── pause ◀──────────────────────────────────┘
 *
 * The file system commits what all files have appended with the first sync, so the other syncs of a round are short. A
 * pause lasts as long as the round before it, TIMEOUT_RECORDS_PAUSE at most: at least half of the time the disk is free
 * for the syncs that logins wait for. Opening and cutting, which read whole files, have a second thread.
 */
#ifndef AUTH_SESSIONS_RECORD_DISK_H
#define AUTH_SESSIONS_RECORD_DISK_H

#include "auth/sessions/records.h"

struct job;
struct loop;
struct record_disk;

struct record_disk *record_disk_new(struct loop *l) MUST_USE;
/* Finishes pending work in the background, then ends the threads. NULL is ignored. */
void record_disk_free(struct record_disk *d);

/* One append under way; embedded in its owner, which may read err once done is called and must not access other fields. */
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
/*
 * Detaches the owner, which is ending: release(ctx) is called instead of done and frees the owner. The bytes are
 * appended nevertheless.
 */
void record_append_cancel(struct record_append *a, void (*release)(void *ctx));

/* A job on the second thread, as loop_job() is on the pool. */
struct job *record_disk_job(struct record_disk *d, void (*work)(void *ctx), void (*done)(void *ctx), void *ctx);

#endif
