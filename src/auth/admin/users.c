/* SPDX-License-Identifier: Apache-2.0 */
#include "api.pb-c.h"
#include "auth/admin/admin.h"
#include "auth/admin/change.h"
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

/* ---- looking ------------------------------------------------------------------------------------------------ */

static struct error *show_user(struct admin_request *q, const struct state_record *record, ProtobufCMessage **ret)
{
        return user_read(q->arena, record, (Cteleport__V1__User **)ret);
}

/* What the cluster alone knows of each, which is not kept with them. */
struct describing {
        Cteleport__V1__User **users;
        size_t count, done;
        struct listing *listing; /* NULL: one user was asked for */
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
        } else if (d->listing != NULL) {
                listing_reply(q, d->listing);
        } else {
                admin_reply(q, &d->users[0]->base);
        }
}

static void describe(struct admin_request *q, Cteleport__V1__User **users, size_t count, struct listing *l)
{
        struct describing *d = arena_alloc(q->arena, sizeof *d);

        *d = (struct describing){ .users = users, .count = count, .listing = l };
        q->state = d;
        describe_next(q);
}

static void describe_page(struct admin_request *q, struct listing *l)
{
        describe(q, (Cteleport__V1__User **)l->messages, l->count, l);
}

void admin_list_users(struct rpc_call *call, const ProtobufCMessage *first)
{
        admin_list(admin_begin(call, first),
                   (struct listing){ &user_kind, show_user, &cteleport__v1__list_users_response__descriptor, describe_page });
}

void admin_get_user(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct admin_request *q = admin_begin(call, first);

        if (q == NULL)
                return;
        struct str name = admin_name(q);
        const Cteleport__V1__User *user = directory_user(q->auth->directory, name, NULL);

        ProtobufCMessage **copy = arena_alloc(q->arena, sizeof(ProtobufCMessage *)); /* the directory's own stays as it is */
        struct error *err = user == NULL ? change_not_found("user", name) : wire_copy(q->arena, &user->base, copy);

        if (err != NULL)
                admin_fail(q, err);
        else
                describe(q, (Cteleport__V1__User **)copy, 1, NULL);
}

/* ---- the last one who may ------------------------------------------------------------------------------------- */

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
 * Users may not remove the last user who manages users: from then on only an administrator on the Auth Service's
 * machine could. Such an administrator may.
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
        return error_hint(error_new(ERROR_FAILED_PRECONDITION, "user \"%s\" is the last who may manage users", shown),
                          "give another user the role editor first, or do it with tctl on the machine of the Auth Service");
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

static struct error *check_roles_exist(struct admin_request *q, const Cteleport__V1__UserSpec *spec)
{
        for (size_t i = 0; i < spec->n_roles; i++)
                if (directory_role(q->auth->directory, str_of(spec->roles[i]), NULL) == NULL)
                        return error_about(change_not_found("role", str_of(spec->roles[i])), "spec.roles[%zu]", i + 1);
        return NULL;
}

static bool still_manages(struct admin_request *q, const Cteleport__V1__UserSpec *spec)
{
        const Cteleport__V1__Role **roles = arena_alloc(q->arena, (spec->n_roles + 1) * sizeof *roles);

        for (size_t i = 0; i < spec->n_roles; i++)
                roles[i] = directory_role(q->auth->directory, str_of(spec->roles[i]), NULL);
        return access_may(&(struct access_user){ .roles = roles, .role_count = spec->n_roles }, "user", ACCESS_CREATE | ACCESS_UPDATE) == ACCESS_ALL;
}

static struct error *check_put(struct admin_request *q, const Cteleport__V1__PutUserRequest *m, struct change *c,
                               const Cteleport__V1__User **ret_present)
{
        if (m->user == NULL)
                return error_new(ERROR_INVALID_ARGUMENT, "no user was given");
        TRY(user_check(m->user));
        TRY(check_not_past(m->user->metadata->expires, loop_wall(&q->auth->loop), "metadata.expires"));
        *c = (struct change){ .state = &user_kind, .account = ACCOUNT_ADMIN, .name = str_of(m->user->metadata->name),
                               .must_be_new = m->must_be_new };
        *ret_present = directory_user(q->auth->directory, c->name, &c->present);
        TRY(change_check(c, m->if_revision));
        TRY(check_roles_exist(q, m->user->spec));
        return c->present == 0 || still_manages(q, m->user->spec) ? NULL : check_not_last(q, c->name);
}

/* Fields that the cluster sets are not taken from the author of a user. */
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
        by->user->name = pb_text(arena_str(q->arena, buf_str(&q->who)).ptr);
        spec->created_by = by;
}

static void audit_user(struct admin_request *q, const struct change *c, const Cteleport__V1__User *user, struct audit_record *r)
{
        struct str roles[LIMIT_USER_ROLES];

        change_audit(q, c, c->present == 0 ? &audit_user_create : &audit_user_update, r);
        for (size_t i = 0; i < user->spec->n_roles; i++)
                roles[i] = str_of(user->spec->roles[i]);
        audit_strs(r, "roles", roles, user->spec->n_roles);
        audit_str(r, "connector", STR("local"));
}

void admin_put_user(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct admin_request *q = admin_begin(call, first);

        if (q == NULL)
                return;
        const Cteleport__V1__PutUserRequest *m = (const Cteleport__V1__PutUserRequest *)q->message;
        struct change *c = arena_alloc(q->arena, sizeof *c);
        const Cteleport__V1__User *present = NULL;
        struct audit_record record = { 0 };
        struct error *err = check_put(q, m, c, &present);

        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        struct store_txn *t = change_begin(q, c);
        for (size_t i = 0; i < m->user->spec->n_roles; i++) /* none of them may be removed meanwhile */
                state_require(t, &role_kind, str_of(m->user->spec->roles[i]), STORE_ANY);
        keep_what_is_ours(q, m->user->spec, present);
        audit_user(q, c, m->user, &record);
        change_put(q, c, t, &m->user->base, m->user->metadata, timestamp_end(m->user->metadata->expires), &record);
}

/* ---- removing: the user, and what would prove who they are ----------------------------------------------------------- */

void admin_delete_user(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct admin_request *q = admin_begin(call, first);

        if (q == NULL)
                return;
        struct change *c = arena_alloc(q->arena, sizeof *c);
        struct str name = admin_name(q);
        struct audit_record record = { 0 };
        struct error *err = NULL;

        *c = (struct change){ .state = &user_kind, .name = name };
        if (directory_user(q->auth->directory, name, &c->present) == NULL && c->present == 0)
                err = change_not_found("user", name);
        if (err == NULL)
                err = check_not_last(q, name);
        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        struct store_txn *t = change_begin(q, c);
        credentials_delete(t, name);
        change_audit(q, c, &audit_user_delete, &record);
        change_delete(q, c, t, &record);
}
