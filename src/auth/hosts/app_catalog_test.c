/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/hosts/app_catalog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "auth/core/auth.h"
#include "auth/hosts/app_addresses.h"
#include "base/limits.h"
#include "base/mem.h"
#include "net/net_testing.h"
#include "rpc/pb.h"
#include "state/app.h"
#include "store/store_testing.h"

/* A cluster's resources, and one host with a matcher for env=prod, whose file has the application `own`. */
struct fixture {
        struct auth auth;
        unsigned awaited;
        Cteleport__V1__PresenceUp__Hello hello;
        Cteleport__V1__App own, *apps[1];
        Cteleport__V1__Metadata own_metadata;
        Cteleport__V1__Matcher matcher, *matchers[1];
        Cteleport__V1__Matcher__LabelsEntry entry, *entries[1];
        Cteleport__V1__Strings values;
        char *value;
        struct app_selection *selection;
        struct buf changes; /* "=" all, "+name", "-name", "!" hidden, "L" when the record changes */
};

#define AWAIT(f, condition) RUN_UNTIL(&(f)->auth.loop, condition)

static void on_changed(void *ctx, const Cteleport__V1__PresenceDown__Apps *change, bool is_listed)
{
        struct fixture *f = ctx;

        if (change == NULL)
                buf_put_c(&f->changes, "!");
        else if (change->is_complete)
                buf_printf(&f->changes, "=%zu", change->n_apps);
        for (size_t i = 0; change != NULL && !change->is_complete && i < change->n_apps; i++)
                buf_printf(&f->changes, "+%s", change->apps[i]->metadata->name);
        for (size_t i = 0; change != NULL && i < change->n_removed; i++)
                buf_printf(&f->changes, "-%s", change->removed[i]);
        buf_put_c(&f->changes, is_listed ? "L " : " ");
}

static const struct app_selection_events events = { .changed = on_changed };

static void on_done(void *ctx, struct error *err)
{
        assert_null(err);
        (*(unsigned *)ctx)--;
}

static void on_committed(void *ctx, uint64_t revision, struct error *err)
{
        (void)revision;
        on_done(ctx, err);
}

static void on_closed(void *ctx)
{
        (*(unsigned *)ctx)--;
}

/* env NULL: removes it. */
static void given_app(struct fixture *f, const char *name, const char *env, size_t padding)
{
        Cteleport__V1__App app = CTELEPORT__V1__APP__INIT;
        Cteleport__V1__Metadata metadata = CTELEPORT__V1__METADATA__INIT;
        Cteleport__V1__Metadata__LabelsEntry label = CTELEPORT__V1__METADATA__LABELS_ENTRY__INIT, *labels = &label;
        Cteleport__V1__AppSpec spec = CTELEPORT__V1__APP_SPEC__INIT;
        struct store_txn *t = store_txn_new(f->auth.store);
        AUTO_MEM char *description = mem_alloc(padding + 1);

        memset(description, 'x', padding);
        description[padding] = '\0';
        metadata.name = pb_text(name);
        metadata.description = description;
        metadata.labels = &labels;
        metadata.n_labels = 1;
        label.key = pb_text("env");
        label.value = pb_text(env == NULL ? "" : env);
        spec.uri = pb_text("tcp://a:1");
        app.metadata = &metadata;
        app.spec = &spec;
        if (env == NULL)
                state_delete(t, &app_kind, str_of(name));
        else
                state_put(t, &app_kind, str_of(name), &app.base, (struct walltime){ 0 });
        f->awaited++;
        store_txn_commit(t, on_committed, &f->awaited);
        AWAIT(f, f->awaited == 0);
        run_a_while(&f->auth.loop);
}

static void assert_changes(struct fixture *f, const char *expected)
{
        assert_string_equal(f->changes.len == 0 ? "" : buf_c(&f->changes), expected);
        buf_clear(&f->changes);
}

static size_t listed(struct fixture *f, const char *first)
{
        Cteleport__V1__App *list[LIMIT_APPS];
        size_t count = app_selection_put(f->selection, list);

        if (count > 0)
                assert_string_equal(list[0]->metadata->name, first);
        return count;
}

static int open_fixture(void **state)
{
        struct fixture *f = NEW(struct fixture);

        assert_null(loop_init(&f->auth.loop, NULL));
        assert_null(store_open(&f->auth.loop, (struct store_options){ .type = "memory" }, &f->auth.store));
        f->changes = BUF_MAX(64 * KiB);
        f->awaited++;
        f->auth.apps = app_catalog_open(&f->auth, on_done, &f->awaited);
        AWAIT(f, f->awaited == 0);
        cteleport__v1__presence_up__hello__init(&f->hello);
        cteleport__v1__app__init(&f->own);
        cteleport__v1__metadata__init(&f->own_metadata);
        cteleport__v1__matcher__init(&f->matcher);
        cteleport__v1__matcher__labels_entry__init(&f->entry);
        cteleport__v1__strings__init(&f->values);
        f->own_metadata.name = pb_text("own");
        f->own.metadata = &f->own_metadata;
        f->apps[0] = &f->own;
        f->hello.apps = f->apps;
        f->hello.n_apps = 1;
        f->value = pb_text("prod");
        f->values.values = &f->value;
        f->values.n_values = 1;
        f->entry.key = pb_text("env");
        f->entry.value = &f->values;
        f->entries[0] = &f->entry;
        f->matcher.labels = f->entries;
        f->matcher.n_labels = 1;
        f->matchers[0] = &f->matcher;
        f->hello.app_matchers = f->matchers;
        f->hello.n_app_matchers = 1;
        *state = f;
        return 0;
}

