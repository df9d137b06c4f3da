/* SPDX-License-Identifier: Apache-2.0 */
#include "app/user_tls.h"

#include "join/identity_testing.h"

struct fixture {
        struct fake_cluster cluster;
        struct user_tls tls;
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        fake_cluster_init(&f->cluster, walltime_of_unix(1800000000));
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        user_tls_release(&f->tls);
        fake_cluster_release(&f->cluster);
        free(f);
        return 0;
}

/* As the Auth Service sends it, with the CA of users. */
static struct host_identity whole_identity(struct fixture *f)
{
        struct host_identity id = fake_identity(&f->cluster, "App");

        id.certs.tls_user_ca_certs[0] = buf_str(&f->cluster.ca.cert);
        id.certs.tls_user_ca_count = 1;
        return id;
}

static struct tls_context *given(struct fixture *f, const struct host_identity *id, bool is_tcp)
{
        struct tls_context *context = NULL;

        assert_done(user_tls_get(&f->tls, id, is_tcp, &context));
        assert_non_null(context);
        return context;
}

static void there_is_none_without_a_certificate_or_a_ca_of_users(void **state)
{
        struct fixture *f = *state;
        struct host_identity none = { 0 }, without_users = fake_identity(&f->cluster, "App");
        struct tls_context *context = NULL;

        assert_refused(user_tls_get(&f->tls, &none, true, &context), ERROR_UNAVAILABLE, "no certificate of the role App yet");
        assert_refused(user_tls_get(&f->tls, &without_users, true, &context), ERROR_UNAVAILABLE, "not received the CA of users yet");
        assert_null(context);
        host_identity_release(&without_users);
}

static void an_identity_has_one_context_for_each_kind(void **state)
{
        struct fixture *f = *state;
        struct host_identity id = whole_identity(f);
        struct tls_context *tcp = given(f, &id, true), *http = given(f, &id, false);

        assert_ptr_not_equal(tcp, http);
        assert_ptr_equal(given(f, &id, true), tcp);
        assert_ptr_equal(given(f, &id, false), http);
        host_identity_release(&id);
}

static void contexts_of_a_renewed_identity_are_new(void **state)
{
        struct fixture *f = *state;
        struct host_identity first = whole_identity(f), second = whole_identity(f);

        given(f, &first, true);
        given(f, &first, false);
        given(f, &second, true);
        assert_null(f->tls.http); /* that of the first identity is gone */
        assert_true(str_equal(str_of(f->tls.serial), second.serial));
        given(f, &second, false);
        host_identity_release(&first);
        host_identity_release(&second);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(there_is_none_without_a_certificate_or_a_ca_of_users),
                TEST(an_identity_has_one_context_for_each_kind),
                TEST(contexts_of_a_renewed_identity_are_new),
        };
#undef TEST

        return cmocka_run_group_tests(tests, NULL, NULL);
}
