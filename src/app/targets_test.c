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
        static const char *const denied[] = {
                "169.254.169.254", "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "fd00:ec2::254", "fd00:0ec2:0::254", "100.100.100.200", "169.254.170.2", "169.254.170.23",
                "fd00:ec2::23", "fd20:ce::254", "169.254.42.42", "fd00:42::42", "169.254.0.23", "168.63.129.16",
                "64:ff9b::a9fe:a9fe", "64:ff9b::169.254.169.254", "64:ff9b:1::a9fe:a9fe", "2001:db8:122::a9fe:a9fe", /* NAT64 */
                "64:ff9b:1:a9fe:a9:fe00::", "64:ff9b:1:a9:fe:a9fe::", "64:ff9b:1:0:a9:fea9:fe00:0",
                "2002:a9fe:a9fe::", "2002:a9fe:a9fe::1", "::a9fe:a9fe", "::ffff:0:a9fe:a9fe", "fe80::5efe:a9fe:a9fe", "fe80::a9fe:a9fe", "fd00:c1::a9fe:a9fe",
        };
        static const char *const permitted[] = { "127.0.0.1", "::1", "::", "10.0.0.1", "169.254.169.253", "fd00:ec2::253", "8.8.8.8", "64:ff9b::808:808", "2002:808:808::1",
                                                 "2003:a9fe:a9fe::1", "64:ff9b:2:a9fe:a9:fe00::", "2001:db8::a9fe:a9fd", "2001:db8::a9fe:a9fe:1" };

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
        assert_false(permits(LIST("169.254.169.254"), NULL, "64:ff9b::a9fe:a9fe"));
        assert_true(permits(LIST("64:ff9b::/96"), NULL, "64:ff9b::a9fe:a9fe"));
}

static void denied_hosts_are_no_applications(void **state)
{
        (void)state;
        assert_false(permits(NULL, LIST("10.0.0.0/8"), "10.1.2.3"));
        assert_true(permits(NULL, LIST("10.0.0.0/8"), "11.1.2.3"));
        assert_false(permits(NULL, LIST("10.0.0.0/8"), "169.254.169.254"));
        assert_false(permits(NULL, LIST("10.0.0.0/8"), "64:ff9b::10.1.2.3"));
        assert_false(permits(NULL, LIST("10.0.0.0/8"), "2002:a01:203::1"));
        assert_false(permits(NULL, LIST("10.0.0.0/8"), "64:ff9b:1::10.1.2.3"));
        assert_true(permits(NULL, LIST("10.0.0.0/8"), "64:ff9b::11.1.2.3"));
        assert_true(permits(NULL, LIST("10.0.0.0/8", "0.0.0.0/8"), "2001:db8::10.1.2.3")); /* an ordinary address */
        assert_true(permits(NULL, LIST("10.0.0.0/8", "0.0.0.0/8"), "::1"));
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
