/* SPDX-License-Identifier: Apache-2.0 */
#include "resource/app.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "base/names.h"
#include "schema/schema.h"

static void reads_where_an_application_is(void **state)
{
        static const struct {
                const char *uri;
                enum app_scheme scheme;
                const char *target, *path;
        } rows[] = {
                { "tcp://127.0.0.1:5432", APP_TCP, "127.0.0.1:5432", "" },
                { "tcp://db.internal:1", APP_TCP, "db.internal:1", "" },
                { "tcp://[::1]:65535", APP_TCP, "[::1]:65535", "" },
                { "http://127.0.0.1:8080", APP_HTTP, "127.0.0.1:8080", "" },
                { "http://a", APP_HTTP, "a:80", "" },
                { "https://a/", APP_HTTPS, "a:443", "" },
                { "https://[::1]/x/y%20z", APP_HTTPS, "[::1]:443", "/x/y%20z" },
                { "http://a:1/~b/", APP_HTTP, "a:1", "/~b/" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO_PTR(arena) arena = arena_new(1 * KiB);
                struct app_uri read = { 0 };

                assert_null(app_uri_read(arena, str_of(rows[i].uri), &read));
                assert_int_equal(read.scheme, rows[i].scheme);
                assert_string_equal(read.target, rows[i].target);
                assert_string_equal(read.path, rows[i].path);
        }
}

static void refuses_other_uris(void **state)
{
        static const char *const rows[] = {
                "", "tcp", "tcp://", "tcp://:80", "tcp://a", "tcp://a:", "tcp://a:0", "tcp://0.0.0.0:0", "tcp://a:65536", "tcp://a:-1", "tcp://a:1/", "tcp://a:1?x", "tcp://u@a:1",
                "TCP://a:1", "ftp://a:1", "http:/a", "http://", "http:///x", "http://:80", "http://a:0", "http://u@a", "http://a?x", "http://a/?x", "http://a//b.example", "http://a/#x", "http://a/b c",
                "https://a/\n", "https://a:65536", "http//a", "a:1", "tcp://a b:1", "tcp://a\n:1", "tcp://[::1]", "tcp://[::1:1", "tcp://a:1 ", "tcp:///a:1", "unix:///run/x",
                /* forms that a resolver takes for 169.254.169.254 */
                "http://2852039166", "http://0xa9fea9fe", "http://0xa9.0xfe.0xa9.0xfe", "http://0251.0376.0251.0376", "http://169.254.43518", "http://169.16689662/", "tcp://2852039166:80",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO_PTR(arena) arena = arena_new(1 * KiB);
                const char *target = NULL;
                AUTO_PTR(error) err = app_uri_parse(arena, str_of(rows[i]), &target);

                if (err == NULL)
                        print_message("accepted: %s\n", rows[i]);
                assert_non_null(err);
                assert_int_equal(err->code, ERROR_INVALID_ARGUMENT);
                assert_non_null(err->hint);
        }
}

static void several_ports_are_apart_from_the_uri(void **state)
{
        static const struct {
                const char *uri, *target; /* NULL: refused */
        } rows[] = {
                { "tcp://db.internal", "db.internal:5432" }, { "tcp://127.0.0.1", "127.0.0.1:5432" }, { "tcp://[::1]", "[::1]:5432" },
                { "tcp://db.internal:5432", NULL }, { "tcp://db.internal:1", NULL }, { "tcp://[::1]:5432", NULL }, { "tcp://::1", NULL }, { "tcp://", NULL }, { "tcp://:", NULL },
                { "tcp://a:", NULL }, { "tcp://a/", NULL }, { "tcp://[::1", NULL }, { "tcp://[", NULL }, { "tcp://]", NULL }, { "tcp://u@a", NULL }, { "tcp://a b", NULL },
                { "tcp://a\n", NULL }, { "http://a", NULL }, { "tcp", NULL }, { "", NULL },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO_PTR(arena) arena = arena_new(1 * KiB);
                const char *target = NULL;
                AUTO_PTR(error) err = app_uri_at(arena, str_of(rows[i].uri), 5432, &target);

                print_message("  %s\n", rows[i].uri);
                assert_int_equal(err == NULL, rows[i].target != NULL);
                if (err == NULL) {
                        assert_string_equal(target, rows[i].target);
                } else {
                        assert_int_equal(err->code, ERROR_INVALID_ARGUMENT);
                        assert_non_null(err->hint);
                }
        }
}

static void a_name_is_a_label_of_the_dns(void **state)
{
        static const char *const good[] = { "a", "grafana", "a-1", "x0" };
        static const char *const bad[] = { "", "-a", "a-", "1a", "A", "a.b", "a_b", "a b", "\xc3\xa4", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(good); i++)
                assert_null(app_check_name(str_of(good[i]), "name"));
        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                AUTO_PTR(error) err = app_check_name(str_of(bad[i]), "name");

                assert_non_null(err);
                assert_non_null(err->hint);
        }
}

