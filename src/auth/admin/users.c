/* SPDX-License-Identifier: Apache-2.0 */
#include "api.pb-c.h"
#include "auth/admin/resources.h"
#include "auth/users/directory.h"
#include "base/mem.h"
#include "base/text.h"
#include "resource/head.h"
#include "resource/user.h"
#include "rpc/pb.h"
#include "rpc/wire.h"
#include "state/credential.h"
#include "state/role.h"
#include "state/user.h"

/* ---- reading ------------------------------------------------------------------------------------------------ */

static struct error *show_user(struct admin_request *q, const struct state_record *record, ProtobufCMessage **ret)
{
        return user_read(q->arena, record, (Cteleport__V1__User **)ret);
}

/* The users of a page, while their status is read from other records. */
struct describing {
        Cteleport__V1__User **users;
        size_t count, done;
        struct listing *listing;
};

static void put_status(struct admin_request *q, Cteleport__V1__User *user, bool has_password)
{
        Cteleport__V1__UserStatus *status = arena_alloc(q->arena, sizeof *status);

        cteleport__v1__user_status__init(status);
        status->has_is_locked = status->has_has_password = true;
        status->is_locked = guard_is_closed(&q->auth->guard, str_of(user->metadata->name), loop_now(&q->auth->loop));
        status->has_password = has_password;
        user->spec->status = status;
}

static void describe_next(struct admin_request *q);

static void on_password(void *ctx, const struct state_record *record, struct error *err)
{
        struct admin_request *q = ctx;
        struct describing *d = q->state;

        if (err == NULL)
                err = admin_check_waited_for(q);
        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        put_status(q, d->users[d->done++], record != NULL);
        describe_next(q);
}

static void describe_next(struct admin_request *q)
{
        struct describing *d = q->state;

        while (d->done < d->count && d->users[d->done]->spec == NULL)
                d->done++;
        if (d->done < d->count) {
                state_get(q->auth->store, &credential_kind, str_of(d->users[d->done]->metadata->name), on_password, q);
        } else {
                listing_reply(q, d->listing);
        }
}

static void complete(struct admin_request *q, struct listing *l)
{
        struct describing *d = arena_alloc(q->arena, sizeof *d);

        *d = (struct describing){ .users = (Cteleport__V1__User **)l->messages, .count = l->count, .listing = l };
        q->state = d;
        describe_next(q);
}

static const ProtobufCMessage *find(const struct admin_request *q, struct str name, uint64_t *ret_revision)
{
        const Cteleport__V1__User *user = directory_user(q->auth->directory, name, ret_revision);

        return user == NULL ? NULL : &user->base;
}

/* ---- the last user who manages users -------------------------------------------------------------------------- */

struct managers {
        struct admin_request *request;
        struct str besides;
        size_t count;
};

static void count_manager(void *ctx, const Cteleport__V1__User *user)
{
        struct managers *m = ctx;
        struct access_user p;
        struct str name = str_of(user->metadata->name);
        AUTO_PTR(error) err = directory_access_user(m->request->auth->directory, name, m->request->arena, &p);

        if (err == NULL && !str_equal(name, m->besides) && access_may(&p, "user", ACCESS_CREATE | ACCESS_UPDATE) == ACCESS_ALL)
                m->count++;
}

/*
 * A user may not remove the last user who manages users: afterwards only an administrator on the machine of the Auth
 * Service could manage them. Such an administrator may remove the last one.
 */
static struct error *check_not_last(struct admin_request *q, struct str name)
{
        struct managers others = { q, name, 0 };

        if (str_is_empty(q->user))
                return NULL;
        directory_each_user(q->auth->directory, count_manager, &others);
        if (others.count > 0)
                return NULL;
        AUTO_MEM char *shown = escaped(name);
        return error_hint(error_new(ERROR_FAILED_PRECONDITION, "user \"%s\" is the last user with the right to manage users", shown),
                          "assign the role editor to another user first, or use tctl on the machine of the Auth Service");
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

static struct error *check_roles_exist(struct admin_request *q, const Cteleport__V1__UserSpec *spec)
{
        for (size_t i = 0; i < spec->n_roles; i++)
                if (directory_role(q->auth->directory, str_of(spec->roles[i]), NULL) == NULL)
                        return error_about(resource_not_found(&admin_role_kind, str_of(spec->roles[i])), "spec.roles[%zu]", i + 1);
        return NULL;
}

static bool still_manages(struct admin_request *q, const Cteleport__V1__UserSpec *spec)
{
        const Cteleport__V1__Role **roles = arena_alloc(q->arena, (spec->n_roles + 1) * sizeof *roles);

        for (size_t i = 0; i < spec->n_roles; i++)
                roles[i] = directory_role(q->auth->directory, str_of(spec->roles[i]), NULL);
        return access_may(&(struct access_user){ .roles = roles, .role_count = spec->n_roles }, "user", ACCESS_CREATE | ACCESS_UPDATE) == ACCESS_ALL;
}

static struct error *check(struct admin_request *q, struct change *c)
{
        Cteleport__V1__User *user = (Cteleport__V1__User *)c->resource;

