/* SPDX-License-Identifier: Apache-2.0 */
#include "api.pb-c.h"
#include "auth/admin/resources.h"
#include "auth/users/directory.h"
#include "auth/hosts/nodes.h"
#include "auth/sessions/sessions.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "pki/key.h"
#include "resource/head.h"
#include "resource/lock.h"
#include "resource/role.h"
#include "rpc/pb.h"
#include "schema/schema.h"
#include "rpc/wire.h"
#include "state/host.h"
#include "state/lock.h"

/* ---- reading ------------------------------------------------------------------------------------------------ */

static struct error *show_lock(struct admin_request *q, const struct state_record *record, ProtobufCMessage **ret)
{
        return lock_read(q->arena, record, (Cteleport__V1__Lock **)ret);
}

static const ProtobufCMessage *find(const struct admin_request *q, struct str name, uint64_t *ret_revision)
{
        const Cteleport__V1__Lock *lock = directory_lock(q->auth->directory, name, ret_revision);

        return lock == NULL ? NULL : &lock->base;
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
        lock->metadata->name = pb_text(arena_str(q->arena, buf_str(&uuid)).ptr);
}

static struct error *check(struct admin_request *q, struct change *c)
{
        Cteleport__V1__Lock *lock = (Cteleport__V1__Lock *)c->resource;

        TRY(lock_check(lock));
        TRY(check_not_past(lock->spec->expires, loop_wall(&q->auth->loop), "spec.expires"));
        name_lock(q, lock);
        return NULL;
}

static struct walltime expires(const ProtobufCMessage *resource)
{
        return lock_ends((const Cteleport__V1__Lock *)resource);
}

static void put_audit(const struct change *c, const ProtobufCMessage *resource, struct audit_record *r)
{
        const Cteleport__V1__Lock *lock = (const Cteleport__V1__Lock *)resource;
        AUTO(buf) target = BUF_MAX(2 * KiB);
        AUTO(buf) end = BUF_MAX(64);

        (void)c;
        lock_put_target(lock, &target);
        audit_str(r, "target", buf_str(&target));
        if (lock->spec->message != NULL)
                audit_str(r, "message", str_of(lock->spec->message));
        if (lock->spec->expires != NULL) {
                timestamp_put(&end, lock->spec->expires->seconds, 0);
                audit_str(r, "expires", buf_str(&end));
        }
}

enum { HOSTS_SHOWN = 10, HOST_ARENA = 64 * KiB };

struct locking {
        struct change *change;
        struct admin_request *admin;
        Cteleport__V1__Lock *lock;
        struct str host_id;                                                /* of the target host; empty: another kind of target */
        Cteleport__V1__LockHost *identities[LIMIT_LOCK_EARLIER_HOSTS + 1]; /* attested identities of the host, newest last */
        size_t identity_count;
        struct str shared_arn; /* ARN of the host, if several machines may have it */
        struct buf hits;       /* names of the first hosts that are locked beside the target */
        size_t hit_count;
};

static bool is_role(const struct admin_request *q, struct str name)
{
        return directory_role(q->auth->directory, name, NULL) != NULL || system_role_find(name) != NULL;
}

/* Warns of targets that do not exist, as they may be misspelt. Hosts by ID are looked up in on_host(). */
static void warn_of_absence(struct admin_request *q, struct change *c, const Cteleport__V1__LockTarget *target)
{
        struct str id;

        if (target->user != NULL && directory_user(q->auth->directory, str_of(target->user), NULL) == NULL)
                change_warn(c, "there is no user of this name now; the lock applies to one created later");
        if (target->role != NULL && !is_role(q, str_of(target->role)))
                change_warn(c, "there is no role of this name now; the lock applies to one created later");
        if (target->node != NULL && nodes_named(sessions_nodes(q->auth->sessions), str_of(target->node), &id, 1) == 0)
                change_warn(c, "no host of this name is listed now; the lock applies to one that joins later");
}

/* ---- attested identities of the host -------------------------------------------------------------------------- */

static bool is_same_identity(const Cteleport__V1__LockHost *a, const Cteleport__V1__LockHost *b)
{
        return str_equal(str_of(a->aws_account), str_of(b->aws_account)) && str_equal(str_of(a->aws_arn), str_of(b->aws_arn));
}

