/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of the claims: what any JSON parser must read from it, whatever names and traits contain.
 */
#include "signer/app_token.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"
#include "pki/pki_testing.h"

enum { NOW = 1700000000 };

static struct app_token given_token(void)
{
        static const struct str roles[] = { STR_INIT("access"), STR_INIT("auditor") };

        return (struct app_token){
                .cluster = STR("example.com"), .user = STR("alice"), .uri = STR("http://127.0.0.1:3000"), .roles = roles, .role_count = ARRAY_LEN(roles),
                .issued = walltime_of_unix(NOW), .not_before = walltime_of_unix(NOW - 10), .not_after = walltime_of_unix(NOW + 600),
        };
}

static void writes_the_claims_of_teleport(void **state)
{
        static const struct str logins[] = { STR_INIT("root"), STR_INIT("ubuntu") };
        static const struct app_token_trait traits[] = { { STR_INIT("logins"), logins, 2 }, { STR_INIT("empty"), NULL, 0 } };
        struct app_token token = given_token();
        AUTO(buf) out = BUF_MAX(4 * KiB);

        (void)state;
        token.traits = traits;
        token.trait_count = ARRAY_LEN(traits);
        app_token_put_claims(&token, &out);
        assert_str(buf_str(&out), "{\"iss\":\"example.com\",\"sub\":\"alice\",\"username\":\"alice\",\"aud\":[\"http://127.0.0.1:3000\"],"
                                  "\"roles\":[\"access\",\"auditor\"],\"traits\":{\"logins\":[\"root\",\"ubuntu\"],\"empty\":[]},"
                                  "\"iat\":1700000000,\"nbf\":1699999990,\"exp\":1700000600}");
}

static void claims_that_are_left_out_are_empty(void **state)
{
        struct app_token token = given_token();
        AUTO(buf) out = BUF_MAX(4 * KiB);

        (void)state;
        token.role_count = 0;
        app_token_put_claims(&token, &out);
        assert_true(str_contains(buf_str(&out), STR(",\"roles\":[],\"traits\":{},")));
}

/* A name or value of a trait, and the JSON string that it must become. */
static const struct {
        struct str text;
        const char *json;
} texts[] = {
        { STR_INIT(""), "\"\"" },
        { STR_INIT("plain"), "\"plain\"" },
        { STR_INIT("a\"b"), "\"a\\\"b\"" },
        { STR_INIT("a\\"), "\"a\\\\\"" },
        { STR_INIT("\",\"roles\":[\"admin\"],\"x\":\""), "\"\\\",\\\"roles\\\":[\\\"admin\\\"],\\\"x\\\":\\\"\"" },
        { STR_INIT("a\nb"), "\"a\\nb\"" },
        { STR_INIT("\x01\x1f\x7f\t\r"), "\"\\u0001\\u001f\\u007f\\u0009\\u000d\"" },
        { STR_INIT("J\xc3\xb6rg \xe2\x82\xac \xf0\x9f\x98\x80"), "\"J\xc3\xb6rg \xe2\x82\xac \xf0\x9f\x98\x80\"" },
        { STR_INIT("a\xe2\x80\xae" "b"), "\"a\\u202eb\"" }, /* turns the direction of text */
        { STR_INIT("a\xffz"), "\"a\xef\xbf\xbdz\"" },       /* no UTF-8: never reaches this place, and does no harm there */
        { STR_INIT("a\0b"), "\"a\\u0000b\"" },
};

static void escapes_names_and_values(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
                const struct app_token_trait trait = { texts[i].text, &texts[i].text, 1 };
                struct app_token token = given_token();
                AUTO_MEM char *expected = mem_printf("\"traits\":{%s:[%s]},\"iat\"", texts[i].json, texts[i].json);
                AUTO(buf) out = BUF_MAX(4 * KiB);

                token.traits = &trait;
                token.trait_count = 1;
                app_token_put_claims(&token, &out);
                if (!str_contains(buf_str(&out), str_of(expected)))
                        fail_msg("%s is not in %s", expected, buf_c(&out));
        }
}

/* "<header>.<claims>.<signature>" */
static void signs_with_a_header_that_names_the_key(void **state)
{
        AUTO(key) key = given_key(KEY_ECDSA_P256);
        AUTO(buf) header = BUF_MAX(1 * KiB);
        AUTO(buf) out = BUF_MAX(LIMIT_APP_TOKEN);
        const struct app_token token = given_token();

        (void)state;
        assert_done(app_token_sign(&token, &key, STR("the-key"), &out));
        struct str rest = buf_str(&out);
        base64url_encode(&header, STR("{\"alg\":\"ES256\",\"kid\":\"the-key\",\"typ\":\"JWT\"}"));
        assert_str(str_split(&rest, '.'), buf_c(&header));
        assert_true(str_split(&rest, '.').len > 0);
        assert_int_equal(rest.len, 86); /* 64 bytes */
}

static void a_token_that_web_servers_would_refuse_is_not_made(void **state)
{
        enum { VALUES = 100 };
        AUTO(key) key = given_key(KEY_ECDSA_P256);
        AUTO_MEM char *text = mem_printf("%0100d", 0);
        AUTO(buf) out = BUF_MAX(64 * KiB);
        struct str values[VALUES];
        struct app_token_trait trait = { STR("groups"), values, 10 };
        struct app_token token = given_token();

        (void)state;
        for (size_t i = 0; i < VALUES; i++)
                values[i] = str_of(text);
        token.traits = &trait;
        token.trait_count = 1;
        assert_done(app_token_sign(&token, &key, STR("id"), &out));
        assert_true(out.len > 1000 && out.len <= LIMIT_APP_TOKEN);
        buf_clear(&out);
        for (trait.value_count = 50; trait.value_count <= VALUES; trait.value_count += 25) {
                AUTO_PTR(error) err = app_token_sign(&token, &key, STR("id"), &out);

                assert_int_equal(out.len, err == NULL ? out.len : 0);
                assert_true(out.len <= LIMIT_APP_TOKEN);
                buf_clear(&out);
        }
        trait.value_count = VALUES;
        assert_refused(app_token_sign(&token, &key, STR("id"), &out), ERROR_RESOURCE_EXHAUSTED, "larger than");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(writes_the_claims_of_teleport),
                cmocka_unit_test(claims_that_are_left_out_are_empty),
                cmocka_unit_test(escapes_names_and_values),
                cmocka_unit_test(signs_with_a_header_that_names_the_key),
                cmocka_unit_test(a_token_that_web_servers_would_refuse_is_not_made),
        };

        return cmocka_run_group_tests_name("app_token", tests, NULL, NULL);
}
