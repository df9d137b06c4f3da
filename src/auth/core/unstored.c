/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/core/unstored.h"

#include <stdlib.h>

#include "auth/core/auth.h"
#include "base/limits.h"
#include "base/mem.h"

struct budget_holder *unstored_hold(struct auth *a, struct str host_id)
{
        a->unstored.total = LIMIT_UNSTORED;
        a->unstored.share = LIMIT_UNSTORED_HOST;
        return budget_hold(&a->unstored, host_id);
}

struct error *unstored_reserve(struct budget_holder *h, size_t bytes)
{
        if (budget_reserve(h, bytes))
                return NULL;
        return error_new(ERROR_RESOURCE_EXHAUSTED, "too much data of this host and others waits for the disk of the Auth Service");
}

struct error *unstored_push(struct unstored_queue *q, struct auth *a, struct str host_id, const ProtobufCMessage *msg)
{
        size_t len = protobuf_c_message_get_packed_size(msg);

        if (q->count >= LIMIT_REPORT_WAITING || q->size + len > LIMIT_REPORT_UNACKED + LIMIT_REPORT)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "too many events of this connection are pending");
        if (q->host == NULL)
                q->host = unstored_hold(a, host_id);
        TRY(unstored_reserve(q->host, len));
        struct unstored_message *m = mem_alloc(sizeof *m + len);
        m->len = protobuf_c_message_pack(msg, m->bytes);
        if (q->first == NULL)
                q->first = m;
        else
                q->last->next = m;
        q->last = m;
        q->count++;
        q->size += len;
        return NULL;
}

void unstored_drop_first(struct unstored_queue *q)
{
        struct unstored_message *m = q->first;

        q->first = m->next;
        q->count--;
        q->size -= m->len;
        budget_unreserve(q->host, m->len);
        free(m);
}

void unstored_release(struct unstored_queue *q)
{
        while (q->first != NULL)
                unstored_drop_first(q);
        budget_drop(q->host);
        *q = (struct unstored_queue){ 0 };
}
