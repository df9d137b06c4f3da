/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CA jwt as auth sees it: tokens for applications, and the rotation of their key.
 */
#include "base/text.h"
#include "loop/loop.h"
#include "pki/jwk.h"
#include "signer/signer_testing.h"

static struct error *request_token(struct fixture *f)
{
        Cteleport__Internal__V1__AppTokenRequest r = CTELEPORT__INTERNAL__V1__APP_TOKEN_REQUEST__INIT;
        char *roles[] = { pb_text("access") };

        r.user = pb_text("alice");
        r.roles = roles;
        r.n_roles = ARRAY_LEN(roles);
        r.uri = pb_text("http://127.0.0.1:3000");
        r.not_after = walltime_unix(clock_wall(clock_system())) + 3600;
        return requested(f, CTELEPORT__INTERNAL__V1__SIGNER_VERB__SIGNER_APP_TOKEN, &r.base, &cteleport__internal__v1__app_token__descriptor);
}

static const Cteleport__Internal__V1__Authority *jwt_authority(const struct fixture *f)
{
        (void)host_authority(f);
        return ((const Cteleport__Internal__V1__Authorities *)(const void *)f->answer)->authorities[2];
}

static void put_base64url(struct buf *out, struct str text)
{
        AUTO(buf) standard = BUF_MAX(64 * KiB);

        for (size_t i = 0; i < text.len; i++)
                buf_put_char(&standard, text.ptr[i] == '-' ? '+' : text.ptr[i] == '_' ? '/' : text.ptr[i]);
        while (standard.len % 4 != 0)
                buf_put_char(&standard, '=');
        assert_done(base64_decode(out, buf_str(&standard)));
}

/* Whether the header of the last token names this key. */
static bool token_names(const struct fixture *f, ProtobufCBinaryData spki)
{
        struct str token = str_of(((const Cteleport__Internal__V1__AppToken *)(const void *)f->answer)->token);
        AUTO(buf) header = BUF_MAX(4 * KiB);
        AUTO(buf) id = BUF_MAX(128);

        put_base64url(&header, str_split(&token, '.'));
        assert_done(jwk_put_id(pb_str(spki), &id));
        return str_contains(buf_str(&header), buf_str(&id));
}

static void signs_tokens_with_the_key_of_the_phase(void **state)
{
        struct fixture *f = *state;

        given_signer(f);
        assert_refused(request_token(f), ERROR_FAILED_PRECONDITION, "no CA yet");
        assert_done(request_authorities(f, "example.com", true));
        assert_int_equal(jwt_authority(f)->n_jwt_keys, 1);
        assert_int_equal(jwt_authority(f)->n_tls_certs, 0);
        assert_done(request_step(f, "jwt", "init"));
        assert_int_equal(jwt_authority(f)->n_jwt_keys, 2);
        ProtobufCBinaryData old = jwt_authority(f)->jwt_keys[0], new = jwt_authority(f)->jwt_keys[1];
        assert_done(request_token(f));
        assert_true(token_names(f, old));
        assert_done(request_step(f, "jwt", "update_clients"));
        assert_true(str_equal(pb_str(jwt_authority(f)->jwt_keys[0]), pb_str(new)));
        assert_int_equal(jwt_authority(f)->n_jwt_keys, 2);
        assert_done(request_token(f));
        assert_true(token_names(f, new));
        assert_done(request_step(f, "jwt", "update_servers"));
        assert_int_equal(jwt_authority(f)->n_jwt_keys, 2);
        assert_done(request_step(f, "jwt", "standby"));
        assert_int_equal(jwt_authority(f)->n_jwt_keys, 1);
        assert_int_equal(ended(f), 0);

        given_signer(f); /* the sandbox did not prevent it from replacing the file */
        assert_done(request_authorities(f, "example.com", false));
        assert_true(str_equal(pb_str(jwt_authority(f)->jwt_keys[0]), pb_str(new)));
        assert_done(request_token(f));
        assert_true(token_names(f, new));
}

