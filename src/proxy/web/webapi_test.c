/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web/webapi.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/text.h"
#include "base/version.h"
#include "proxy/web/web_testing.h"

static const struct webapi_facts facts = {
        .cluster = STR_INIT("example.com"),
        .listen_addr = STR_INIT("0.0.0.0:3080"),
        .public_addr = STR_INIT("proxy.example.com:443"),
        .host_cas = STR_INIT("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"),
};

static struct webapi_facts known(void *ctx)
{
        (void)ctx;
        return facts;
}

static struct webapi_facts unknown(void *ctx)
{
        (void)ctx;
        return (struct webapi_facts){ 0 };
}

/* Returns the status. */
static int get(const char *method, const char *path, struct webapi_facts (*f)(void *ctx), struct buf *out)
{
        struct http1_request request = { .method = str_of(method), .path = str_of(path), .host = STR("p") };
        struct loop loop;
        struct browser b;
        int64_t status;

        assert_null(loop_init(&loop, NULL));
        browser_send(&b, &loop, NULL, f, &request, STR(""));
        browser_wait(&b);
        buf_put(out, buf_str(&b.response));
        browser_release(&b);
        loop_release(&loop);
        assert_null(parse_int(str_slice(buf_str(out), strlen("HTTP/1.1 "), 3), 100, 599, "status", &status));
        return (int)status;
}

static json_t *body_of(struct buf *out)
{
        const char *text = strstr(buf_c(out), "\r\n\r\n");
        assert_non_null(text);
        json_t *root = json_loads(text + 4, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(root);
        return root;
}

static void find_gives_an_agent_its_settings(void **state)
{
        (void)state;
        AUTO(buf) out = BUF_MAX(16 * KiB);
        assert_int_equal(get("GET", "/webapi/find", known, &out), 200);
        json_t *root = body_of(&out);
        const json_t *proxy = json_object_get(root, "proxy");
        assert_string_equal(json_string_value(json_object_get(root, "cluster_name")), "example.com");
        assert_string_equal(json_string_value(json_object_get(root, "server_version")), CTELEPORT_VERSION);
        int oldest = version_major(str_of(json_string_value(json_object_get(root, "min_client_version"))));
        assert_int_equal(oldest, version_major(STR(CTELEPORT_VERSION)) - 1);
        assert_true(json_is_true(json_object_get(proxy, "tls_routing_enabled")));
        assert_string_equal(json_string_value(json_object_get(json_object_get(proxy, "ssh"), "public_addr")),
                            "proxy.example.com:443");
        assert_null(json_object_get(root, "auth"));
        json_decref(root);
}

static void ping_adds_how_one_signs_in(void **state)
{
        (void)state;
        AUTO(buf) out = BUF_MAX(16 * KiB);
        assert_int_equal(get("GET", "/v1/webapi/ping", known, &out), 200);
        json_t *root = body_of(&out);
        assert_string_equal(json_string_value(json_object_get(json_object_get(root, "auth"), "type")), "local");
        json_decref(root);
}

static void other_pages_do_not_exist(void **state)
{
        (void)state;
        static const char *const paths[] = { "/webapi/find/", "/webapi/findx", "/v2/webapi/find" };
        for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
                AUTO(buf) out = BUF_MAX(16 * KiB);
                assert_int_equal(get("GET", paths[i], known, &out), 404);
                json_t *root = body_of(&out);
                assert_true(json_is_string(json_object_get(json_object_get(root, "error"), "message")));
                json_decref(root);
        }
}

static void pages_are_only_read(void **state)
{
        (void)state;
        AUTO(buf) out = BUF_MAX(16 * KiB);
        assert_int_equal(get("DELETE", "/webapi/find", known, &out), 405);
        assert_non_null(strstr(buf_c(&out), "\r\nAllow: GET, HEAD\r\n"));
}

static void head_gets_no_body_but_its_length(void **state)
{
        (void)state;
        AUTO(buf) out = BUF_MAX(16 * KiB);
        assert_int_equal(get("HEAD", "/webapi/find", known, &out), 200);
        assert_true(str_ends_with(buf_str(&out), STR("\r\n\r\n")));
        assert_null(strstr(buf_c(&out), "Content-Length: 0"));
}

static void a_proxy_without_identity_answers_unavailable(void **state)
{
        (void)state;
        AUTO(buf) out = BUF_MAX(16 * KiB);
        assert_int_equal(get("GET", "/webapi/find", unknown, &out), 503);
}

static void host_cas_are_exported_for_clients(void **state)
{
        (void)state;
        static const struct {
                const char *path;
                struct webapi_facts (*facts)(void *ctx);
                int status;
        } cases[] = {
                { "/webapi/auth/export?type=tls-host", known, 200 },
                { "/v1/webapi/auth/export?type=tls-host", known, 200 },
                { "/webapi/auth/export?type=tls-host", unknown, 503 },
                { "/webapi/auth/export?type=user", known, 400 },
                { "/webapi/auth/export", known, 400 },
        };
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                AUTO(buf) out = BUF_MAX(16 * KiB);
                assert_int_equal(get("GET", cases[i].path, cases[i].facts, &out), cases[i].status);
                bool is_pem = str_ends_with(buf_str(&out), facts.host_cas) && str_contains(buf_str(&out), STR("\r\nContent-Type: text/plain"));
                assert_int_equal(is_pem, cases[i].status == 200);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(find_gives_an_agent_its_settings),
                cmocka_unit_test(ping_adds_how_one_signs_in),
                cmocka_unit_test(other_pages_do_not_exist),
                cmocka_unit_test(pages_are_only_read),
                cmocka_unit_test(head_gets_no_body_but_its_length),
                cmocka_unit_test(a_proxy_without_identity_answers_unavailable),
                cmocka_unit_test(host_cas_are_exported_for_clients),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