static struct error *add_identity(struct locking *l, const Cteleport__V1__LockHost *host)
{
        if (host == NULL)
                return NULL;
        for (size_t i = 0; i < l->identity_count; i++)
                if (is_same_identity(l->identities[i], host))
                        return NULL;
        if (l->identity_count == ARRAY_LEN(l->identities))
                return error_hint(error_new(ERROR_RESOURCE_EXHAUSTED, "the host of this lock has had more than %d identities", LIMIT_LOCK_EARLIER_HOSTS),
                                  "lock the new one by its ARN, with a lock of its own: tctl lock --join-arn=ARN");
        l->identities[l->identity_count++] = (Cteleport__V1__LockHost *)(uintptr_t)host; /* structs of protobuf-c have no const */
        return NULL;
}

static struct error *add_identities(struct locking *l, const Cteleport__V1__LockSpec *spec)
{
        TRY(add_identity(l, spec->host));
        for (size_t i = 0; i < spec->n_earlier_hosts; i++)
                TRY(add_identity(l, spec->earlier_hosts[i]));
        return NULL;
}

/* Adds the attested identity, which outlives the host's record. Only an assumed-role session is the identity of one machine. */
static struct error *add_identity_of(struct admin_request *q, struct locking *l, const Cteleport__State__V1__Host *host)
{
        if (str_is_empty(str_of(host->aws_account)))
                return NULL;
        if (!str_contains(str_of(host->aws_arn), STR(":assumed-role/"))) {
                l->shared_arn = arena_str(q->arena, str_of(host->aws_arn));
                return NULL;
        }
        Cteleport__V1__LockHost *identity = arena_alloc(q->arena, sizeof *identity);
        cteleport__v1__lock_host__init(identity);
        identity->aws_account = pb_text(arena_str(q->arena, str_of(host->aws_account)).ptr); /* arena texts end in NUL */
        identity->aws_arn = pb_text(arena_str(q->arena, str_of(host->aws_arn)).ptr);
        return add_identity(l, identity);
}

/* The ID of the target host, in canonical form; empty: another kind of target. */
static struct str target_host(struct admin_request *q, const Cteleport__V1__LockTarget *target)
{
        AUTO(buf) canonical = BUF_MAX(2 * LIMIT_NAME);

        name_put_canonical(&canonical, str_of(target->server_id != NULL ? target->server_id : target->node), q->auth->cluster);
        return name_is_host_id(buf_str(&canonical)) ? arena_str(q->arena, buf_str(&canonical)) : STR("");
}

/*
 * Adds the identities of the written file and of the stored lock, so that a lock that is written again still locks all
 * identities that it locked before. If the stored lock has another target, neither are added: the identities in the file
 * then belong to the earlier target.
 */
static struct error *keep_identities(struct admin_request *q, struct locking *l)
{
        Cteleport__V1__Lock *lock = l->lock;
        const Cteleport__V1__Lock *before = directory_lock(q->auth->directory, str_of(lock->metadata->name), NULL);
        bool is_rewritten = before != NULL && before->spec != NULL && before->spec->target != NULL;
        ProtobufCMessage *copy = NULL;

        if (str_is_empty(l->host_id) || (is_rewritten && !str_equal(target_host(q, before->spec->target), l->host_id)))
                return NULL;
        TRY(add_identities(l, lock->spec));
        if (!is_rewritten)
                return NULL;
        TRY(wire_copy(q->arena, &before->spec->base, &copy));
        return add_identities(l, (const Cteleport__V1__LockSpec *)copy);
}

static void put_identities(struct locking *l)
{
        Cteleport__V1__LockSpec *spec = l->lock->spec;

        spec->host = l->identity_count == 0 ? NULL : l->identities[l->identity_count - 1]; /* the newest */
        spec->earlier_hosts = l->identities;
        spec->n_earlier_hosts = l->identity_count == 0 ? 0 : l->identity_count - 1;
}

/* ---- the hosts that a lock locks ---------------------------------------------------------------------------------- */

static struct error *count_host(void *ctx, const struct state_record *record)
{
        struct locking *l = ctx;
        AUTO_PTR(arena) arena = arena_new(HOST_ARENA);
        Cteleport__State__V1__Host *host = NULL;

        TRY(host_read(arena, record, &host));
        bool is_shared = !str_is_empty(l->shared_arn) && str_equal(str_of(host->aws_arn), l->shared_arn);
        if (str_equal(str_of(host->host_id), l->host_id) ||
            (!is_shared && !directory_would_lock(l->admin->auth->directory, l->lock->spec, host)))
                return NULL;
        if (l->hit_count++ >= HOSTS_SHOWN)
                return NULL;
        AUTO_MEM char *name = escaped(str_of(host->hostname));
        buf_printf(&l->hits, "%s%s (%s)", l->hits.len > 0 ? ", " : "", name, host->host_id);
        return NULL;
}

