/* SPDX-License-Identifier: Apache-2.0 */
#include "api.pb-c.h"
#include "auth/admin/admin.h"
#include "auth/admin/change.h"
#include "auth/users/directory.h"
#include "base/mem.h"
#include "base/text.h"
#include "resource/access_role.h"
#include "state/role.h"

/* ---- looking ------------------------------------------------------------------------------------------------ */

static struct error *show_role(struct admin_request *q, const struct state_record *record, ProtobufCMessage **ret)
{
        return role_read(q->arena, record, (Cteleport__V1__Role **)ret);
}

void admin_list_roles(struct rpc_call *call, const ProtobufCMessage *first)
{
        admin_list(admin_begin(call, first), (struct listing){ &role_kind, show_role, &cteleport__v1__list_roles_response__descriptor });
}

void admin_get_role(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct admin_request *q = admin_begin(call, first);

        if (q == NULL)
                return;
        struct str name = admin_name(q);
        const Cteleport__V1__Role *role = directory_role(q->auth->directory, name, NULL);

        if (role == NULL)
                admin_fail(q, change_not_found("role", name));
        else
                admin_reply(q, &role->base);
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

static struct error *check_put(struct admin_request *q, const Cteleport__V1__PutRoleRequest *m, struct change *c)
{
        if (m->role == NULL)
                return error_new(ERROR_INVALID_ARGUMENT, "no role was given");
        *c = (struct change){ .state = &role_kind, .account = ACCOUNT_ADMIN, .must_be_new = m->must_be_new };
        TRY(access_role_check(m->role, q->arena, &c->warnings));
        c->name = str_of(m->role->metadata->name);
        (void)directory_role(q->auth->directory, c->name, &c->present);
        return change_check(c, m->if_revision);
}

void admin_put_role(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct admin_request *q = admin_begin(call, first);

        if (q == NULL)
                return;
        const Cteleport__V1__PutRoleRequest *m = (const Cteleport__V1__PutRoleRequest *)q->message;
        struct change *c = arena_alloc(q->arena, sizeof *c);
        struct audit_record record = { 0 };
        struct error *err = check_put(q, m, c);

        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        struct store_txn *t = change_begin(q, c);
        change_audit(q, c, c->present == 0 ? &audit_role_create : &audit_role_update, &record);
        change_put(q, c, t, &m->role->base, m->role->metadata, (struct walltime){ 0 }, &record);
}

/* ---- removing ------------------------------------------------------------------------------------------------------- */

/* Those who hold a role: how many, and the first few by name. */
enum { HOLDERS_NAMED = 3 };
struct holders {
        struct str role;
        struct buf *names;
        size_t count;
};

static void note_holder(void *ctx, const Cteleport__V1__User *user)
{
        struct holders *h = ctx;

        for (size_t i = 0; user->spec != NULL && i < user->spec->n_roles; i++) {
                if (!str_equal(str_of(user->spec->roles[i]), h->role))
                        continue;
                if (h->count < HOLDERS_NAMED)
                        buf_printf(h->names, "%s%s", h->count > 0 ? ", " : "", user->metadata->name);
                h->count++;
                return;
        }
}

static struct error *check_not_held(struct admin_request *q, struct str role)
{
        AUTO(buf) names = BUF_MAX(2 * KiB);
        struct holders h = { role, &names, 0 };
        AUTO_MEM char *shown = escaped(role);

        directory_each_user(q->auth->directory, note_holder, &h);
        if (h.count == 0)
                return NULL;
        return error_hint(error_new(ERROR_FAILED_PRECONDITION, "role \"%s\" is in use by %s%s", shown, buf_c(&names), h.count > HOLDERS_NAMED ? " and others" : ""),
                          "take it from them first: tctl users update NAME --set-roles=…");
}

static struct error *check_delete(struct admin_request *q, struct change *c)
{
        if (directory_role(q->auth->directory, c->name, &c->present) == NULL && c->present == 0)
                return change_not_found("role", c->name);
        for (size_t i = 0; access_preset_names[i] != NULL; i++)
                if (str_equal(c->name, str_of(access_preset_names[i])))
                        return error_hint(error_new(ERROR_FAILED_PRECONDITION, "role \"%s\" comes with every cluster and cannot be removed",
                                                    access_preset_names[i]),
                                          "a role that no user has does nothing; what it allows can be changed with tctl edit role/%s",
                                          access_preset_names[i]);
        return check_not_held(q, c->name);
}

void admin_delete_role(struct rpc_call *call, const ProtobufCMessage *first)
{
        struct admin_request *q = admin_begin(call, first);

        if (q == NULL)
                return;
        struct change *c = arena_alloc(q->arena, sizeof *c);
        struct audit_record record = { 0 };

        *c = (struct change){ .state = &role_kind, .name = admin_name(q) };
        struct error *err = check_delete(q, c);
        if (err != NULL) {
                admin_fail(q, err);
                return;
        }
        struct store_txn *t = change_begin(q, c);
        change_audit(q, c, &audit_role_delete, &record);
        change_delete(q, c, t, &record);
}
