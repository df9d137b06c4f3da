/* SPDX-License-Identifier: Apache-2.0 */
#include "api.pb-c.h"
#include "auth/admin/resources.h"
#include "auth/users/directory.h"
#include "base/mem.h"
#include "base/text.h"
#include "resource/access_role.h"
#include "state/role.h"

/* ---- reading ------------------------------------------------------------------------------------------------ */

static struct error *show_role(struct admin_request *q, const struct state_record *record, ProtobufCMessage **ret)
{
        return role_read(q->arena, record, (Cteleport__V1__Role **)ret);
}

static const ProtobufCMessage *find(const struct admin_request *q, struct str name, uint64_t *ret_revision)
{
        const Cteleport__V1__Role *role = directory_role(q->auth->directory, name, ret_revision);

        return role == NULL ? NULL : &role->base;
}

static struct error *check(struct admin_request *q, struct change *c)
{
        return access_role_check((Cteleport__V1__Role *)c->resource, q->arena, &c->warnings);
}

/* ---- removing ------------------------------------------------------------------------------------------------------- */

/* The users with a role: their number, and the names of the first HOLDERS_NAMED. */
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
                          "remove it from these users first: tctl users update NAME --set-roles=…");
}

static struct error *check_delete(struct admin_request *q, const struct change *c)
{
        for (size_t i = 0; access_preset_names[i] != NULL; i++)
                if (str_equal(c->name, str_of(access_preset_names[i])))
                        return error_hint(error_new(ERROR_FAILED_PRECONDITION, "role \"%s\" exists in every cluster and cannot be removed",
                                                    access_preset_names[i]),
                                          "a role without users has no effect; its permissions can be changed with tctl edit role/%s",
                                          access_preset_names[i]);
        return check_not_held(q, c->name);
}

const struct admin_kind admin_role_kind = {
        .name = "role",
        .listed_by = "tctl get roles",
        .state = &role_kind,
        .page = &cteleport__v1__list_roles_response__descriptor,
        .show = show_role,
        .find = find,
        .put = &cteleport__v1__put_role_request__descriptor,
        .check = check,
        .account = ACCOUNT_ADMIN,
        .check_delete = check_delete,
        .created = &audit_role_create,
        .updated = &audit_role_update,
        .deleted = &audit_role_delete,
};
