/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits the memory of data that nodes have sent and that is not on the disk yet: messages about connections
 * (session_service.c) and recordings (record_service.c). They share one budget of the process, LIMIT_UNSTORED, of which
 * one host may use LIMIT_UNSTORED_HOST. When the budget is spent, the stream ends with RESOURCE_EXHAUSTED, and the node
 * sends the rest on its next stream.
 */
#ifndef AUTH_CORE_UNSTORED_H
#define AUTH_CORE_UNSTORED_H

#include <protobuf-c/protobuf-c.h>

#include "base/budget.h"
#include "base/error.h"

struct auth;

/*
 * The share of a host. The caller releases the bytes that it reserved and then drops the share; the budget exists as
 * long as the process.
 */
struct budget_holder *unstored_hold(struct auth *a, struct str host_id) MUST_USE;
struct error *unstored_reserve(struct budget_holder *h, size_t bytes) MUST_USE;

/* Messages of one stream in order. A zeroed one is empty. */
struct unstored_message {
        struct unstored_message *next;
        size_t len;
        uint8_t bytes[];
};
struct unstored_queue {
        struct unstored_message *first, *last;
        size_t count, size;
        struct budget_holder *host; /* NULL before the first message */
};
/* Packs the message and appends it to the queue, within LIMIT_REPORT_WAITING and LIMIT_REPORT_UNACKED. */
struct error *unstored_push(struct unstored_queue *q, struct auth *a, struct str host_id, const ProtobufCMessage *msg) MUST_USE;
void unstored_drop_first(struct unstored_queue *q);
void unstored_release(struct unstored_queue *q);

#endif
