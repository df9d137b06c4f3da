/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/diagnosis.h"

#include "base/mem.h"
#include "base/error_testing.h"

enum { DONE = 100 }; /* added to a step of the watch that has succeeded */

/* Reports steps of the watch, ended by -1. */
static void given_steps(struct diagnosis *d, const char *via, const int *steps)
{
        const struct watch *w = diagnosis_watch(d, via);

        diagnosis_pass(d, DIAGNOSIS_CONFIGURATION, "an address");
        for (; *steps >= 0; steps++)
                watch_report(w, (enum watch_step)(*steps % DONE), *steps >= DONE ? "a detail" : NULL);
}

#define STEPS(...) ((const int[]){ __VA_ARGS__, -1 })
#define DIALLED WATCH_DNS, DONE + WATCH_DNS, WATCH_TCP, DONE + WATCH_TCP

static const struct {
        const char *via;
        const int *steps;
        enum diagnosis_step failed;
} failures[] = {
        { "", STEPS(WATCH_DNS), DIAGNOSIS_DNS },
        { "", STEPS(WATCH_DNS, DONE + WATCH_DNS, WATCH_TCP), DIAGNOSIS_TCP },
        { "", STEPS(DIALLED, WATCH_TLS), DIAGNOSIS_TLS },
        { "", STEPS(DIALLED, WATCH_TLS, DONE + WATCH_TLS, WATCH_ALPN), DIAGNOSIS_ALPN },
        /* no step runs: the certificate was refused after the handshake */
        { "", STEPS(DIALLED, WATCH_TLS, DONE + WATCH_TLS, DONE + WATCH_ALPN), DIAGNOSIS_TLS },
        /* an HTTP proxy: what is below TLS is its own */
        { "10.0.0.1:3128", STEPS(WATCH_DNS), DIAGNOSIS_EGRESS },
        { "10.0.0.1:3128", STEPS(DIALLED, WATCH_TUNNEL), DIAGNOSIS_EGRESS },
        { "10.0.0.1:3128", STEPS(DIALLED, WATCH_TUNNEL, DONE + WATCH_TUNNEL, WATCH_TLS), DIAGNOSIS_TLS },
        /* a load balancer: the second connection repeats the first steps */
        { "", STEPS(DIALLED, WATCH_TLS, DONE + WATCH_TLS, WATCH_ALPN, WATCH_DNS, DONE + WATCH_DNS, WATCH_TCP), DIAGNOSIS_ALPN },
        { "", STEPS(DIALLED, WATCH_TLS, WATCH_DNS, DONE + WATCH_DNS, WATCH_TCP, DONE + WATCH_TCP, WATCH_TLS), DIAGNOSIS_TLS },
        { "", STEPS(DIALLED, WATCH_TLS, DONE + WATCH_TLS, WATCH_ALPN, DIALLED, WATCH_TLS, DONE + WATCH_TLS), DIAGNOSIS_TLS },
        { "", STEPS(DIALLED, WATCH_TLS, DONE + WATCH_TLS, WATCH_UPGRADE), DIAGNOSIS_UPGRADE },
        { "", STEPS(DIALLED, WATCH_TLS, DONE + WATCH_TLS, WATCH_UPGRADE, DIALLED, WATCH_TLS), DIAGNOSIS_UPGRADE },
        { "", STEPS(DIALLED, WATCH_TLS, DONE + WATCH_TLS, WATCH_UPGRADE, DONE + WATCH_UPGRADE, WATCH_INNER_TLS), DIAGNOSIS_INNER_TLS },
        { "", STEPS(DIALLED, WATCH_TLS, DONE + WATCH_TLS, WATCH_UPGRADE, DONE + WATCH_UPGRADE, WATCH_INNER_TLS, DONE + WATCH_INNER_TLS),
          DIAGNOSIS_INNER_TLS },
};

static void the_step_that_runs_has_failed(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(failures); i++) {
                AUTO(diagnosis) d = { 0 };

                given_steps(&d, failures[i].via, failures[i].steps);
                diagnosis_fail(&d, error_new(ERROR_UNAVAILABLE, "a reason"));
                assert_int_equal(diagnosis_failed_at(&d), failures[i].failed);
                for (int after = (int)failures[i].failed + 1; after < DIAGNOSIS_STEPS; after++)
                        assert_int_equal(d.rows[after].state, DIAGNOSIS_NOT_REACHED);
        }
}