static void a_public_address_is_a_name_of_the_dns(void **state)
{
        static const char *const good[] = { "", "grafana.example.com", "a.b", "xn--bcher-kva.example", "1.a.example" };
        static const char *const bad[] = {
                "localhost", "Grafana.example.com", "grafana.example.com.", ".example.com", "a..b", "a.example.com:443", "https://a.example.com", "a.example.com/x", "10.0.0.1",
                "::1", "[::1]", "a b.example.com", "a_b.example.com", "*.example.com", "a.example.com\n", "a.1", "\xc3\xa4.example.com", "-a.example.com",
                "kube-teleport-proxy-alpn.example.com", "616263.teleport.cluster.local", "a@b.example.com",
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example.com",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(good); i++)
                assert_null(app_check_public_addr(str_of(good[i])));
        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                AUTO_PTR(error) err = app_check_public_addr(str_of(bad[i]));

                if (err == NULL)
                        print_message("accepted: %s\n", bad[i]);
                assert_non_null(err);
                assert_non_null(err->hint);
        }
}

/* ---- the resource ----------------------------------------------------------------------------------- */

#define APP "kind: app\nversion: v3\nmetadata: {name: files, labels: {env: prod}}\nspec: {uri: 'tcp://a:1'}\n"

static struct error *load(struct arena *a, const char *yaml, Cteleport__V1__App **ret)
{
        TRY(schema_load_yaml(a, "app.yaml", str_of(yaml), &cteleport__v1__app__descriptor, (ProtobufCMessage **)ret));
        return app_check(*ret, a);
}

static void sets_the_origin_of_a_resource_itself(void **state)
{
        static const char *const rows[] = { APP, "metadata: {name: files, labels: {teleport.dev/origin: config-file, env: prod}}\nspec: {uri: 'tcp://a:1'}\n" };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO_PTR(arena) arena = arena_new(64 * KiB);
                Cteleport__V1__App *app = NULL;

                assert_null(load(arena, rows[i], &app));
                assert_string_equal(app->kind, "app");
                assert_string_equal(app->version, "v3");
                assert_int_equal(app->metadata->n_labels, 2);
                assert_string_equal(app->metadata->labels[1]->key, APP_ORIGIN);
                assert_string_equal(app->metadata->labels[1]->value, APP_ORIGIN_DYNAMIC);
        }
}

