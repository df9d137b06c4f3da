/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/core/methods.h"

#include "auth/admin/resources.h"

#include <stdlib.h>

#include "auth/core/answer_testing.h"
#include "auth/core/auth.h"
#include "auth/core/caller.h"
#include "auth/hosts/hosts.h"
#include "auth/users/directory.h"
#include "base/mem.h"
#include "resource/access_role.h"
#include "resource/user.h"
#include "rpc/pb.h"
#include "schema/schema.h"
#include "state/lock.h"
#include "state/role.h"
#include "state/user.h"

enum { ARENA_CAP = 1 * MiB };

#define ADMIN_SERVICE "/cteleport.v1.AdminService/"

/* Methods without a rule: every user may call them, and receives only permitted resources. */
static const char *const open_to_all_users[] = { ADMIN_SERVICE "ClusterStatus", ADMIN_SERVICE "ListNodes",
                                                  ADMIN_SERVICE "ListAppServers" };

/* Methods for the administrator on the auth machine, which no role gives to a user: a backup has all secrets of the store. */
static const char *const local_only[] = { ADMIN_SERVICE "Backup" };

/* Methods by which users see and change only what is their own. */
static const char *const of_users[] = { "/cteleport.v1.Web/ListWebSessions", "/cteleport.v1.Web/DeleteWebSession", "/cteleport.v1.Web/FindApp",
                                        "/cteleport.v1.Web/CreateAppSession" };

/* The Proxy Service deletes the sessions of browsers, and users those of tsh apps login, each by what proves the session. */
static const char delete_app_session[] = "/cteleport.v1.Web/DeleteAppSession";

static bool is_of_users(const char *path)
{
        for (size_t i = 0; i < ARRAY_LEN(of_users); i++)
                if (strcmp(path, of_users[i]) == 0)
                        return true;
        return false;
}

static bool is_local_only(const char *path)
{
        for (size_t i = 0; i < ARRAY_LEN(local_only); i++)
                if (strcmp(path, local_only[i]) == 0)
                        return true;
        return false;
}

static bool is_open_to_all_users(const char *path)
{
        for (size_t i = 0; i < ARRAY_LEN(open_to_all_users); i++)
                if (strcmp(path, open_to_all_users[i]) == 0)
                        return true;
        return false;
}

/* ---- the table --------------------------------------------------------------------------------------------- */

static void names_for_every_method_its_permitted_callers(void **state)
{
        (void)state;
        for (size_t i = 0; i < auth_method_count; i++) {
                const struct guarded_method *row = &auth_methods[i];
                bool is_admin = str_starts_with(str_of(row->method.path), STR(ADMIN_SERVICE));

                print_message("  %s\n", row->method.path);
                assert_int_not_equal(row->open_to, 0);
                if (is_local_only(row->method.path)) {
                        assert_int_equal(row->open_to, CALLER_ADMIN);
                        continue;
                }
                if (strcmp(row->method.path, delete_app_session) == 0) {
                        assert_int_equal(row->open_to, CALLER_PROXY | CALLER_USER);
                        continue;
                }
                if (is_of_users(row->method.path)) {
                        assert_int_equal(row->open_to, CALLER_USER);
                        continue;
                }
                assert_int_equal((row->open_to & CALLER_USER) != 0, is_admin);
                assert_int_equal((row->open_to & CALLER_ADMIN) != 0, is_admin);
                if (is_admin)
                        assert_int_equal(row->open_to, CALLER_ADMIN | CALLER_USER);
                if (is_admin && !is_open_to_all_users(row->method.path)) {
                        assert_non_null(row->kind);
                        assert_int_not_equal(row->verbs, 0);
                } else {
                        assert_null(row->kind);
                        assert_false(row->serves_owners);
                }
        }
}

