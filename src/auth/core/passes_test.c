/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/core/passes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/limits.h"
#include "loop/loop.h"

struct fixture {
        struct loop loop;
        struct fake_clock clock;
        struct passes passes;
        uint8_t ticket[PASS_TICKET_SIZE];
        char client[ADDRESS_TEXT_MAX];
};

static int set_up(void **state)
{
        static struct fixture f;

        f = (struct fixture){ 0 };
        fake_clock_init(&f.clock, 1700000000);
        assert_null(loop_init(&f.loop, &f.clock.clock));
        f.passes.loop = &f.loop;
        *state = &f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        passes_release(&f->passes);
        loop_release(&f->loop);
        return 0;
}

static int announced(struct fixture *f, const char *proxy, const char *client)
{
        AUTO_PTR(error) err = passes_announce(&f->passes, str_of(proxy), str_of(client), f->ticket);

        return err == NULL ? 0 : (int)err->code;
}

static bool redeemed(struct fixture *f)
{
        return passes_redeem(&f->passes, str_of_bytes(f->ticket, sizeof f->ticket), f->client);
}

static void a_ticket_is_good_once(void **state)
{
        struct fixture *f = *state;

        assert_int_equal(announced(f, "p1", "192.0.2.1:4711"), 0);
        assert_int_equal(announced(f, "p1", "[2001:db8::1]:1"), 0);
        assert_true(redeemed(f));
        assert_string_equal(f->client, "[2001:db8::1]:1");
        assert_false(redeemed(f));
        assert_int_equal(f->passes.by_ticket.count, 1);
}

static void a_ticket_expires(void **state)
{
        struct fixture *f = *state;

        assert_int_equal(announced(f, "p1", "192.0.2.1:4711"), 0);
        fake_clock_advance(&f->clock, MILLISECONDS(TIMEOUT_PASS));
        assert_false(redeemed(f));
        assert_int_equal(f->passes.by_ticket.count, 0);
}

static void takes_addresses_only(void **state)
{
        struct fixture *f = *state;

        assert_int_equal(announced(f, "p1", ""), ERROR_INVALID_ARGUMENT);
        assert_int_equal(announced(f, "p1", "web-1:22"), ERROR_INVALID_ARGUMENT);
}

static void leaves_room_for_other_proxies(void **state)
{
        struct fixture *f = *state;

        for (int i = 0; i < LIMIT_PASSES_PROXY; i++)
                assert_int_equal(announced(f, "p1", "192.0.2.1:4711"), 0);
        assert_int_equal(announced(f, "p1", "192.0.2.1:4711"), ERROR_RESOURCE_EXHAUSTED);
        assert_int_equal(announced(f, "p2", "192.0.2.1:4711"), 0);
        assert_true(redeemed(f));
        fake_clock_advance(&f->clock, MILLISECONDS(TIMEOUT_PASS));
        assert_int_equal(announced(f, "p1", "192.0.2.1:4711"), 0);
        assert_int_equal(f->passes.by_ticket.count, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(a_ticket_is_good_once),
                TEST(a_ticket_expires),
                TEST(takes_addresses_only),
                TEST(leaves_room_for_other_proxies),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
