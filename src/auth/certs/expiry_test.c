/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/certs/expiry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "auth/core/caller.h"

enum { NOW = 1700000000, DAY = 86400 };

static void counts_hosts_that_were_not_renewed(void **state)
{
        static struct auth auth;
        static const struct {
                const char *role;
                int64_t left; /* of the certificate of the connection; 0: it has none */
        } rows[] = {
                { "Instance", DAY },             /* new */
                { "Instance", DAY / 2 },         /* being renewed */
                { "Instance", DAY / 4 + 1 },     /* late */
                { "Instance", DAY / 4 },         /* counts */
                { "Instance", 1 },               /* counts */
                { "Instance", 0 },               /* the machine of the Auth Service */
                { "Node", 1 },                   /* a former process that finishes its sessions gets no new one */
                { "", 1 },                       /* a user */
        };
        struct fake_clock clock;

        (void)state;
        fake_clock_init(&clock, NOW);
        assert_null(loop_init(&auth.loop, &clock.clock));
        auth.host_cert_ttl = HOURS(24);
        assert_int_equal(expiry_count_hosts(&auth), 0);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                caller_new(&auth, 0, STR("id"), str_of(rows[i].role), "192.0.2.1:1")->cert_not_after =
                        walltime_of_unix(rows[i].left == 0 ? 0 : NOW + rows[i].left);
        assert_int_equal(expiry_count_hosts(&auth), 2);
        fake_clock_advance(&clock, SECONDS(1));
        assert_int_equal(expiry_count_hosts(&auth), 3);
        while (auth.callers != NULL)
                caller_free(auth.callers);
        loop_release(&auth.loop);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(counts_hosts_that_were_not_renewed),
        };

        return cmocka_run_group_tests_name("expiry", tests, NULL, NULL);
}