/* The methods of AdminService that serve the kind; a method about it has the rule of its name, or none. */
static size_t methods_of(const struct admin_kind *kind, const char *verb)
{
        AUTO_MEM char *prefix = mem_printf("%s%s", ADMIN_SERVICE, verb);
        size_t count = 0;

        for (size_t i = 0; i < auth_method_count; i++) {
                const struct guarded_method *row = &auth_methods[i];

                if (row->resource != kind || !str_starts_with(str_of(row->method.path), str_of(prefix)))
                        continue;
                if (row->kind != NULL)
                        assert_string_equal(row->kind, kind->name);
                if (strcmp(verb, "Put") == 0)
                        assert_ptr_equal(row->method.request, kind->put);
                count++;
        }
        return count;
}

static void serves_every_kind_of_resource(void **state)
{
        (void)state;
        for (const struct admin_kind *const *k = admin_kinds; *k != NULL; k++) {
                const struct admin_kind *kind = *k;

                print_message("  %s\n", kind->name);
                assert_int_equal(methods_of(kind, "List"), 1);
                assert_int_equal(methods_of(kind, "Put"), kind->put != NULL);
                assert_int_equal(methods_of(kind, "Delete"), kind->deleted != NULL || kind->remove != NULL);
                assert_true(methods_of(kind, "Get") == 0 || kind->find != NULL || kind->put_id != NULL);
                if (kind->put != NULL)
                        assert_true(kind->check != NULL && kind->created != NULL && kind->updated != NULL && kind->deleted != NULL);
        }
}

/* A role that allows exactly the row's kind and verbs passes the check of roles: users may write these names. */
static void requires_only_verbs_that_roles_may_hold(void **state)
{
        (void)state;
        for (size_t i = 0; i < auth_method_count; i++) {
                const struct guarded_method *row = &auth_methods[i];
                AUTO_PTR(arena) arena = arena_new(ARENA_CAP);
                ProtobufCMessage *role = NULL;

                if (row->kind == NULL)
                        continue;
                assert_int_equal(row->verbs & ~(unsigned)ACCESS_EVERYTHING, 0);
                const char *yaml = arena_printf(arena, "metadata: {name: r}\nspec: {allow: {rules: [{resources: [%s], verbs: [read]}]}}", row->kind);
                assert_null(schema_load_yaml(arena, "role.yaml", str_of(yaml), &cteleport__v1__role__descriptor, &role));
                assert_null(access_role_check((Cteleport__V1__Role *)role, arena, NULL));
        }
}

/* ---- the guard over a directory ------------------------------------------------------------------------------ */

struct fixture {
        struct fake_clock clock;
        struct auth auth;
        struct directory_watch *watch;
        unsigned awaited, changes;
};

static void on_changed(void *ctx)
{
        ((struct fixture *)ctx)->changes++;
}

static void wait_for(struct fixture *f)
{
        while (f->awaited > 0)
                uv_run(&f->auth.loop.uv, UV_RUN_ONCE);
        uv_run(&f->auth.loop.uv, UV_RUN_NOWAIT); /* deferred calls */
}

static void commit(struct fixture *f, struct store_txn *t)
{
        f->awaited++;
        store_txn_commit(t, on_committed, &f->awaited);
        wait_for(f);
}

/* Stores a resource from its YAML, unchecked, since a stored resource may be older than a check. */
static void put(struct fixture *f, const struct state_kind *kind, const char *name, const char *spec)
{
        AUTO_PTR(arena) arena = arena_new(ARENA_CAP);
        const char *yaml = arena_printf(arena, "metadata: {name: %s}\nspec: %s\n", name, spec);
        ProtobufCMessage *message = NULL;
        struct store_txn *t = store_txn_new(f->auth.store);
        struct error *err = schema_load_yaml(arena, "x.yaml", str_of(yaml), kind->type, &message);

        if (err != NULL)
                error_print(err);
        assert_null(err);
        state_put(t, kind, str_of(name), message, (struct walltime){ 0 });
        commit(f, t);
}