        TRY(user_check(user));
        return check_not_past(user->metadata->expires, loop_wall(&q->auth->loop), "metadata.expires");
}

static struct error *check_write(struct admin_request *q, struct change *c)
{
        const Cteleport__V1__UserSpec *spec = ((const Cteleport__V1__User *)c->resource)->spec;

        TRY(check_roles_exist(q, spec));
        return !c->is_there || still_manages(q, spec) ? NULL : check_not_last(q, c->name);
}

/* Sets the fields that belong to the cluster; values in the request are ignored. */
static void keep_what_is_ours(struct admin_request *q, Cteleport__V1__UserSpec *spec, const Cteleport__V1__User *present)
{
        spec->status = NULL;
        if (present != NULL) {
                spec->created_by = present->spec == NULL ? NULL : present->spec->created_by;
                return;
        }
        Cteleport__V1__CreatedBy *by = arena_alloc(q->arena, sizeof *by);
        Cteleport__V1__Timestamp *now = arena_alloc(q->arena, sizeof *now);

        cteleport__v1__created_by__init(by);
        cteleport__v1__timestamp__init(now);
        now->seconds = walltime_unix(loop_wall(&q->auth->loop));
        by->time = now;
        by->user = arena_alloc(q->arena, sizeof *by->user);
        cteleport__v1__user_name__init(by->user);
        by->user->name = pb_text(arena_str(q->arena, buf_str(&q->caller)).ptr);
        spec->created_by = by;
}

static void prepare(struct admin_request *q, struct change *c)
{
        keep_what_is_ours(q, ((Cteleport__V1__User *)c->resource)->spec, (const Cteleport__V1__User *)c->present);
        change_write(q, c);
}

/* The transaction requires that all roles of the user still exist. */
static void require_roles(const struct change *c, struct store_txn *t)
{
        const Cteleport__V1__UserSpec *spec = ((const Cteleport__V1__User *)c->resource)->spec;

        for (size_t i = 0; i < spec->n_roles; i++)
                state_require(t, &role_kind, str_of(spec->roles[i]), STORE_ANY);
}

static struct walltime expires(const ProtobufCMessage *resource)
{
        return timestamp_end(((const Cteleport__V1__User *)resource)->metadata->expires);
}

static void put_audit(const struct change *c, const ProtobufCMessage *resource, struct audit_record *r)
{
        const Cteleport__V1__User *user = (const Cteleport__V1__User *)resource;
        struct str roles[LIMIT_USER_ROLES];

        if (c->resource == NULL)
                return;
        for (size_t i = 0; i < user->spec->n_roles; i++)
                roles[i] = str_of(user->spec->roles[i]);
        audit_strs(r, "roles", roles, user->spec->n_roles);
        audit_str(r, "connector", STR("local"));
}

/* ---- removing: the user, and the credentials -------------------------------------------------------------------------- */

static struct error *check_delete(struct admin_request *q, const struct change *c)
{
        return check_not_last(q, c->name);
}

static void delete_credentials(const struct change *c, struct store_txn *t)
{
        credentials_delete(t, c->name);
}

const struct admin_kind admin_user_kind = {
        .name = "user",
        .listed_by = "tctl get users",
        .state = &user_kind,
        .page = &cteleport__v1__list_users_response__descriptor,
        .show = show_user,
        .find = find,
        .complete = complete,
        .put = &cteleport__v1__put_user_request__descriptor,
        .check = check,
        .check_write = check_write,
        .prepare = prepare,
        .require = require_roles,
        .expires = expires,
        .account = ACCOUNT_ADMIN,
        .check_delete = check_delete,
        .delete_more = delete_credentials,
        .created = &audit_user_create,
        .updated = &audit_user_update,
        .deleted = &audit_user_delete,
        .put_audit = put_audit,
};