static const char *hosts_text(struct admin_request *q, struct locking *l)
{
        const char *more = l->hit_count > HOSTS_SHOWN ? arena_printf(q->arena, " and %zu more", l->hit_count - HOSTS_SHOWN) : "";
        const char *text = arena_printf(q->arena, "%s%s", buf_c(&l->hits), more);

        return text;
}

/* A lock applies to all machines with the same AWS identity: the warning names the other machines. */
static void warn_of_hits(struct admin_request *q, struct locking *l)
{
        const Cteleport__V1__LockTarget *target = l->lock->spec->target;
        const char *plural = l->hit_count == 1 ? "" : "s";
        AUTO_MEM char *arn = escaped(l->shared_arn);

        if (!str_is_empty(l->shared_arn) && l->hit_count == 0)
                change_warn(l->change, arena_printf(q->arena, "the AWS identity of this host, %s, is not that of one machine: removed, it may join again under a new ID; "
                                                        "--join-arn locks all hosts of this identity", arn));
        else if (!str_is_empty(l->shared_arn))
                change_warn(l->change, arena_printf(q->arena, "the AWS identity of this host, %s, is not that of one machine: removed, it may join again under a new ID; "
                                                        "--join-arn locks all hosts of this identity, also %zu other%s: %s", arn, l->hit_count, plural,
                                              hosts_text(q, l)));
        else if (!str_is_empty(l->host_id) && l->hit_count > 0)
                change_warn(l->change, arena_printf(q->arena, "this lock shuts out %zu other host%s of the same AWS identity, too: %s", l->hit_count, plural,
                                              hosts_text(q, l)));
        else if (str_is_empty(l->host_id) && l->hit_count == 0)
                change_warn(l->change, "no host of this identity has joined; the lock is in force for each host that joins with it");
        else if (target->join_arn != NULL && l->hit_count > 1)
                change_warn(l->change, arena_printf(q->arena, "this lock shuts out %zu hosts: %s", l->hit_count, hosts_text(q, l)));
}

static void on_counted(void *ctx, struct error *err)
{
        struct locking *l = ctx;
        struct admin_request *q = l->admin;

        if (err == NULL)
                err = admin_check_waited_for(q);
        if (err == NULL)
                warn_of_hits(q, l);
        buf_release(&l->hits);
        if (err != NULL)
                admin_fail(q, err);
        else
                change_write(q, l->change);
}

static void count_hits(struct admin_request *q, struct locking *l)
{
        l->hits = BUF_MAX(HOSTS_SHOWN * KiB);
        state_scan(q->auth->store, &host_kind, &q->auth->is_stopping, count_host, on_counted, l);
}

static void on_host(void *ctx, const Cteleport__State__V1__Host *host, uint64_t revision, struct error *err)
{
        struct admin_request *q = ctx;
        struct locking *l = q->state;

        (void)revision;
        if (err == NULL)
                err = admin_check_waited_for(q);
        if (err == NULL && host != NULL)
                err = add_identity_of(q, l, host);
        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        put_identities(l);
        if (host == NULL && l->identity_count == 0)
                change_warn(l->change, "there is no host of this ID now; the lock applies to one that joins later");
        count_hits(q, l);
}

static void prepare(struct admin_request *q, struct change *c)
{
        struct locking *l = arena_alloc(q->arena, sizeof *l);
        Cteleport__V1__Lock *lock = (Cteleport__V1__Lock *)c->resource;
        const Cteleport__V1__LockTarget *target = lock->spec->target;

        *l = (struct locking){ .change = c, .admin = q, .lock = lock, .host_id = target_host(q, target) };
        struct error *err = keep_identities(q, l);
        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        q->state = l;
        put_identities(l);
        if (!str_is_empty(l->host_id)) {
                host_get(q->auth->store, l->host_id, on_host, q);
                return;
        }
        warn_of_absence(q, c, target);
        if (target->join_arn != NULL || target->aws_account != NULL)
                count_hits(q, l);
        else
                change_write(q, c);
}

const struct admin_kind admin_lock_kind = {
        .name = "lock",
        .listed_by = "tctl get locks",
        .state = &lock_kind,
        .page = &cteleport__v1__list_locks_response__descriptor,
        .show = show_lock,
        .find = find,
        .put = &cteleport__v1__put_lock_request__descriptor,
        .check = check,
        .prepare = prepare,
        .expires = expires,
        .account = ACCOUNT_LOCK,
        .created = &audit_lock_create,
        .updated = &audit_lock_create,
        .deleted = &audit_lock_delete,
        .put_audit = put_audit,
};