static void given_user(struct fixture *f, const char *name, const char *spec)
{
        put(f, &user_kind, name, spec);
}

static void given_role(struct fixture *f, const char *name, const char *spec)
{
        put(f, &role_kind, name, spec);
}

static void given_lock(struct fixture *f, const char *name, const char *spec)
{
        put(f, &lock_kind, name, spec);
}

/* As none can be written any more. */
static void given_lock_with_empty_targets(struct fixture *f, const char *name)
{
        Cteleport__V1__Lock lock = CTELEPORT__V1__LOCK__INIT;
        Cteleport__V1__LockSpec spec = CTELEPORT__V1__LOCK_SPEC__INIT;
        Cteleport__V1__LockTarget target = CTELEPORT__V1__LOCK_TARGET__INIT;
        Cteleport__V1__Metadata metadata = CTELEPORT__V1__METADATA__INIT;
        struct store_txn *t = store_txn_new(f->auth.store);

        target.user = target.role = target.login = target.node = target.server_id = (char *)"";
        metadata.name = pb_text(name);
        spec.target = &target;
        lock.spec = &spec;
        lock.metadata = &metadata;
        state_put(t, &lock_kind, str_of(name), &lock.base, (struct walltime){ 0 });
        commit(f, t);
}

static void removed(struct fixture *f, const char *key)
{
        struct store_txn *t = store_txn_new(f->auth.store);

        store_txn_delete(t, str_of(key));
        commit(f, t);
}

static int open_fixture(void **state)
{
        struct fixture *f = NEW(struct fixture);

        fake_clock_init(&f->clock, 1700000000);
        assert_null(loop_init(&f->auth.loop, &f->clock.clock));
        assert_null(store_open(&f->auth.loop, (struct store_options){ .type = "memory" }, &f->auth.store));
        f->awaited++;
        f->auth.cluster = STR("example.com");
        f->auth.directory = directory_open(&f->auth, on_ready, &f->awaited);
        wait_for(f);
        f->watch = directory_watch(f->auth.directory, on_changed, f);
        *state = f;
        return 0;
}

static int close_fixture(void **state)
{
        struct fixture *f = *state;

        directory_unwatch(f->watch);
        directory_stop(f->auth.directory);
        f->awaited++;
        store_close(f->auth.store, on_closed, &f->awaited);
        wait_for(f);
        directory_close(f->auth.directory);
        loop_release(&f->auth.loop);
        free(f);
        return 0;
}

static const struct guarded_method *method(const char *name)
{
        for (size_t i = 0; i < auth_method_count; i++)
                if (str_ends_with(str_of(auth_methods[i].method.path), str_of(name)))
                        return &auth_methods[i];
        fail_msg("no method %s", name);
        return NULL;
}

/* The error of a refused caller; NULL: the call is permitted. */
static struct error *refusal(struct fixture *f, unsigned groups, const char *user, const char *name)
{
        struct caller *c = caller_new(&f->auth, groups, STR(""), STR("Test"), "test");

        free(c->user);
        c->user = str_dup(str_of(user));
        c->cert_not_after = walltime_of_unix(1700000000 + 3600);
        struct error *err = auth_guard(c, &method(name)->method);
        caller_free(c);
        return err;
}

static enum error_code code_of(struct fixture *f, unsigned groups, const char *user, const char *name)
{
        AUTO_PTR(error) err = refusal(f, groups, user, name);

        return err == NULL ? 0 : err->code;
}

static bool may(struct fixture *f, const char *user, const char *name)
{
        return code_of(f, CALLER_USER, user, name) == 0;
}

