/* SPDX-License-Identifier: Apache-2.0 */
#include "api.pb-c.h"
#include "auth/admin.h"
#include "auth/admin_change.h"
#include "auth/directory.h"
#include "pki/key.h"
#include "resource/head.h"
#include "resource/lock.h"
#include "schema/schema.h"

/* ---- looking ------------------------------------------------------------------------------------------------ */

static struct error *show_lock(struct admin_request *q, const struct store_item *item, ProtobufCMessage **ret)
{
        return directory_unpack(q->arena, &cteleport__v1__lock__descriptor, item, ret);
}

void admin_list_locks(struct rpc_call *call, const ProtobufCMessage *first)
{
        admin_list(admin_begin(call, first), (struct listing){ LOCK_PREFIX, show_lock, &cteleport__v1__list_locks_response__descriptor });
}

void admin_get_lock(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct admin_request *q = admin_begin(call, first);
        struct str name = admin_name(q);
        const Cteleport__V1__Lock *lock = directory_lock(q->auth->directory, name, NULL);

        if (lock == NULL)
                admin_fail(q, change_not_found("lock", name));
        else
                admin_reply(q, &lock->base);
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

static void name_lock(struct admin_request *q, Cteleport__V1__Lock *lock)
{
        AUTO(buf) uuid = BUF_MAX(64);

        if (lock->metadata == NULL) {
                lock->metadata = arena_alloc(q->arena, sizeof *lock->metadata);
                cteleport__v1__metadata__init(lock->metadata);
        }
        if (!is_unset(lock->metadata->name))
                return;
        random_uuid(&uuid);
        lock->metadata->name = (char *)(uintptr_t)arena_str(q->arena, buf_str(&uuid)).ptr;
}

static struct error *check_put(struct admin_request *q, const Cteleport__V1__PutLockRequest *m, struct change *c)
{
        if (m->lock == NULL)
                return error_new(ERROR_INVALID_ARGUMENT, "no lock was given");
        TRY(lock_check(m->lock));
        TRY(check_not_past(m->lock->spec->expires, loop_wall(&q->auth->loop), "spec.expires"));
        name_lock(q, m->lock);
        *c = (struct change){ .kind = "lock", .prefix = LOCK_PREFIX, .name = str_of(m->lock->metadata->name), .must_be_new = m->must_be_new };
        (void)directory_lock(q->auth->directory, c->name, &c->present);
        return change_check(c, m->if_revision);
}

static void audit_lock(struct admin_request *q, const struct change *c, const Cteleport__V1__Lock *lock, const struct audit_kind *kind,
                       struct audit_record *r)
{
        AUTO(buf) target = BUF_MAX(2 * KiB);
        AUTO(buf) expires = BUF_MAX(64);

        change_audit(q, c, kind, r);
        lock_put_target(lock, &target);
        audit_str(r, "target", buf_str(&target));
        if (lock->spec->message != NULL)
                audit_str(r, "message", str_of(lock->spec->message));
        if (lock->spec->expires != NULL) {
                timestamp_put(&expires, lock->spec->expires->seconds, 0);
                audit_str(r, "expires", buf_str(&expires));
        }
}

void admin_put_lock(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct admin_request *q = admin_begin(call, first);
        const Cteleport__V1__PutLockRequest *m = (const Cteleport__V1__PutLockRequest *)q->message;
        struct change *c = arena_alloc(q->arena, sizeof *c);
        struct audit_record record = { 0 };
        struct error *err = check_put(q, m, c);

        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        struct store_txn *t = change_begin(q, c);
        audit_lock(q, c, m->lock, &audit_lock_create, &record);
        change_put(q, c, t, &m->lock->base, m->lock->metadata, lock_ends(m->lock), &record);
}

/* ---- removing ------------------------------------------------------------------------------------------------------- */

void admin_delete_lock(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct admin_request *q = admin_begin(call, first);
        struct change *c = arena_alloc(q->arena, sizeof *c);
        struct audit_record record = { 0 };

        *c = (struct change){ .kind = "lock", .prefix = LOCK_PREFIX, .name = admin_name(q) };
        const Cteleport__V1__Lock *lock = directory_lock(q->auth->directory, c->name, &c->present);
        if (lock == NULL) {
                admin_fail(q, change_not_found("lock", c->name));
                return;
        }
        struct store_txn *t = change_begin(q, c);
        audit_lock(q, c, lock, &audit_lock_delete, &record);
        change_delete(q, c, t, &record);
}
