/* SPDX-License-Identifier: Apache-2.0 */
#include "pki/ca_phase.h"

#include "base/error_testing.h"

static const enum ca_phase all[] = { CA_STANDBY, CA_INIT, CA_UPDATE_CLIENTS, CA_UPDATE_SERVERS, CA_ROLLBACK };

static void finds_each_phase_by_its_name(void **state)
{
        enum ca_phase found;

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(all); i++) {
                assert_done(ca_phase_get(str_of(ca_phase_name(all[i])), &found));
                assert_int_equal(found, all[i]);
        }
        assert_refused(ca_phase_get(STR("initialized"), &found), ERROR_INVALID_ARGUMENT, "");
        assert_refused(ca_phase_get(STR(""), &found), ERROR_INVALID_ARGUMENT, "");
}

/* Row: the phase; column: its successor, in the order of `all`. */
static void allows_the_steps_of_the_drawing_only(void **state)
{
        static const bool may[5][5] = {
                [CA_STANDBY] = { [CA_INIT] = true },
                [CA_INIT] = { [CA_UPDATE_CLIENTS] = true, [CA_ROLLBACK] = true },
                [CA_UPDATE_CLIENTS] = { [CA_UPDATE_SERVERS] = true, [CA_ROLLBACK] = true },
                [CA_UPDATE_SERVERS] = { [CA_STANDBY] = true, [CA_ROLLBACK] = true },
                [CA_ROLLBACK] = { [CA_STANDBY] = true },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(all); i++)
                for (size_t k = 0; k < ARRAY_LEN(all); k++) {
                        struct error *err = ca_phase_check_step(all[i], all[k]);

                        assert_int_equal(err == NULL, may[all[i]][all[k]]);
                        error_free(err);
                }
        for (size_t i = 0; i < ARRAY_LEN(all); i++)
                assert_done(ca_phase_check_step(all[i], ca_phase_next(all[i])));
}

static void signs_servers_with_the_new_ca_a_phase_after_clients(void **state)
{
        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(all); i++) {
                bool is_late = all[i] == CA_UPDATE_SERVERS;

                assert_int_equal(ca_phase_signs_with_new(all[i], true), is_late);
                assert_int_equal(ca_phase_signs_with_new(all[i], false), is_late || all[i] == CA_UPDATE_CLIENTS);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(finds_each_phase_by_its_name),
                cmocka_unit_test(allows_the_steps_of_the_drawing_only),
                cmocka_unit_test(signs_servers_with_the_new_ca_a_phase_after_clients),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