static void lets_each_group_in_where_it_belongs(void **state)
{
        struct fixture *f = *state;

        assert_int_equal(code_of(f, CALLER_ADMIN, "", "/PutUser"), 0);
        assert_int_equal(code_of(f, CALLER_ADMIN, "", "/Dial"), ERROR_PERMISSION_DENIED);
        assert_int_equal(code_of(f, 0, "", "/Ping"), 0);
        assert_int_equal(code_of(f, 0, "", "/ClusterStatus"), ERROR_UNAUTHENTICATED);
        assert_int_equal(code_of(f, CALLER_HOST, "", "/Presence"), 0);
        assert_int_equal(code_of(f, CALLER_HOST, "", "/Report"), ERROR_PERMISSION_DENIED);
        assert_int_equal(code_of(f, CALLER_NODE, "", "/Report"), 0);
        assert_int_equal(code_of(f, CALLER_NODE, "", "/Presence"), ERROR_PERMISSION_DENIED);
        assert_int_equal(code_of(f, CALLER_PROXY, "", "/Dial"), 0);
        assert_int_equal(code_of(f, CALLER_PROXY, "", "/ListUsers"), ERROR_PERMISSION_DENIED);
        assert_int_equal(code_of(f, CALLER_NODE, "", "/ListNodes"), ERROR_PERMISSION_DENIED);
}

static void gives_users_the_permissions_of_their_roles(void **state)
{
        struct fixture *f = *state;

        given_user(f, "ann", "{roles: [access]}");
        given_user(f, "ed", "{roles: [editor]}");
        given_user(f, "both", "{roles: [access, editor]}");
        assert_true(may(f, "ann", "/ListNodes") && may(f, "ann", "/ClusterStatus"));
        assert_int_equal(code_of(f, CALLER_USER, "ann", "/ListTokens"), ERROR_PERMISSION_DENIED);
        assert_int_equal(code_of(f, CALLER_USER, "ann", "/PutRole"), ERROR_PERMISSION_DENIED);
        assert_true(may(f, "ed", "/ListTokens") && may(f, "ed", "/PutRole") && may(f, "ed", "/DeleteNode"));
        assert_true(may(f, "both", "/PutUser"));
        assert_int_equal(code_of(f, CALLER_USER, "ed", "/Report"), ERROR_PERMISSION_DENIED);
        assert_int_equal(code_of(f, CALLER_USER, "ed", "/Presence"), ERROR_PERMISSION_DENIED);
}

static void names_the_missing_permission(void **state)
{
        struct fixture *f = *state;

        given_user(f, "ann", "{roles: [access]}");
        AUTO_PTR(error) err = refusal(f, CALLER_USER, "ann", "/PutToken");
        assert_string_equal(err->what, "access denied: no role of user ann allows to create, update token");
}

static void asks_anew_at_each_call(void **state)
{
        struct fixture *f = *state;

        given_user(f, "ann", "{roles: [access]}");
        assert_false(may(f, "ann", "/ListTokens"));
        given_user(f, "ann", "{roles: [access, editor]}");
        assert_true(may(f, "ann", "/ListTokens"));
        given_role(f, "no-tokens", "{deny: {rules: [{resources: [token], verbs: ['*']}]}}");
        given_user(f, "ann", "{roles: [access, editor, no-tokens]}");
        assert_false(may(f, "ann", "/ListTokens"));
        assert_true(may(f, "ann", "/ListUsers"));
        removed(f, "/users/ann");
        assert_int_equal(code_of(f, CALLER_USER, "ann", "/ClusterStatus"), ERROR_UNAUTHENTICATED);
}

static void refuses_users_with_a_role_that_is_gone(void **state)
{
        struct fixture *f = *state;

        given_user(f, "ann", "{roles: [editor, vanished]}");
        assert_int_equal(code_of(f, CALLER_USER, "ann", "/ListUsers"), ERROR_PERMISSION_DENIED);
        given_role(f, "vanished", "{}");
        assert_true(may(f, "ann", "/ListUsers"));
}

