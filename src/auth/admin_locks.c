/* SPDX-License-Identifier: Apache-2.0 */
#include "api.pb-c.h"
#include "auth/admin.h"
#include "auth/admin_change.h"
#include "auth/directory.h"
#include "auth/hosts.h"
#include "auth/nodes.h"
#include "auth/sessions.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "pki/key.h"
#include "resource/head.h"
#include "resource/lock.h"
#include "resource/role.h"
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

struct locking {
        struct change change; /* first: q->state is that of the write as well */
        const Cteleport__V1__PutLockRequest *request;
};

static void warn(struct change *c, const char *text)
{
        c->warnings.texts[c->warnings.count++] = text; /* one for each lock: there is room */
}

static bool is_role(const struct admin_request *q, struct str name)
{
        return directory_role(q->auth->directory, name, NULL) != NULL || system_role_find(name) != NULL;
}

/* A target that is misspelt locks nobody, and nobody would notice. Hosts by ID are looked up in on_host(). */
static void warn_of_absence(struct admin_request *q, struct change *c, const Cteleport__V1__LockTarget *target)
{
        struct str id;

        if (target->user != NULL && directory_user(q->auth->directory, str_of(target->user), NULL) == NULL)
                warn(c, "there is no user of this name now; the lock is in force for whoever has it later");
        if (target->role != NULL && !is_role(q, str_of(target->role)))
                warn(c, "there is no role of this name now; the lock is in force for whoever has it later");
        if (target->node != NULL && nodes_named(sessions_nodes(q->auth->sessions), str_of(target->node), &id, 1) == 0)
                warn(c, "no host of this name is listed now; the lock is in force for whoever has it later");
}

static void write_lock(struct admin_request *q, struct locking *l)
{
        struct audit_record record = { 0 };
        Cteleport__V1__Lock *lock = l->request->lock;
        struct store_txn *t = change_begin(q, &l->change);

        audit_lock(q, &l->change, lock, &audit_lock_create, &record);
        change_put(q, &l->change, t, &lock->base, lock->metadata, lock_ends(lock), &record);
}

/* What stays when the host's record goes. Only the session of an assumed role is one machine's. */
static void note_identity(struct admin_request *q, struct change *c, Cteleport__V1__LockSpec *spec, const Cteleport__State__V1__Host *host)
{
        spec->host = NULL;
        if (!str_equal(str_of(host->join_method), STR("iam")))
                return;
        if (!str_contains(str_of(host->aws_arn), STR(":assumed-role/"))) {
                AUTO_MEM char *arn = escaped(str_of(host->aws_arn));

                warn(c, arena_printf(q->arena, "the AWS identity of this host, %s, is not that of one machine: removed, it may join again under a new ID; "
                                               "--join-arn locks all hosts of this identity", arn));
                return;
        }
        spec->host = arena_alloc(q->arena, sizeof *spec->host);
        cteleport__v1__lock_host__init(spec->host);
        spec->host->aws_account = (char *)(uintptr_t)arena_str(q->arena, str_of(host->aws_account)).ptr; /* arena texts end in NUL */
        spec->host->aws_arn = (char *)(uintptr_t)arena_str(q->arena, str_of(host->aws_arn)).ptr;
}

static void on_host(void *ctx, const Cteleport__State__V1__Host *host, uint64_t revision, struct error *err)
{
        struct admin_request *q = ctx;
        struct locking *l = q->state;

        (void)revision;
        if (err == NULL)
                err = admin_check_waited_for(q);
        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        Cteleport__V1__LockSpec *spec = l->request->lock->spec;
        if (host != NULL)
                note_identity(q, &l->change, spec, host);
        else if (spec->host == NULL)
                warn(&l->change, "there is no host of this ID now; the lock is in force for whoever has it later");
        write_lock(q, l);
}

/* The ID of the one host that is the target, in canonical form; empty: another kind of target. */
static struct str target_host(struct admin_request *q, const Cteleport__V1__LockTarget *target)
{
        AUTO(buf) canonical = BUF_MAX(2 * LIMIT_NAME);

        name_put_canonical(&canonical, str_of(target->server_id != NULL ? target->server_id : target->node), q->auth->cluster);
        return name_is_host_id(buf_str(&canonical)) ? arena_str(q->arena, buf_str(&canonical)) : STR("");
}

/*
 * Of a host that is gone: what the lock said of it before, or the file says that it is written from. Both only with the same
 * target, for a file in which another was written says nothing of that one.
 */
static void keep_identity(struct admin_request *q, Cteleport__V1__Lock *lock, struct str host_id)
{
        const Cteleport__V1__Lock *before = directory_lock(q->auth->directory, str_of(lock->metadata->name), NULL);
        bool is_rewritten = before != NULL && before->spec != NULL && before->spec->target != NULL;
        ProtobufCMessage *copy = NULL;

        if (str_is_empty(host_id) || (is_rewritten && !str_equal(target_host(q, before->spec->target), host_id)))
                lock->spec->host = NULL;
        else if (lock->spec->host == NULL && is_rewritten && before->spec->host != NULL)
                error_free(message_copy(q->arena, &before->spec->host->base, &copy));
        if (copy != NULL)
                lock->spec->host = (Cteleport__V1__LockHost *)copy;
}

void admin_put_lock(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct admin_request *q = admin_begin(call, first);
        struct locking *l = arena_alloc(q->arena, sizeof *l);

        *l = (struct locking){ .request = (const Cteleport__V1__PutLockRequest *)q->message };
        struct error *err = check_put(q, l->request, &l->change);
        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        struct str host_id = target_host(q, l->request->lock->spec->target);
        keep_identity(q, l->request->lock, host_id);
        q->state = l;
        if (str_is_empty(host_id)) {
                warn_of_absence(q, &l->change, l->request->lock->spec->target);
                write_lock(q, l);
        } else {
                host_find(q->auth, host_id, on_host, q);
        }
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
