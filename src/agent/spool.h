/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spool: stores session recordings on the disk of this host until the Auth Service has received them.
 * spool.c writes them; upload.c sends them at the same time and, after a connection loss, resumes at the offset
 * that the Auth Service reports.
 */
#ifndef AGENT_SPOOL_H
#define AGENT_SPOOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

struct agent;
struct spool;

/* Opens the spool in dir, data_dir/spool. Recordings that an earlier run left there are sent. */
struct spool *spool_open(struct agent *agent, const char *dir);
/* Sends recordings of earlier processes of this service, as many at a time as may be sent. */
void spool_send_old(struct spool *sp);
/*
 * Closes the spool and leaves the recordings on the disk; the next run sends them. Pointers to struct
 * spool_file become invalid.
 */
void spool_close(struct spool *sp);

/*
 * Calls full(ctx, true) when all recordings together have LIMIT_SPOOL_WAITING_ALL bytes in memory: from then on
 * no producer may be read. Calls full(ctx, false) when half of them are written: producers may be read again,
 * unless spool_must_wait().
 */
void spool_on_full(struct spool *sp, void (*full)(void *ctx, bool is_full), void *ctx);

struct spool_file;
struct recording_header;
/*
 * Begins a recording and writes its header to the disk. failed is called at most once, from the loop (err
 * owned), when the disk or the cluster accepts no more data, or when the recordings of `user` or of all users
 * have reached their limit (LIMIT_SPOOL_USER_MIB, LIMIT_SPOOL_MIB): the recording then ends at this point, and
 * further data is dropped.
 */
struct error *spool_begin(struct spool *sp, struct str session_id, struct str user, const struct recording_header *header,
                          void (*failed)(void *ctx, struct error *err), void *ctx, struct spool_file **ret) MUST_USE;
/* Allows the upload of the recording: the cluster knows the session. */
void spool_publish(struct spool_file *f);
/* Removes the recording of a session that never began. No callback follows. */
void spool_discard(struct spool_file *f);
void spool_output(struct spool_file *f, struct str bytes);
void spool_resize(struct spool_file *f, uint32_t columns, uint32_t rows);
/* The number of bytes (in encoded form) in memory that are not written to the disk yet. */
size_t spool_pending(const struct spool_file *f);
/*
 * Whether the producer has to wait: the recording has LIMIT_SPOOL_WAITING bytes in memory, or all together have
 * LIMIT_SPOOL_WAITING_ALL. drained is called when it may continue.
 */
bool spool_must_wait(const struct spool_file *f);
void spool_on_drain(struct spool_file *f, void (*drained)(void *ctx));
/* Ends the recording; the file stays until it is uploaded. No callback follows. */
void spool_finish(struct spool_file *f);

#endif