static void refuses_users_with_an_expired_certificate(void **state)
{
        struct fixture *f = *state;

        given_user(f, "ann", "{roles: [editor]}");
        assert_true(may(f, "ann", "/ListUsers"));
        fake_clock_advance(&f->clock, HOURS(1));
        assert_int_equal(code_of(f, CALLER_USER, "ann", "/ListUsers"), ERROR_UNAUTHENTICATED);
}

static void an_unknown_user_has_no_rights_under_any_name(void **state)
{
        static const char *const names[] = { "", "nobody", "../roles/editor", "ann\n", "*", "root" };
        struct fixture *f = *state;

        given_user(f, "ann", "{roles: [editor]}");
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
                assert_int_equal(code_of(f, CALLER_USER, names[i], "/ClusterStatus"), ERROR_UNAUTHENTICATED);
}

/* ---- locks ----------------------------------------------------------------------------------------------------- */

#define NODE_ID "3f2c0a52-7d3c-4c5e-9b0e-0123456789ab"
#define NODE_ID_UPPER "3F2C0A52-7D3C-4C5E-9B0E-0123456789AB"

static const struct {
        const char *name, *spec;
        bool is_locked;
} locks[] = {
        { "the user", "{target: {user: ann}}", true },
        { "another user", "{target: {user: an}}", false },
        { "a role of the user", "{target: {role: editor}}", true },
        { "another role", "{target: {role: auditor}}", false },
        { "the login", "{target: {login: root}}", true },
        { "another login", "{target: {login: ubuntu}}", false },
        { "the node by name", "{target: {node: Web-1}}", true },
        { "the node by ID", "{target: {node: " NODE_ID "}}", true },
        { "the node by server_id", "{target: {server_id: " NODE_ID "}}", true },
        { "the node in another spelling", "{target: {node: WEB-1.Example.com.}}", true },
        { "a node below it", "{target: {node: a.web-1}}", false },
        { "the ID in capitals", "{target: {server_id: " NODE_ID_UPPER "}}", true },
        { "a server_id is no name", "{target: {server_id: web-1}}", false },
        { "a lock without target locks nobody", "{}", false },
        { "a lock with empty targets locks nobody", NULL, false },
        { "a lock that has ended", "{target: {user: ann}, expires: '2023-11-14T22:13:19Z'}", false },
        { "a lock that ends now", "{target: {user: ann}, expires: '2023-11-14T22:13:20Z'}", false },
        { "a lock that has not ended", "{target: {user: ann}, expires: '2023-11-14T22:13:21Z'}", true },
        { "a lock of the year 3000", "{target: {user: ann}, expires: '3000-01-01T00:00:00Z'}", true },
};

static void locks_apply_to_their_target(void **state)
{
        struct fixture *f = *state;
        struct str role = STR("editor");
        struct lock_subject ann = { .user = STR("ann"), .login = STR("root"), .host_id = STR(NODE_ID), .hostname = STR("web-1"), .roles = &role, .role_count = 1 };
        struct lock_subject nobody = { 0 };

        for (size_t i = 0; i < ARRAY_LEN(locks); i++) {
                print_message("  %s\n", locks[i].name);
                if (locks[i].spec == NULL)
                        given_lock_with_empty_targets(f, "l");
                else
                        given_lock(f, "l", locks[i].spec);
                AUTO_PTR(error) err = directory_check_locks(f->auth.directory, &ann);
                assert_int_equal(err != NULL, locks[i].is_locked);
                if (err != NULL)
                        assert_int_equal(err->code, ERROR_PERMISSION_DENIED);
                assert_null(directory_check_locks(f->auth.directory, &nobody));
        }
}

static void shows_the_message_of_a_lock_without_its_escapes(void **state)
{
        struct fixture *f = *state;

        given_lock(f, "l", "{target: {user: ann}, message: \"laptop\\e[2J stolen\"}");
        AUTO_PTR(error) err = directory_check_locks(f->auth.directory, &(struct lock_subject){ .user = STR("ann") });
        assert_string_equal(err->what, "user ann is locked: laptop\\x1b[2J stolen");
}

