/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/child_message.h"
#include "base/mem.h"
#include "supervisor/internal.h"
#include "supervisor/notify.h"

/* The manager's end of NOTIFY_SOCKET, and a supervisor without services. */
struct fixture {
        struct supervisor sup;
        int fd;
        char text[8192];
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);
        struct sockaddr_un address = { .sun_family = AF_UNIX }; /* the kernel chooses an abstract name */
        socklen_t len = sizeof(address);
        char name[sizeof(address.sun_path) + 1] = "@";

        f->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        assert_int_equal(bind(f->fd, (const struct sockaddr *)&address, sizeof(sa_family_t)), 0);
        assert_int_equal(getsockname(f->fd, (struct sockaddr *)&address, &len), 0);
        memcpy(name + 1, address.sun_path + 1, len - sizeof(sa_family_t) - 1);
        setenv("NOTIFY_SOCKET", name, 1);
        unsetenv("WATCHDOG_USEC");
        unsetenv("WATCHDOG_PID");
        assert_null(loop_init(&f->sup.loop, NULL));
        f->sup.was_ready = true;
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        supervisor_release_manager(&f->sup);
        loop_release(&f->sup.loop);
        close(f->fd);
        unsetenv("NOTIFY_SOCKET");
        free(f);
        return 0;
}

/* The next message that the manager has received; "" if there is none. */
static const char *received(struct fixture *f)
{
        ssize_t len = recv(f->fd, f->text, sizeof(f->text) - 1, 0);

        f->text[len < 0 ? 0 : len] = '\0';
        return f->text;
}

static void a_status_of_any_text_is_one_line(void **state)
{
        static const char *const hostile[] = {
                "joined\nMAINPID=1", "\nREADY=1\nSTOPPING=1", "x\r\nWATCHDOG=trigger", "\x1b[2J\x07", "\xff\xfe", ("\xe2\x80\xae" "evil"), "",
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
                supervisor_take_membership(&f->sup, hostile[i]);
                supervisor_report_ready(&f->sup);
                for (const char *text = received(f); text[0] != '\0'; text = received(f)) {
                        assert_true(strcmp(text, "READY=1") == 0 || strncmp(text, "STATUS=", 7) == 0);
                        for (const char *c = text; *c != '\0'; c++)
                                assert_in_range((unsigned char)*c, 0x20, 0x7e);
                }
        }
}

static void a_long_line_is_cut(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *text = mem_alloc(CHILD_MESSAGE_TEXT + 1);

        memset(text, 'x', CHILD_MESSAGE_TEXT);
        text[CHILD_MESSAGE_TEXT] = '\0';
        supervisor_take_membership(&f->sup, text);
        assert_in_range(strlen(received(f)), 500, 2000);
}

static void changes_within_the_pace_are_one_report(void **state)
{
        struct fixture *f = *state;
        char text[32];

        for (int i = 0; i < 1000; i++) {
                snprintf(text, sizeof(text), "state %d", i);
                supervisor_take_membership(&f->sup, text);
        }
        assert_string_equal(received(f), "STATUS=state 0");
        assert_string_equal(received(f), "");
        supervisor_report_stopping(&f->sup);
        assert_string_equal(received(f), "STOPPING=1");
        assert_string_equal(received(f), "STATUS=state 999");
}

static void nothing_is_sent_without_a_manager(void **state)
{
        struct fixture *f = *state;

        unsetenv("NOTIFY_SOCKET");
        supervisor_take_membership(&f->sup, "joined");
        supervisor_report_ready(&f->sup);
        assert_string_equal(received(f), "");
}

static void the_interval_of_the_watchdog_is_a_positive_number(void **state)
{
        static const struct {
                const char *usec;
                int64_t expected;
        } rows[] = {
                { "60000000", 60000000 }, { "1", 1 }, { "0", 0 }, { "-5", 0 }, { "", 0 }, { "60s", 0 }, { "1e7", 0 }, { "99999999999999999999", 0 },
                { "9223372036854775807", 0 }, /* overflows in nanoseconds */
        };
        AUTO_MEM char *own = mem_printf("%ld", (long)getpid()), *other = mem_printf("%ld", (long)getppid());

        (void)state;
        assert_int_equal(notify_watchdog_usec(), 0);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                setenv("WATCHDOG_USEC", rows[i].usec, 1);
                assert_int_equal(notify_watchdog_usec(), rows[i].expected);
                setenv("WATCHDOG_PID", own, 1);
                assert_int_equal(notify_watchdog_usec(), rows[i].expected);
                setenv("WATCHDOG_PID", other, 1);
                assert_int_equal(notify_watchdog_usec(), 0);
                unsetenv("WATCHDOG_PID");
        }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(a_status_of_any_text_is_one_line),
                TEST(a_long_line_is_cut),
                TEST(changes_within_the_pace_are_one_report),
                TEST(nothing_is_sent_without_a_manager),
                TEST(the_interval_of_the_watchdog_is_a_positive_number),
        };

        return cmocka_run_group_tests_name("manager", tests, NULL, NULL);
}