static void without_a_step_the_configuration_has_failed(void **state)
{
        AUTO(diagnosis) d = { 0 };

        (void)state;
        diagnosis_fail(&d, error_new(ERROR_INVALID_ARGUMENT, "a reason"));
        assert_int_equal(diagnosis_failed_at(&d), DIAGNOSIS_CONFIGURATION);
}

static void a_direct_connection_needs_no_upgrade(void **state)
{
        AUTO(diagnosis) d = { 0 };

        (void)state;
        given_steps(&d, "", STEPS(DIALLED, WATCH_TLS, DONE + WATCH_TLS, DONE + WATCH_ALPN));
        diagnosis_connected(&d, "verified by ca_pin", "verified by the inner CA");
        assert_int_equal(diagnosis_failed_at(&d), DIAGNOSIS_STEPS);
        assert_int_equal(d.rows[DIAGNOSIS_EGRESS].state, DIAGNOSIS_NOT_NEEDED);
        assert_int_equal(d.rows[DIAGNOSIS_UPGRADE].state, DIAGNOSIS_NOT_NEEDED);
        assert_int_equal(d.rows[DIAGNOSIS_INNER_TLS].state, DIAGNOSIS_NOT_NEEDED);
        assert_string_equal(d.rows[DIAGNOSIS_TLS].detail, "a detail; verified by ca_pin");
}

static void through_a_balancer_the_inner_tls_is_verified(void **state)
{
        AUTO(diagnosis) d = { 0 };

        (void)state;
        d.outer_proof = "verified by the outer CA";
        given_steps(&d, "10.0.0.1:3128", STEPS(DIALLED, WATCH_TUNNEL, DONE + WATCH_TUNNEL, WATCH_TLS, DIALLED, WATCH_TUNNEL, DONE + WATCH_TUNNEL,
                                               WATCH_TLS, DONE + WATCH_TLS, WATCH_UPGRADE, DIALLED, WATCH_UPGRADE, DONE + WATCH_UPGRADE, WATCH_INNER_TLS,
                                               DONE + WATCH_INNER_TLS));
        diagnosis_connected(&d, "verified by ca_pin", "verified by the inner CA");
        assert_int_equal(d.rows[DIAGNOSIS_DNS].state, DIAGNOSIS_NOT_NEEDED);
        assert_int_equal(d.rows[DIAGNOSIS_ALPN].state, DIAGNOSIS_PASSED);
        assert_string_equal(d.rows[DIAGNOSIS_TLS].detail, "a detail; verified by the outer CA");
        assert_string_equal(d.rows[DIAGNOSIS_INNER_TLS].detail, "a detail; verified by the inner CA");
}

static void an_upgrade_without_a_direct_attempt_says_so(void **state)
{
        AUTO(diagnosis) d = { 0 };

        (void)state;
        given_steps(&d, "", STEPS(DIALLED, WATCH_TLS, DONE + WATCH_TLS, WATCH_UPGRADE, DIALLED, WATCH_TLS, DONE + WATCH_TLS, WATCH_UPGRADE));
        assert_int_equal(d.rows[DIAGNOSIS_ALPN].state, DIAGNOSIS_NOT_NEEDED);
}

static void the_certificate_that_is_refused_is_shown(void **state)
{
        AUTO(diagnosis) d = { 0 };

        (void)state;
        given_steps(&d, "", STEPS(DIALLED, WATCH_TLS));
        watch_note(diagnosis_watch(&d, ""), WATCH_TLS, "certificate for a name");
        watch_note(diagnosis_watch(&d, ""), WATCH_INNER_TLS, "certificate of a step that does not run");
        diagnosis_fail(&d, error_new(ERROR_UNAUTHENTICATED, "a reason"));
        assert_string_equal(d.rows[DIAGNOSIS_TLS].detail, "certificate for a name");
        assert_null(d.rows[DIAGNOSIS_INNER_TLS].detail);
}

