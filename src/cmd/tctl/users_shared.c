/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/tctl/users_shared.h"

#include <stdlib.h>

#include "cmd/common/output.h"
#include "cmd/common/table.h"
#include "pki/key.h"
#include "resource/lock.h"
#include "rpc/pb.h"

enum { CELL_MAX = 64 * KiB };

static const char *name_of(const Cteleport__V1__Metadata *metadata)
{
        return metadata == NULL ? "" : metadata->name;
}

/* ---- users ---------------------------------------------------------------------------------------- */

static int compare_users(const void *a, const void *b)
{
        const Cteleport__V1__User *const *x = a, *const *y = b;

        return strcmp((*x)->metadata->name, (*y)->metadata->name);
}

struct error *users_list(struct session *s, Cteleport__V1__User ***ret, size_t *ret_count)
{
        TRY(session_list(s, "ListUsers", &cteleport__v1__list_users_response__descriptor, (ProtobufCMessage ***)ret, ret_count));
        for (size_t i = 0; i < *ret_count; i++)
                if ((*ret)[i]->metadata == NULL)
                        return error_new(ERROR_DATA_LOSS, "the Auth Service sent a user without a name");
        qsort(*ret, *ret_count, sizeof **ret, compare_users);
        return NULL;
}

void users_put_table(struct buf *out, Cteleport__V1__User *const *users, size_t count)
{
        static const char *const titles[] = { "User", "Roles", NULL };
        AUTO_PTR(table) t = table_new(titles);

        for (size_t i = 0; i < count; i++) {
                AUTO(buf) roles = BUF_MAX(CELL_MAX);

                if (users[i]->spec != NULL)
                        output_put_words(&roles, users[i]->spec->roles, users[i]->spec->n_roles, ",");
                TABLE_ROW(t, str_of(name_of(users[i]->metadata)), buf_str(&roles));
        }
        table_put(out, t);
}

void users_put_names(struct buf *out, Cteleport__V1__User *const *users, size_t count)
{
        static const char *const titles[] = { "User", NULL };
        AUTO_PTR(table) t = table_new(titles);

        for (size_t i = 0; i < count; i++)
                TABLE_ROW(t, str_of(name_of(users[i]->metadata)));
        table_put(out, t);
}

/* ---- roles ---------------------------------------------------------------------------------------- */

/* Writes labels as "env=prod|test,team=*". */
static void put_labels(struct buf *out, const Cteleport__V1__RoleConditions *allow)
{
        for (size_t i = 0; i < allow->n_node_labels; i++) {
                const Cteleport__V1__Strings *values = allow->node_labels[i]->value;

                buf_printf(out, "%s%s=", i == 0 ? "" : ",", allow->node_labels[i]->key);
                if (values != NULL)
                        output_put_words(out, values->values, values->n_values, "|");
        }
}

/* Writes rules as "event:list,read; session:*". */
static void put_rules(struct buf *out, const Cteleport__V1__RoleConditions *allow)
{
        for (size_t i = 0; i < allow->n_rules; i++) {
                const Cteleport__V1__RoleRule *rule = allow->rules[i];

                buf_put_c(out, i == 0 ? "" : "; ");
                output_put_words(out, rule->resources, rule->n_resources, ",");
                buf_put_char(out, ':');
                output_put_words(out, rule->verbs, rule->n_verbs, ",");
        }
}

void roles_put_table(struct buf *out, Cteleport__V1__Role *const *roles, size_t count, bool is_verbose)
{
        static const char *const titles[] = { "Role", "Allowed to login as", "Node Labels", "Access to resources", NULL };
        enum { RULES = 3 };
        AUTO_PTR(table) t = table_new(titles);

        for (size_t i = 0; i < count; i++) {
                const Cteleport__V1__RoleConditions *allow = roles[i]->spec == NULL ? NULL : roles[i]->spec->allow;
                AUTO(buf) logins = BUF_MAX(CELL_MAX), labels = BUF_MAX(CELL_MAX), rules = BUF_MAX(CELL_MAX);

                if (allow != NULL) {
                        output_put_words(&logins, allow->logins, allow->n_logins, ",");
                        put_labels(&labels, allow);
                        put_rules(&rules, allow);
                }
                TABLE_ROW(t, str_of(name_of(roles[i]->metadata)), buf_str(&logins), buf_str(&labels), buf_str(&rules));
        }
        if (is_verbose)
                table_put(out, t);
        else
                table_put_truncated(out, t, RULES, terminal_width());
}

/* ---- locks ---------------------------------------------------------------------------------------- */

void locks_put_table(struct buf *out, Cteleport__V1__Lock *const *locks, size_t count)
{
        static const char *const titles[] = { "ID", "Target", "Message", "Expires", NULL };
        AUTO_PTR(table) t = table_new(titles);

        for (size_t i = 0; i < count; i++) {
                const Cteleport__V1__LockSpec *spec = locks[i]->spec;
                AUTO(buf) target = BUF_MAX(CELL_MAX), expires = BUF_MAX(128);

                if (spec != NULL && spec->target != NULL)
                        lock_put_target(locks[i], &target);
                output_put_time(&expires, spec == NULL ? NULL : spec->expires);
                TABLE_ROW(t, str_of(name_of(locks[i]->metadata)), buf_str(&target), str_of(spec == NULL ? NULL : spec->message),
                          buf_str(&expires));
        }
        table_put(out, t);
}

void lock_name(Cteleport__V1__Lock *lock, struct arena *arena)
{
        AUTO(buf) uuid = BUF_MAX(64);

        if (lock->metadata == NULL) {
                lock->metadata = arena_alloc(arena, sizeof *lock->metadata);
                cteleport__v1__metadata__init(lock->metadata);
        }
        if (lock->metadata->name[0] != '\0')
                return;
        random_uuid(&uuid);
        lock->metadata->name = pb_text(arena_str(arena, buf_str(&uuid)).ptr);
}