static int close_fixture(void **state)
{
        struct fixture *f = *state;

        app_selection_free(f->selection);
        app_catalog_stop(f->auth.apps);
        app_addresses_stop(&f->auth);
        f->awaited++;
        store_close(f->auth.store, on_closed, &f->awaited);
        AWAIT(f, f->awaited == 0);
        app_catalog_close(f->auth.apps);
        buf_release(&f->changes);
        loop_release(&f->auth.loop);
        free(f);
        return 0;
}

static void select_now(struct fixture *f)
{
        f->selection = app_selection_new(f->auth.apps, &f->hello, &events, f);
}

static void a_host_is_sent_only_its_own_changes(void **state)
{
        struct fixture *f = *state;
        char *names[] = { "own", "a" };

        given_app(f, "a", "prod", 0);
        given_app(f, "b", "dev", 0);
        select_now(f);
        app_selection_report(f->selection);
        assert_changes(f, "=1L ");
        assert_int_equal(listed(f, ""), 0); /* until the host says that it offers it */
        assert_true(app_selection_offer(f->selection, names, ARRAY_LEN(names)));
        assert_int_equal(listed(f, "a"), 1);
        assert_false(app_selection_offer(f->selection, names, ARRAY_LEN(names)));
        given_app(f, "b", "test", 0);
        assert_changes(f, "");
        given_app(f, "b", "prod", 0);
        assert_changes(f, "+b ");
        assert_int_equal(listed(f, "a"), 1);
        given_app(f, "a", "prod", 10);
        assert_changes(f, "+aL ");
        given_app(f, "a", "dev", 0);
        assert_changes(f, "-aL ");
        given_app(f, "b", NULL, 0);
        assert_changes(f, "-b ");
}

static void the_file_hides_a_resource(void **state)
{
        struct fixture *f = *state;
        char *hidden[LIMIT_APPS];

        select_now(f);
        given_app(f, "own", "dev", 0);
        assert_changes(f, "");
        given_app(f, "own", "prod", 0);
        assert_changes(f, "!L ");
        assert_int_equal(app_selection_hidden(f->selection, hidden), 1);
        assert_string_equal(hidden[0], "own");
        given_app(f, "own", NULL, 0);
        assert_changes(f, "!L ");
        assert_int_equal(app_selection_hidden(f->selection, hidden), 0);
}

/* More than a host may offer: the first by name, and the next one as soon as there is room. */
static void a_host_offers_a_limited_number(void **state)
{
        struct fixture *f = *state;

        for (int i = 1; i < LIMIT_APPS; i++) {
                AUTO_MEM char *name = mem_printf("a%03d", i);

                given_app(f, name, "prod", 0);
        }
        select_now(f);
        assert_int_equal(app_selection_left_out(f->selection), 0);
        given_app(f, "a000", "prod", 0);
        assert_int_equal(app_selection_left_out(f->selection), 1);
        AUTO_MEM char *all = mem_printf("=%dL ", LIMIT_APPS - 1);
        assert_changes(f, all);
        given_app(f, "a005", NULL, 0);
        assert_int_equal(app_selection_left_out(f->selection), 0);
        assert_changes(f, all);
        given_app(f, "a006", NULL, 0);
        assert_changes(f, "-a006 ");
}

static void a_host_offers_a_limited_size(void **state)
{
        struct fixture *f = *state;

        select_now(f);
        for (int i = 0; i < LIMIT_APPS_BYTES / LIMIT_APP_RESOURCE + 2; i++) {
                AUTO_MEM char *name = mem_printf("a%03d", i);

                given_app(f, name, "prod", LIMIT_APP_RESOURCE - 100);
        }
        assert_true(app_selection_left_out(f->selection) > 0);
        assert_int_equal(app_catalog_count(f->auth.apps), LIMIT_APPS_BYTES / LIMIT_APP_RESOURCE + 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)
        const struct CMUnitTest tests[] = {
                TEST(a_host_is_sent_only_its_own_changes),
                TEST(the_file_hides_a_resource),
                TEST(a_host_offers_a_limited_number),
                TEST(a_host_offers_a_limited_size),
        };
#undef TEST

        return cmocka_run_group_tests_name("app_catalog", tests, NULL, NULL);
}
