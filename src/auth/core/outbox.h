/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outbox: audit events that are committed in the same transaction as the change that they report.
 *
 * The transaction stores the event under /audit/outbox/<uid>. From there it is appended to events.log, and removed from
 * the store once it is durable in events.log. After a crash in between the event is still in the outbox, and the next
 * start appends it once.
 *
 *      outbox_add ─▶ transaction ─▶ committed ─▶ events.log ─▶ removed from the store, many at once
 *                                        └── crash: found again by outbox_open ──┘
 *
 * While events.log cannot be written, transactions with events are refused, so that no change is unaudited.
 */
#ifndef AUTH_CORE_OUTBOX_H
#define AUTH_CORE_OUTBOX_H

#include "audit/audit.h"
#include "store/store.h"

struct loop;
struct outbox;

/*
 * Opens the outbox and appends the events that the last run left. To be called before other users of the store begin.
 * ready(ctx, err) is called once from the loop, with err (owned) when events.log cannot be written: the service must
 * not start then. store and log are borrowed until outbox_close has called back.
 */
struct outbox *outbox_open(struct loop *l, struct store *s, struct audit_log *log,
                           void (*ready)(void *ctx, struct error *err), void *ctx) MUST_USE;

/*
 * Adds the record, which is owned from now on, to the transaction. When the commit's `done` is called, the event is
 * durable in the store; it is in events.log milliseconds later. While events.log cannot be written, the commit reports
 * RESOURCE_EXHAUSTED and writes nothing.
 */
void outbox_add(struct outbox *o, struct store_txn *t, struct audit_record *r);

/* Finishes pending writes to events.log; then the log and the store may be closed. */
void outbox_close(struct outbox *o, void (*closed)(void *ctx), void *ctx);

#endif
