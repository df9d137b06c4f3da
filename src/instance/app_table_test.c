/* SPDX-License-Identifier: Apache-2.0 */
#include "instance/app_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "rpc/pb.h"

struct fixture {
        Cteleport__V1__AppServiceConfig config;
        Cteleport__V1__AppConfig own, *apps[1];
        Cteleport__V1__Matcher matcher, *matchers[1];
        struct app_table *table;
};

static void start(struct fixture *f, bool has_matchers)
{
        cteleport__v1__app_service_config__init(&f->config);
        cteleport__v1__app_config__init(&f->own);
        cteleport__v1__matcher__init(&f->matcher);
        f->own.name = pb_text("own");
        f->own.uri = pb_text("tcp://own:1");
        f->apps[0] = &f->own;
        f->matchers[0] = &f->matcher;
        f->config.apps = f->apps;
        f->config.n_apps = 1;
        f->config.resources = f->matchers;
        f->config.n_resources = has_matchers;
        f->table = app_table_new(&f->config);
}

static void take(struct fixture *f, bool is_complete, const char *name, const char *uri, const char *removed)
{
        Cteleport__V1__PresenceDown__Apps sent = CTELEPORT__V1__PRESENCE_DOWN__APPS__INIT;
        Cteleport__V1__Metadata metadata = CTELEPORT__V1__METADATA__INIT;
        Cteleport__V1__AppSpec spec = CTELEPORT__V1__APP_SPEC__INIT;
        Cteleport__V1__App app = CTELEPORT__V1__APP__INIT, *list = &app;
        char *gone = pb_text(removed == NULL ? "" : removed);

        metadata.name = pb_text(name == NULL ? "" : name);
        spec.uri = pb_text(uri == NULL ? "" : uri);
        app.metadata = &metadata;
        app.spec = &spec;
        sent.is_complete = is_complete;
        sent.apps = &list;
        sent.n_apps = name != NULL;
        sent.removed = &gone;
        sent.n_removed = removed != NULL;
        app_table_take(f->table, &sent);
}

/* "a=tcp://a:1 own=tcp://own:1", with the revision of a process that has none; NULL: it waits. */
static const char *shown(struct fixture *f, const char *have, char ret[1024])
{
        const Cteleport__Internal__V1__Apps *apps = app_table_for(f->table, have);
        size_t len = 0;

        if (apps == NULL)
                return NULL;
        ret[0] = '\0';
        for (size_t i = 0; i < apps->n_apps; i++)
                len += (size_t)snprintf(ret + len, 1024 - len, "%s%s=%s", i > 0 ? " " : "", apps->apps[i]->name, apps->apps[i]->uri);
        return ret;
}

static void has_the_file_and_the_selected_resources(void **state)
{
        struct fixture f;
        char text[1024];

        (void)state;
        start(&f, true);
        take(&f, true, "b", "tcp://b:1", NULL);
        assert_string_equal(shown(&f, "", text), "b=tcp://b:1 own=tcp://own:1");
        AUTO_MEM char *revision = str_dup(str_of(app_table_for(f.table, "")->revision));
        assert_null(shown(&f, revision, text));
        take(&f, false, "a", "tcp://a:1", NULL);
        assert_string_equal(shown(&f, revision, text), "a=tcp://a:1 b=tcp://b:1 own=tcp://own:1");
        take(&f, false, "own", "tcp://other:1", "a");
        assert_string_equal(shown(&f, "x", text), "b=tcp://b:1 own=tcp://own:1"); /* the file wins */
        assert_null(shown(&f, revision, text)); /* the same table has the same revision */
        take(&f, false, "b", "gopher://b:1", NULL);
        assert_string_equal(shown(&f, revision, text), "own=tcp://own:1"); /* it cannot be served any more */
        take(&f, true, NULL, NULL, NULL);
        assert_string_equal(shown(&f, revision, text), "own=tcp://own:1");
        app_table_free(f.table);
}

static void a_process_keeps_its_table_until_the_cluster_has_answered(void **state)
{
        struct fixture f;
        char text[1024];

        (void)state;
        start(&f, true);
        assert_null(shown(&f, "of a former process", text));
        assert_string_equal(shown(&f, "", text), "own=tcp://own:1");
        take(&f, false, "a", "tcp://a:1", NULL); /* a change alone is not all */
        assert_null(shown(&f, "of a former process", text));
        take(&f, true, "a", "tcp://a:1", NULL);
        assert_string_equal(shown(&f, "of a former process", text), "a=tcp://a:1 own=tcp://own:1");
        app_table_free(f.table);
        start(&f, false); /* without matchers the file is all */
        assert_string_equal(shown(&f, "of a former process", text), "own=tcp://own:1");
        app_table_free(f.table);
}

static const char *hint_for(const char *uri, size_t ports, enum error_code code, struct error **ret)
{
        Cteleport__V1__AppServiceConfig config = CTELEPORT__V1__APP_SERVICE_CONFIG__INIT;
        Cteleport__V1__AppConfig app = CTELEPORT__V1__APP_CONFIG__INIT, *apps[] = { &app };

        app.uri = unconst(uri);
        app.n_tcp_ports = ports;
        config.apps = apps;
        config.n_apps = 1;
        *ret = app_table_explain_refusal(&config, error_hint(error_new(code, "the uri 'tcp://db' has no host and port to connect to"), "write a port"));
        return (*ret)->hint;
}

static void a_cluster_without_tcp_ports_is_to_be_upgraded(void **state)
{
        const struct {
                const char *uri;
                size_t ports;
                enum error_code code;
                bool is_explained;
        } rows[] = {
                { "tcp://db", 1, ERROR_INVALID_ARGUMENT, true },
                { "tcp://db", 0, ERROR_INVALID_ARGUMENT, false },
                { "tcp://d", 1, ERROR_INVALID_ARGUMENT, false },
                { "tcp://db", 1, ERROR_UNAVAILABLE, false },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct error *err;
                const char *hint = hint_for(rows[i].uri, rows[i].ports, rows[i].code, &err);

                if ((strstr(hint, "without tcp_ports: upgrade it") != NULL) != rows[i].is_explained)
                        fail_msg("row %zu: %s", i, hint);
                error_free(err);
        }
        assert_null(app_table_explain_refusal(NULL, NULL));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(has_the_file_and_the_selected_resources),
                cmocka_unit_test(a_process_keeps_its_table_until_the_cluster_has_answered),
                cmocka_unit_test(a_cluster_without_tcp_ports_is_to_be_upgraded),
        };

        return cmocka_run_group_tests_name("app_table", tests, NULL, NULL);
}
