/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records of requests of one connection, gathered before the spool writes them: each write occupies a thread of the pool. They are handed to
 * the spool when they have LIMIT_APP_REQUEST_BATCH bytes, PACE_APP_REQUEST_BATCH after the first of them, and when the connection ends.
 */
#ifndef APP_REQUEST_BATCH_H
#define APP_REQUEST_BATCH_H

#include "app/request_log.h"

struct loop;
struct spool_file;

struct request_batch;
/* The recording is borrowed until request_batch_free(). */
struct request_batch *request_batch_new(struct loop *l, struct spool_file *recording) MUST_USE;
void request_batch_add(struct request_batch *b, const struct request_entry *entry);
/* Hands over the records that wait, before the recording is finished. NULL is silent. */
void request_batch_free(struct request_batch *b);

#endif
