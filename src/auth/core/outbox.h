/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Audit events that are committed together with what they tell of.
 *
 * A record and its event are one transaction: the event goes into the store under /audit/outbox/<uid>.
 * From there it is appended to events.log, and once it is durable there it leaves the store. A crash in
 * between leaves it in the outbox, and the next start appends it, once.
 *
 *      outbox_add ─▶ transaction ─▶ committed ─▶ events.log ─▶ removed from the store, many at once
 *                                        └── crash: found again by outbox_open ──┘
 *
 * While events.log cannot be written, transactions with events are refused: nothing happens unaudited.
 */
#ifndef AUTH_CORE_OUTBOX_H
#define AUTH_CORE_OUTBOX_H

#include "audit/audit.h"
#include "store/store.h"

struct loop;
struct outbox;

/*
 * Appends what the last run left and stands by for more; before other users of the store begin.
 * ready(ctx, err) once from the loop, err (owned) when events.log cannot be written: then serve nobody.
 * store and log are borrowed until outbox_close has called back.
 */
struct outbox *outbox_open(struct loop *l, struct store *s, struct audit_log *log,
                           void (*ready)(void *ctx, struct error *err), void *ctx) MUST_USE;

/*
 * Adds the record to the transaction and takes it. The commit's `done` tells when it is durable, in the
 * store; events.log has it milliseconds later. While events.log takes none, the commit reports
 * RESOURCE_EXHAUSTED and writes nothing.
 */
void outbox_add(struct outbox *o, struct store_txn *t, struct audit_record *r);

/* Finishes what is on its way to events.log; then the log and the store may be closed. */
void outbox_close(struct outbox *o, void (*closed)(void *ctx), void *ctx);

#endif
