/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recordings of sessions on the disk of this host, until the Auth Service has them: written by spool.c, sent by upload.c while they
 * are written, and again from where the Auth Service stands after a loss.
 */
#ifndef AGENT_SPOOL_H
#define AGENT_SPOOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

struct agent;
struct spool;

/* data_dir/spool; finds what an earlier run left, and sends it. */
struct spool *spool_open(struct agent *agent, const char *dir);
/* Leaves the recordings as they are: the next run sends them. Files that were begun must not be touched any more. */
void spool_close(struct spool *sp);

/*
 * full(ctx, true) when all recordings together hold LIMIT_SPOOL_WAITING_ALL: from now on no producer may be read, whatever
 * it has; (ctx, false) when half of it is written: each may, unless spool_must_wait().
 */
void spool_on_full(struct spool *sp, void (*full)(void *ctx, bool is_full), void *ctx);

struct spool_file;
struct recording_header;
/*
 * A new recording, with its header on the disk. failed comes at most once, from the loop (err owned), when the disk or the
 * cluster takes no more: then the recording ends as it is, and what is given to it is dropped. So it does when all recordings
 * of `user` that are here, or all of everybody, have taken their room (LIMIT_SPOOL_USER_MIB, LIMIT_SPOOL_MIB).
 */
struct error *spool_begin(struct spool *sp, struct str session_id, struct str user, const struct recording_header *header,
                          void (*failed)(void *ctx, struct error *err), void *ctx, struct spool_file **ret) MUST_USE;
/* The cluster knows the session: its recording may be sent. */
void spool_publish(struct spool_file *f);
/* The session never began: no callback comes any more, nothing is left. */
void spool_discard(struct spool_file *f);
void spool_output(struct spool_file *f, struct str bytes);
void spool_resize(struct spool_file *f, uint32_t columns, uint32_t rows);
/* Bytes in memory that are not written to the disk yet, as they will be written. */
size_t spool_pending(const struct spool_file *f);
/* Whether who produces has to wait: the recording has LIMIT_SPOOL_WAITING, or all together LIMIT_SPOOL_WAITING_ALL. drained is called when not. */
bool spool_must_wait(const struct spool_file *f);
void spool_on_drain(struct spool_file *f, void (*drained)(void *ctx));
/* The end; the file lives on until it is uploaded. No callback comes any more. */
void spool_finish(struct spool_file *f);

#endif