static void locked_users_are_refused_until_unlocked(void **state)
{
        struct fixture *f = *state;

        given_user(f, "ann", "{roles: [editor]}");
        given_user(f, "bob", "{roles: [access]}");
        given_lock(f, "l", "{target: {role: editor}, message: maintenance}");
        assert_int_equal(code_of(f, CALLER_USER, "ann", "/ClusterStatus"), ERROR_PERMISSION_DENIED);
        assert_true(may(f, "bob", "/ClusterStatus"));
        assert_int_equal(code_of(f, CALLER_ADMIN, "", "/DeleteLock"), 0);
        removed(f, "/locks/l");
        assert_true(may(f, "ann", "/ClusterStatus"));
}

/* ---- the directory ------------------------------------------------------------------------------------------------ */

static void has_the_presets_from_the_start(void **state)
{
        struct fixture *f = *state;

        for (size_t i = 0; access_preset_names[i] != NULL; i++)
                assert_non_null(directory_role(f->auth.directory, str_of(access_preset_names[i]), NULL));
        assert_null(directory_role(f->auth.directory, STR("admin"), NULL));
}

static void reads_the_records_of_an_earlier_run(void **state)
{
        struct fixture *f = *state;
        struct directory *second;
        uint64_t revision = 0;

        given_user(f, "ann", "{roles: [access], traits: {logins: [root, ubuntu]}}");
        given_role(f, "access", "{allow: {logins: [only]}}");
        f->awaited++;
        second = directory_open(&f->auth, on_ready, &f->awaited);
        wait_for(f);
        AUTO_PTR(arena) arena = arena_new(USER_ARENA);
        struct access_user p;
        assert_null(directory_access_user(second, STR("ann"), arena, &p));
        assert_int_equal(user_trait(p.record, STR("logins"))->n_values, 2);
        assert_int_equal(p.role_count, 1);
        assert_string_equal(p.roles[0]->spec->allow->logins[0], "only"); /* a preset that was changed stays changed */
        assert_non_null(directory_user(second, STR("ann"), &revision));
        assert_int_not_equal(revision, 0);
        directory_close(second);
}

static void reports_changes_once_for_each_moment(void **state)
{
        struct fixture *f = *state;
        unsigned before = f->changes;

        given_user(f, "ann", "{roles: [access]}");
        assert_int_equal(f->changes, before + 1);
        removed(f, "/users/ann");
        assert_int_equal(f->changes, before + 2);
        struct store_txn *t = store_txn_new(f->auth.store);
        store_txn_put(t, STR("/hosts/x"), STR("y"), (struct walltime){ 0 });
        commit(f, t);
        assert_int_equal(f->changes, before + 2);
}

int main(void)
{
#define GUARDED(test) cmocka_unit_test_setup_teardown(test, open_fixture, close_fixture)
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(names_for_every_method_its_permitted_callers),
                cmocka_unit_test(serves_every_kind_of_resource),
                cmocka_unit_test(requires_only_verbs_that_roles_may_hold),
                GUARDED(lets_each_group_in_where_it_belongs),
                GUARDED(gives_users_the_permissions_of_their_roles),
                GUARDED(names_the_missing_permission),
                GUARDED(asks_anew_at_each_call),
                GUARDED(refuses_users_with_a_role_that_is_gone),
                GUARDED(refuses_users_with_an_expired_certificate),
                GUARDED(an_unknown_user_has_no_rights_under_any_name),
                GUARDED(locks_apply_to_their_target),
                GUARDED(shows_the_message_of_a_lock_without_its_escapes),
                GUARDED(locked_users_are_refused_until_unlocked),
                GUARDED(has_the_presets_from_the_start),
                GUARDED(reads_the_records_of_an_earlier_run),
                GUARDED(reports_changes_once_for_each_moment),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