static void refuses_resources_that_no_host_could_offer(void **state)
{
        static const struct {
                const char *yaml, *problem;
        } rows[] = {
                { "kind: app\nversion: v1\nmetadata: {name: a}\nspec: {uri: 'tcp://a:1'}\n", "version 'v1' of apps is not supported" },
                { "kind: app\nsub_kind: x\nmetadata: {name: a}\nspec: {uri: 'tcp://a:1'}\n", "has no sub_kind" },
                { "kind: app\nmetadata: {name: a}\n", "no metadata or no spec" },
                { "kind: app\nspec: {uri: 'tcp://a:1'}\n", "no metadata or no spec" },
                { "kind: app\nmetadata: {name: A}\nspec: {uri: 'tcp://a:1'}\n", "must be a valid DNS subdomain" },
                { "kind: app\nmetadata: {name: a}\nspec: {uri: 'tcp://a'}\n", "has no host and port" },
                { "kind: app\nmetadata: {name: a}\nspec: {uri: 'ftp://a:1'}\n", "is not one of an application" },
                { "kind: app\nmetadata: {name: a}\nspec: {}\n", "is not one of an application" },
                { "kind: app\nmetadata: {name: a, labels: {'x y': z}}\nspec: {uri: 'tcp://a:1'}\n", "is not a label's name" },
                { "kind: app\nmetadata: {name: a, labels: {teleport.dev/other: z}}\nspec: {uri: 'tcp://a:1'}\n", "is reserved for the cluster" },
                { "kind: app\nmetadata: {name: a}\nspec: {uri: 'http://a', public_addr: 10.0.0.1}\n", "is not a host name of the DNS in lower case" },
                { "kind: app\nmetadata: {name: a}\nspec: {uri: 'tcp://a:1', rewrite: {redirect: [b]}}\n", "rewrite is for applications of http and https" },
                { "kind: app\nmetadata: {name: a}\nspec: {uri: 'http://a', rewrite: {headers: [{name: X-Real-Ip, value: z}]}}\n", "is one that the cluster sets" },
                { "kind: app\nmetadata: {name: a}\nspec: {uri: 'http://a', rewrite: {headers: [{name: 'A:b', value: z}]}}\n", "rewrite.headers[1].name has a colon" },
                { "kind: app\nmetadata: {name: a}\nspec: {uri: 'http://a', rewrite: {headers: [{name: '', value: z}]}}\n", "has no name and value of HTTP" },
                { "kind: app\nmetadata: {name: a}\nspec: {uri: 'http://a', rewrite: {headers: [{name: X, value: \"y\\r\\nZ: 1\"}]}}\n", "has no name and value of HTTP" },
                { "kind: app\nmetadata: {name: a}\nspec: {uri: 'http://a', rewrite: {jwt_claims: all}}\n", "rewrite.jwt_claims cannot be 'all'" },
                { "kind: app\nmetadata: {name: a}\nspec: {uri: 'http://a', insecure_skip_verify: yes}\n", "insecure_skip_verify is for applications of https" },
                { "kind: app\nmetadata: {name: a}\nspec: {uri: 'https://a', tls: {server_name: b}}\n", "tls' is a key of Teleport that this release does not have" },
                { "kind: app\nmetadata: {name: a}\nspec: {uri: 'tcp://a:1', tcp_ports: [{port: 1}]}\n", "has a port beside tcp_ports" },
                { "kind: app\nmetadata: {name: a}\nspec: {uri: 'http://a', tcp_ports: [{port: 1}]}\n", "tcp_ports is for applications of tcp" },
                { "kind: app\nmetadata: {name: a}\nspec: {uri: 'tcp://a', tcp_ports: [{port: 0}]}\n", "tcp_ports[1] has a port that is not between 1 and 65535" },
                { "kind: app\nmetadata: {name: a}\nspec: {uri: 'tcp://a', tcp_ports: []}\n", "has no host and port" },
                { "kind: app\nmetadata: {name: a, expires: '2030-01-01T00:00:00Z'}\nspec: {uri: 'tcp://a:1'}\n", "does not expire" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO_PTR(arena) arena = arena_new(64 * KiB);
                Cteleport__V1__App *app = NULL;
                AUTO_PTR(error) err = load(arena, rows[i].yaml, &app);

                print_message("  %s\n", rows[i].problem);
                assert_non_null(err);
                assert_int_equal(err->code, ERROR_INVALID_ARGUMENT);
                assert_true(str_contains(str_of(err->what), str_of(rows[i].problem)));
        }
}

static void has_the_settings_of_a_file(void **state)
{
        AUTO_PTR(arena) arena = arena_new(64 * KiB);
        Cteleport__V1__App *app = NULL;

        (void)state;
        assert_null(load(arena, "metadata: {name: files}\nspec: {uri: 'https://a', public_addr: a.example.com, insecure_skip_verify: yes,\n"
                                "  rewrite: {redirect: [b], headers: [{name: Host, value: 'b:1'}, {name: X, value: '{{internal.jwt}}'}], jwt_claims: none}}\n", &app));
        const Cteleport__V1__AppConfig *config = app_config_of(app, arena);
        assert_int_equal(config->n_tcp_ports, 0);
        assert_string_equal(config->name, "files");
        assert_string_equal(config->public_addr, "a.example.com");
        assert_true(config->insecure_skip_verify);
        assert_string_equal(config->rewrite->redirect[0], "b");
        assert_int_equal(config->rewrite->n_headers, 2);
        assert_string_equal(config->rewrite->headers[0], "Host: b:1");
        assert_string_equal(config->rewrite->headers[1], "X: {{internal.jwt}}");
        assert_string_equal(config->rewrite->jwt_claims, "none");
        assert_null(load(arena, "metadata: {name: queue}\nspec: {uri: 'tcp://a', tcp_ports: [{port: 22}, {port: 80, end_port: 90}]}\n", &app));
        assert_true(app_ports_equal(APP_PORTS(app_config_of(app, arena)), APP_PORTS(app->spec)));
        assert_int_equal(app->spec->n_tcp_ports, 2);
        assert_int_equal(app->spec->tcp_ports[1]->end_port, 90);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads_where_an_application_is),
                cmocka_unit_test(refuses_other_uris),
                cmocka_unit_test(several_ports_are_apart_from_the_uri),
                cmocka_unit_test(a_name_is_a_label_of_the_dns),
                cmocka_unit_test(a_public_address_is_a_name_of_the_dns),
                cmocka_unit_test(has_the_settings_of_a_file),
                cmocka_unit_test(sets_the_origin_of_a_resource_itself),
                cmocka_unit_test(refuses_resources_that_no_host_could_offer),
        };

        return cmocka_run_group_tests_name("app", tests, NULL, NULL);
}