static void assert_signs_by(struct fixture *f, const char *algorithm)
{
        AUTO_MEM char *member = mem_printf("\"alg\":\"%s\"", algorithm);
        AUTO(buf) header = BUF_MAX(4 * KiB);

        assert_done(request_token(f));
        struct str token = str_of(((const Cteleport__Internal__V1__AppToken *)(const void *)f->answer)->token);
        put_base64url(&header, str_split(&token, '.'));
        assert_true(str_contains(buf_str(&header), str_of(member)));
}

/* The file is written in place: the shorter key leaves nothing of the longer one. */
static void an_algorithm_that_is_set_is_that_of_the_next_key(void **state)
{
        static const char *const phases[] = { "init", "update_clients", "update_servers", "standby" };
        struct fixture *f = *state;

        f->token_key = KEY_RSA_2048;
        given_signer(f);
        assert_done(request_authorities(f, "example.com", true));
        assert_signs_by(f, "RS256");
        assert_int_equal(ended(f), 0);

        f->token_key = KEY_ECDSA_P256;
        given_signer(f);
        assert_signs_by(f, "RS256");
        for (size_t i = 0; i < ARRAY_LEN(phases); i++)
                assert_done(request_step(f, "jwt", phases[i]));
        assert_signs_by(f, "ES256");
        assert_int_equal(ended(f), 0);

        f->token_key = KEY_RSA_2048;
        given_signer(f);
        assert_signs_by(f, "ES256");
}

static void adds_the_ca_jwt_to_the_cas_of_an_earlier_release(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *path = mem_printf("%s/ca/jwt.key.pem", f->dir);

        given_signer(f);
        assert_done(request_authorities(f, "example.com", true));
        ProtobufCBinaryData host = host_authority(f)->tls_certs[0], jwt = jwt_authority(f)->jwt_keys[0];
        assert_done(request_host(f, "Node"));
        assert_int_equal(ended(f), 0);
        assert_int_equal(unlink(path), 0);

        given_signer(f);
        assert_done(request_authorities(f, "example.com", false));
        assert_true(str_equal(pb_str(host_authority(f)->tls_certs[0]), pb_str(host)));
        assert_int_equal(jwt_authority(f)->n_jwt_keys, 1);
        assert_false(str_equal(pb_str(jwt_authority(f)->jwt_keys[0]), pb_str(jwt)));
        assert_done(request_token(f));

        /* After a rotation it is known that there was one: it is lost, and only a backup has it. */
        assert_done(request_step(f, "jwt", "init"));
        assert_int_equal(ended(f), 0);
        assert_int_equal(unlink(path), 0);
        given_signer(f);
        assert_int_equal(ended(f), 1);
        assert_int_not_equal(access(path, F_OK), 0);
}

static void a_ca_that_signs_tokens_has_no_list_of_revoked_certificates(void **state)
{
        struct fixture *f = *state;
        Cteleport__Internal__V1__CrlRequest r = CTELEPORT__INTERNAL__V1__CRL_REQUEST__INIT;

        r.type = pb_text("jwt");
        given_signer(f);
        assert_done(request_authorities(f, "example.com", true));
        assert_refused(requested(f, CTELEPORT__INTERNAL__V1__SIGNER_VERB__SIGNER_CRL, &r.base, &cteleport__internal__v1__crls__descriptor),
                       ERROR_INVALID_ARGUMENT, "issues no certificates");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(signs_tokens_with_the_key_of_the_phase, set_up, tear_down),
                cmocka_unit_test_setup_teardown(an_algorithm_that_is_set_is_that_of_the_next_key, set_up, tear_down),
                cmocka_unit_test_setup_teardown(adds_the_ca_jwt_to_the_cas_of_an_earlier_release, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_ca_that_signs_tokens_has_no_list_of_revoked_certificates, set_up, tear_down),
        };

        return cmocka_run_group_tests_name("signer_token", tests, NULL, NULL);
}