/* What is printed while the walk goes on stays true. */
static void a_step_is_settled_once_it_is_not_repeated(void **state)
{
        const struct {
                const int *steps;
                size_t settled; /* number of the first steps that are */
        } rows[] = {
                { STEPS(WATCH_DNS), DIAGNOSIS_DNS },
                { STEPS(WATCH_DNS, DONE + WATCH_DNS), DIAGNOSIS_DNS },
                { STEPS(WATCH_DNS, DONE + WATCH_DNS, WATCH_TCP), DIAGNOSIS_TCP },
                { STEPS(DIALLED, WATCH_TLS), DIAGNOSIS_TLS },
                { STEPS(DIALLED, WATCH_TLS, DONE + WATCH_TLS, WATCH_ALPN), DIAGNOSIS_TLS },
                { STEPS(DIALLED, WATCH_TLS, DONE + WATCH_TLS, WATCH_ALPN, DIALLED, WATCH_TLS, DONE + WATCH_TLS), DIAGNOSIS_TLS },
                { STEPS(DIALLED, WATCH_TLS, DONE + WATCH_TLS, WATCH_ALPN, DIALLED, WATCH_TLS, DONE + WATCH_TLS, WATCH_UPGRADE), DIAGNOSIS_UPGRADE },
                { STEPS(DIALLED, WATCH_TLS, DONE + WATCH_TLS, WATCH_UPGRADE, DONE + WATCH_UPGRADE, WATCH_INNER_TLS, DONE + WATCH_INNER_TLS),
                  DIAGNOSIS_INNER_TLS },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                AUTO(diagnosis) d = { 0 };

                given_steps(&d, "", rows[i].steps);
                for (size_t step = 0; step < DIAGNOSIS_STEPS; step++)
                        assert_int_equal(diagnosis_is_settled(&d, (enum diagnosis_step)step), step < rows[i].settled);
        }
}

static void a_direct_handshake_is_settled_with_its_proof(void **state)
{
        AUTO(diagnosis) d = { 0 };

        (void)state;
        given_steps(&d, "", STEPS(DIALLED, WATCH_TLS, DONE + WATCH_TLS, WATCH_ALPN, DONE + WATCH_ALPN));
        diagnosis_connected(&d, "verified by ca_pin", "verified by the inner CA");
        assert_false(diagnosis_is_settled(&d, DIAGNOSIS_TLS)); /* a warning may follow */
        diagnosis_begin(&d, DIAGNOSIS_JOIN);
        for (int step = 0; step < DIAGNOSIS_PAGE; step++)
                assert_true(diagnosis_is_settled(&d, (enum diagnosis_step)step));
        assert_false(diagnosis_is_settled(&d, DIAGNOSIS_JOIN));
}

static void a_warning_is_no_failure_and_the_first_stays(void **state)
{
        AUTO(diagnosis) d = { 0 };

        (void)state;
        diagnosis_warn(&d, DIAGNOSIS_CONFIGURATION, error_new(ERROR_FAILED_PRECONDITION, "the first"));
        diagnosis_warn(&d, DIAGNOSIS_CONFIGURATION, error_new(ERROR_FAILED_PRECONDITION, "the second"));
        diagnosis_pass(&d, DIAGNOSIS_CONFIGURATION, "a detail");
        assert_int_equal(d.rows[DIAGNOSIS_CONFIGURATION].state, DIAGNOSIS_WARNED);
        assert_string_equal(d.rows[DIAGNOSIS_CONFIGURATION].err->what, "the first");
        assert_int_equal(diagnosis_failed_at(&d), DIAGNOSIS_STEPS);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_step_that_runs_has_failed),
                cmocka_unit_test(without_a_step_the_configuration_has_failed),
                cmocka_unit_test(a_direct_connection_needs_no_upgrade),
                cmocka_unit_test(through_a_balancer_the_inner_tls_is_verified),
                cmocka_unit_test(an_upgrade_without_a_direct_attempt_says_so),
                cmocka_unit_test(the_certificate_that_is_refused_is_shown),
                cmocka_unit_test(a_step_is_settled_once_it_is_not_repeated),
                cmocka_unit_test(a_direct_handshake_is_settled_with_its_proof),
                cmocka_unit_test(a_warning_is_no_failure_and_the_first_stays),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
