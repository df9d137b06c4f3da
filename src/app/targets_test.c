/* SPDX-License-Identifier: Apache-2.0 */
#include "app/targets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/str.h"

static bool permits(const char *const *allowed, const char *const *denied, const char *address)
{
        Cteleport__V1__AppServiceConfig service = CTELEPORT__V1__APP_SERVICE_CONFIG__INIT;
        AUTO(app_targets) t = { 0 };
        struct ip_address ip;
        char *lists[2][8] = { { NULL } };

        for (; allowed != NULL && allowed[service.n_allowed_hosts] != NULL; service.n_allowed_hosts++)
                lists[0][service.n_allowed_hosts] = unconst(allowed[service.n_allowed_hosts]);
        for (; denied != NULL && denied[service.n_denied_hosts] != NULL; service.n_denied_hosts++)
                lists[1][service.n_denied_hosts] = unconst(denied[service.n_denied_hosts]);
        service.allowed_hosts = lists[0];
        service.denied_hosts = lists[1];
        app_targets_init(&t, &service);
        assert_true(ip_parse(str_of(address), &ip));
        return app_targets_permit(&t, &ip);
}

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void metadata_services_are_no_applications(void **state)
{
        static const char *const denied[] = { "169.254.169.254", "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "fd00:ec2::254", "fd00:0ec2:0::254", "100.100.100.200", "169.254.170.2" };
        static const char *const permitted[] = { "127.0.0.1", "::1", "10.0.0.1", "169.254.169.253", "fd00:ec2::253", "8.8.8.8" };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(denied); i++)
                assert_false(permits(NULL, NULL, denied[i]));
        for (size_t i = 0; i < ARRAY_LEN(permitted); i++)
                assert_true(permits(NULL, NULL, permitted[i]));
}

static void only_allowed_hosts_are_applications(void **state)
{
        (void)state;
        assert_true(permits(LIST("10.0.0.0/8", "::1"), NULL, "10.1.2.3"));
        assert_true(permits(LIST("10.0.0.0/8", "::1"), NULL, "::1"));
        assert_false(permits(LIST("10.0.0.0/8", "::1"), NULL, "127.0.0.1"));
        assert_false(permits(LIST("10.0.0.0/8"), NULL, "169.254.169.254"));
        assert_true(permits(LIST("169.254.169.254"), NULL, "::ffff:169.254.169.254"));
}

static void denied_hosts_are_no_applications(void **state)
{
        (void)state;
        assert_false(permits(NULL, LIST("10.0.0.0/8"), "10.1.2.3"));
        assert_true(permits(NULL, LIST("10.0.0.0/8"), "11.1.2.3"));
        assert_false(permits(NULL, LIST("10.0.0.0/8"), "169.254.169.254"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(metadata_services_are_no_applications),
                cmocka_unit_test(only_allowed_hosts_are_applications),
                cmocka_unit_test(denied_hosts_are_no_applications),
        };

        return cmocka_run_group_tests_name("targets", tests, NULL, NULL);
}
