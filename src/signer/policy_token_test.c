/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tokens that the signer issues to applications, whatever auth requests.
 */
#include <stdlib.h>

#include "base/text.h"
#include "signer/policy_testing.h"

struct fixture {
        struct policy_bench bench;
        Cteleport__Internal__V1__AppTokenRequest request;
        Cteleport__Internal__V1__AppTokenTrait trait_list[LISTS_MAX], *traits[LISTS_MAX];
        char *roles[LISTS_MAX], *values[LISTS_MAX];
        struct app_token token;
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        policy_bench_init(&f->bench);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        policy_bench_release(&f->bench);
        free(f);
        return 0;
}

static void add_trait(struct fixture *f, const char *name)
{
        size_t n = f->request.n_traits++;

        cteleport__internal__v1__app_token_trait__init(&f->trait_list[n]);
        f->trait_list[n].name = pb_text(name);
        f->trait_list[n].values = f->values;
        f->traits[n] = &f->trait_list[n];
}

/* A request that is granted. */
static Cteleport__Internal__V1__AppTokenRequest *given_request(struct fixture *f)
{
        Cteleport__Internal__V1__AppTokenRequest *r = &f->request;

        cteleport__internal__v1__app_token_request__init(r);
        r->user = pb_text("alice@example.com");
        r->roles = f->roles;
        f->roles[0] = pb_text("access");
        r->n_roles = 1;
        r->traits = f->traits;
        f->values[0] = pb_text("root");
        add_trait(f, "logins");
        f->trait_list[0].n_values = 1;
        r->uri = pb_text("https://grafana.internal:3000/");
        r->not_after = NOW + 3600;
        return r;
}

static struct error *checked(struct fixture *f)
{
        return policy_check_token(f->bench.arena, &f->bench.facts, &f->request, &f->token);
}

static void takes_the_claims_from_typed_fields(void **state)
{
        struct fixture *f = *state;

        given_request(f);
        assert_done(checked(f));
        assert_str(f->token.cluster, "example.com");
        assert_str(f->token.user, "alice@example.com");
        assert_str(f->token.uri, "https://grafana.internal:3000/");
        assert_int_equal(f->token.role_count, 1);
        assert_str(f->token.roles[0], "access");
        assert_int_equal(f->token.trait_count, 1);
        assert_str(f->token.traits[0].name, "logins");
        assert_int_equal(f->token.traits[0].value_count, 1);
        assert_str(f->token.traits[0].values[0], "root");
}

static void a_token_ends_with_the_identity_and_after_the_limit(void **state)
{
        static const struct {
                int64_t identity, expected;
        } all[] = {
                { NOW + 1, NOW + 1 },
                { NOW + LIMIT_APP_TOKEN_SECONDS - 1, NOW + LIMIT_APP_TOKEN_SECONDS - 1 },
                { NOW + LIMIT_APP_TOKEN_SECONDS + 1, NOW + LIMIT_APP_TOKEN_SECONDS },
                { INT64_MAX, NOW + LIMIT_APP_TOKEN_SECONDS },
        };
        struct fixture *f = *state;

        given_request(f);
        for (size_t i = 0; i < ARRAY_LEN(all); i++) {
                f->request.not_after = all[i].identity;
                assert_done(checked(f));
                assert_int_equal(walltime_unix(f->token.not_after), all[i].expected);
                assert_int_equal(walltime_unix(f->token.issued), NOW);
                assert_int_equal(walltime_unix(f->token.not_before), NOW - 10);
        }
        static const int64_t over[] = { NOW, 0, -1, INT64_MIN };
        for (size_t i = 0; i < ARRAY_LEN(over); i++) {
                f->request.not_after = over[i];
                assert_refused(checked(f), ERROR_FAILED_PRECONDITION, "expired");
        }
}

static void refuses_users_and_roles_that_it_would_not_certify(void **state)
{
        static const char *const users[] = { "", "a b", "../x", "1f2e3d4c-1111-4222-8333-444455556666", "1f2e3d4c-1111-4222-8333-444455556666.example.com", "a\"b" };
        static const char *const roles[] = { "", "a b", "a\"b", "-x" };
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_LEN(users); i++) {
                given_request(f)->user = pb_text(users[i]);
                assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "not a user");
        }
        for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
                given_request(f);
                f->roles[0] = pb_text(roles[i]);
                assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "not a role");
        }
        given_request(f)->n_roles = LIMIT_USER_ROLES + 1;
        assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "it may have");
}

static void the_audience_is_the_uri_of_a_web_application(void **state)
{
        static const char *const bad[] = { "", "tcp://127.0.0.1:5432", "HTTP://x", "http:/x", "ftp://x", "http://a b", "http://a\nb", "http://a\xc3\xb6", "example.com" };
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                given_request(f)->uri = pb_text(bad[i]);
                assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "not the uri");
        }
        AUTO_MEM char *most = mem_printf("http://%0*d", LIMIT_APP_URI - 7, 0);
        AUTO_MEM char *more = mem_printf("http://%0*d", LIMIT_APP_URI - 6, 0);
        given_request(f)->uri = most;
        assert_done(checked(f));
        given_request(f)->uri = more;
        assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "not the uri");
}

static void traits_have_any_text_but_each_name_once(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *longest = mem_printf("%0*d", LIMIT_NAME, 0);
        AUTO_MEM char *longer = mem_printf("%0*d", LIMIT_NAME + 1, 0);

        given_request(f);
        add_trait(f, "na\"me \n \xe2\x82\xac");
        f->values[0] = pb_text("\x01\"\\\xf0\x9f\x98\x80");
        f->values[1] = pb_text("");
        f->values[2] = longest;
        f->trait_list[0].n_values = f->trait_list[1].n_values = 3;
        assert_done(checked(f));
        assert_int_equal(f->token.trait_count, 2);
        add_trait(f, "logins");
        assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "comes twice");
        given_request(f)->traits[0]->name = longer;
        assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "not a trait");
        given_request(f)->traits[0]->name = pb_text("");
        assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "not a trait");
        given_request(f);
        f->values[0] = longer;
        assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "a value of a trait");
        f->values[0] = pb_text("\xff");
        assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "a value of a trait");
        given_request(f)->traits[0]->n_values = LIMIT_ROLE_ITEMS + 1;
        assert_refused(checked(f), ERROR_INVALID_ARGUMENT, "values");
        given_request(f)->n_roles = 0; /* the application does not get them */
        f->request.n_traits = 0;
        assert_done(checked(f));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(takes_the_claims_from_typed_fields, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_token_ends_with_the_identity_and_after_the_limit, set_up, tear_down),
                cmocka_unit_test_setup_teardown(refuses_users_and_roles_that_it_would_not_certify, set_up, tear_down),
                cmocka_unit_test_setup_teardown(the_audience_is_the_uri_of_a_web_application, set_up, tear_down),
                cmocka_unit_test_setup_teardown(traits_have_any_text_but_each_name_once, set_up, tear_down),
        };

        return cmocka_run_group_tests_name("policy_token", tests, NULL, NULL);
}
