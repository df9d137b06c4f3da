/* SPDX-License-Identifier: Apache-2.0 */
#include "acme/state.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "base/error_testing.h"
#include "net/made_cert_testing.h"
#include "os/file.h"
#include "os/file_testing.h"
#include "pki/cert_check.h"

enum { NOW = 1800000000, DAY = 24 * 3600 };

static const struct str names[] = { STR_INIT("a.example.com"), STR_INIT("b.example.com") };
static const char url[] = "https://ca.example.com/directory";

struct fixture {
        char *dir;
        struct acme_state state;
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        f->dir = test_dir_new();
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        acme_state_release(&f->state);
        test_dir_free(f->dir);
        free(f);
        return 0;
}

static struct error *load_from(struct fixture *f, const char *directory, size_t count, int64_t at)
{
        acme_state_release(&f->state);
        return acme_state_load(f->dir, directory, names, count, walltime_of_unix(at), &f->state);
}

static void load(struct fixture *f, int64_t at)
{
        assert_null(load_from(f, url, ARRAY_LEN(names), at));
}

static void keep(struct fixture *f, const char *alt_names)
{
        struct made_cert made = make_cert_at("web", alt_names, NULL, NOW - DAY, NOW + 89 * DAY);

        assert_null(acme_state_keep(&f->state, (struct acme_pair){ str_of(made.cert_pem), str_of(made.key_pem) }));
        made_cert_release(&made);
}

static void makes_an_account_key_and_keeps_it(void **state)
{
        struct fixture *f = *state;
        AUTO(secret) first = { 0 };
        AUTO(secret) again = { 0 };
        AUTO(secret) other = { 0 };

        load(f, NOW);
        assert_null(key_to_pem(&f->state.account, &first));
        assert_int_equal(f->state.pem.len, 0);
        AUTO_MEM char *path = mem_printf("%s/account.pem", f->state.dir);
        assert_int_equal(mode_of(path), 0600);
        assert_int_equal(mode_of(f->state.dir), 0700);
        load(f, NOW);
        assert_null(key_to_pem(&f->state.account, &again));
        assert_true(secret_equal(secret_str(&first), secret_str(&again)));
        assert_null(load_from(f, "https://other.example.com/directory", 1, NOW)); /* another CA, another account */
        assert_null(key_to_pem(&f->state.account, &other));
        assert_false(secret_equal(secret_str(&first), secret_str(&other)));
}

static void does_not_replace_an_account_key_that_it_cannot_read(void **state)
{
        struct fixture *f = *state;

        load(f, NOW);
        AUTO_MEM char *path = mem_printf("%s/account.pem", f->state.dir);
        assert_null(file_write_atomic(path, STR("-----BEGIN"), 0600));
        assert_refused(load_from(f, url, 1, NOW), ERROR_INVALID_ARGUMENT, "account.pem");
        assert_null(file_write_atomic(path, STR("x"), 0644));
        assert_refused(load_from(f, url, 1, NOW), ERROR_PERMISSION_DENIED, "account.pem");
}

static void keeps_a_certificate_from_start_to_start(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) der = BUF_MAX(CERT_MAX);
        AUTO(key) key = { 0 };

        load(f, NOW);
        keep(f, "DNS:a.example.com,DNS:b.example.com");
        AUTO_MEM char *path = mem_printf("%s/certificate.pem", f->state.dir);
        assert_int_equal(mode_of(path), 0600);
        load(f, NOW + 80 * DAY);
        struct acme_pair pair = acme_state_pair(&f->state);
        assert_null(cert_pem_to_der(pair.cert_pem, &der));
        assert_null(key_from_pem(&key, pair.key_pem));
        assert_null(cert_check_key(buf_str(&der), &key));
        assert_int_equal(walltime_unix(f->state.times.not_after), NOW + 89 * DAY);
}

