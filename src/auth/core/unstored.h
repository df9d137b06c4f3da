/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What nodes have sent and is in memory until it is on the disk: messages about connections (session_service.c) and recordings
 * (record_service.c). All draw from one budget of the process, LIMIT_UNSTORED, of which a host has LIMIT_UNSTORED_HOST. Who finds no
 * room ends its stream with RESOURCE_EXHAUSTED; the node sends the rest on its next.
 */
#ifndef AUTH_CORE_UNSTORED_H
#define AUTH_CORE_UNSTORED_H

#include <protobuf-c/protobuf-c.h>

#include "base/budget.h"
#include "base/error.h"

struct auth;

/* What a host has. Its owner gives back what it took, and drops it; the budget stays for as long as the process. */
struct budget_holder *unstored_hold(struct auth *a, struct str host_id) MUST_USE;
struct error *unstored_take(struct budget_holder *h, size_t bytes) MUST_USE;

/* Messages of one stream in order. A zeroed one is empty. */
struct unstored_message {
        struct unstored_message *next;
        size_t len;
        uint8_t bytes[];
};
struct unstored_queue {
        struct unstored_message *first, *last;
        size_t count, size;
        struct budget_holder *host; /* NULL while nothing came */
};
/* Packs the message behind the others, within LIMIT_REPORT_WAITING and LIMIT_REPORT_UNACKED. */
struct error *unstored_push(struct unstored_queue *q, struct auth *a, struct str host_id, const ProtobufCMessage *msg) MUST_USE;
void unstored_drop_first(struct unstored_queue *q);
void unstored_release(struct unstored_queue *q);

#endif