static void leaves_out_a_certificate_that_cannot_be_used(void **state)
{
        struct fixture *f = *state;

        load(f, NOW);
        keep(f, "DNS:a.example.com,DNS:b.example.com");
        load(f, NOW + 89 * DAY); /* expired */
        assert_int_equal(f->state.pem.len, 0);
        load(f, NOW);
        assert_true(f->state.pem.len > 0);
        assert_null(load_from(f, "https://staging.example.com/", 2, NOW)); /* another CA's */
        assert_int_equal(f->state.pem.len, 0);
        load(f, NOW);
        keep(f, "DNS:a.example.com");
        assert_null(load_from(f, url, 1, NOW));
        assert_true(f->state.pem.len > 0);
        load(f, NOW); /* b.example.com is a new name */
        assert_int_equal(f->state.pem.len, 0);
        AUTO_MEM char *path = mem_printf("%s/certificate.pem", f->state.dir);
        keep(f, "DNS:a.example.com,DNS:b.example.com");
        struct str stored = acme_state_pair(&f->state).cert_pem;
        AUTO_MEM char *broken = mem_printf("%.*s-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", STR_ARG(stored));
        assert_null(file_write_atomic(path, str_of(broken), 0600)); /* TLS refuses the chain */
        load(f, NOW);
        assert_int_equal(f->state.pem.len, 0);
        assert_null(file_write_atomic(path, STR("-----BEGIN"), 0600));
        load(f, NOW);
        assert_int_equal(f->state.pem.len, 0);
}

static void refuses_to_keep_a_key_of_another_certificate(void **state)
{
        struct fixture *f = *state;
        struct made_cert one = make_cert_at("web", "DNS:a.example.com", NULL, NOW, NOW + DAY);
        struct made_cert other = make_cert_at("web", "DNS:a.example.com", NULL, NOW, NOW + DAY);

        load(f, NOW);
        assert_failed(acme_state_keep(&f->state, (struct acme_pair){ str_of(one.cert_pem), str_of(other.key_pem) }));
        assert_failed(acme_state_keep(&f->state, (struct acme_pair){ STR("x"), str_of(one.key_pem) }));
        AUTO_MEM char *chain = mem_printf("%s-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", one.cert_pem);
        assert_failed(acme_state_keep(&f->state, (struct acme_pair){ str_of(chain), str_of(one.key_pem) }));
        assert_int_equal(f->state.pem.len, 0);
        made_cert_release(&one);
        made_cert_release(&other);
}

static void renews_at_two_thirds_of_the_validity(void **state)
{
        static const struct {
                int64_t seconds, least, most;
        } cases[] = {
                { 90 * DAY, 57 * DAY, 60 * DAY },
                { 6 * DAY, 38 * DAY / 10, 4 * DAY },
                { 30, 19, 20 },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                const struct cert_times times = { walltime_of_unix(NOW), walltime_of_unix(NOW + cases[i].seconds) };

                assert_int_equal(walltime_unix(acme_renewal_time(times, 0)), NOW + cases[i].most);
                for (uint32_t random = 1; random < 3000; random++) {
                        int64_t at = walltime_unix(acme_renewal_time(times, random * 1431655765u));

                        assert_in_range(at, NOW + cases[i].least, NOW + cases[i].most);
                }
                assert_int_equal(duration_ms(acme_renewal_rest(times)) / 1000, cases[i].seconds / 3); /* never later than that, if the clock is right */
        }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(makes_an_account_key_and_keeps_it),
                TEST(does_not_replace_an_account_key_that_it_cannot_read),
                TEST(keeps_a_certificate_from_start_to_start),
                TEST(leaves_out_a_certificate_that_cannot_be_used),
                TEST(refuses_to_keep_a_key_of_another_certificate),
                cmocka_unit_test(renews_at_two_thirds_of_the_validity),
        };

        return cmocka_run_group_tests_name("acme_state", tests, NULL, NULL);
}
