/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log_sink.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"

enum { LINES = 60 }; /* each of which would wait for TIMEOUT_JOURNAL */

static struct duration time_of_lines(int count)
{
        struct instant before = clock_now(clock_system());

        for (int i = 0; i < count; i++)
                log_debug("something happened", LOG_INT("n", i)); /* debug lines have no rate */
        return instant_since(clock_now(clock_system()), before);
}

static void assert_waited_once(struct duration time)
{
        assert_in_range(duration_ms(time), TIMEOUT_JOURNAL, (int64_t)LINES / 2 * TIMEOUT_JOURNAL);
}

/* Everything that can be read now. */
static char *read_all(int fd)
{
        static char text[MiB];
        size_t len = 0;

        assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
        for (ssize_t n; len < sizeof(text) - 1 && (n = read(fd, text + len, sizeof(text) - 1 - len)) > 0; len += (size_t)n)
                ;
        for (size_t i = 0; i < len; i++)
                if (text[i] == '\0') /* lengths in entries of the journal */
                        text[i] = ' ';
        text[len] = '\0';
        return text;
}

struct fixture {
        int journal[2], out[2];
};

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);

        assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, f->journal), 0);
        assert_int_equal(pipe(f->out), 0);
        log_setup((struct log_options){ .level = LOG_DEBUG, .fd = f->out[1] });
        log_info("begin"); /* reports what the test before has lost */
        read_all(f->out[0]);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        log_to_journal(-1);
        log_setup((struct log_options){ .level = LOG_INFO, .fd = STDERR_FILENO });
        for (int i = 0; i < 2; i++) {
                close(f->journal[i]);
                close(f->out[i]);
        }
        free(f);
        return 0;
}

static void fill(int socket)
{
        char datagram[KiB] = { 0 };

        while (send(socket, datagram, sizeof(datagram), MSG_DONTWAIT) > 0)
                ;
}

/* A journald that hangs: its socket is full, and so would be its stream, which is standard error. */
static void a_journal_that_hangs_delays_one_line(void **state)
{
        struct fixture *f = *state;

        fill(f->journal[1]);
        log_to_journal(f->journal[1]);
        assert_waited_once(time_of_lines(LINES));
        assert_string_equal(read_all(f->out[0]), "");
}

static void the_next_line_is_followed_by_the_number_of_lost_lines(void **state)
{
        struct fixture *f = *state;

        fill(f->journal[1]);
        log_to_journal(f->journal[1]);
        time_of_lines(LINES);
        read_all(f->journal[0]);
        log_info("the journal is back");
        log_info("and stays");
        const char *text = read_all(f->journal[0]);
        const char *back = strstr(text, "the journal is back"), *lost = strstr(text, "Log lines were lost"), *stays = strstr(text, "and stays");
        assert_non_null(back);
        assert_non_null(lost);
        assert_non_null(stays);
        assert_true(back < lost && lost < stays);
        assert_non_null(strstr(lost, "lines:60"));
        assert_null(strstr(stays, "Log lines were lost"));
}

static void fill_pipe(int fd)
{
        char page[4 * KiB] = { 0 };

        assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
        while (write(fd, page, sizeof(page)) > 0)
                ;
        assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
}

/* The signer has no socket of the journal, and standard error of all processes may be a pipe. */
static void a_full_pipe_delays_one_line(void **state)
{
        struct fixture *f = *state;

        fill_pipe(f->out[1]);
        assert_waited_once(time_of_lines(LINES));
        read_all(f->out[0]);
        log_info("the reader is back");
        assert_non_null(strstr(read_all(f->out[0]), "Log lines were lost: the log could not be written lines:60 "));
}

/* poll() reports room for one page; the write of a longer line would wait for a reader that may never come. */
static void a_pipe_with_little_room_delays_nothing(void **state)
{
        struct fixture *f = *state;
        char page[4 * KiB], text[6 * KiB];

        memset(text, 'x', sizeof(text));
        text[sizeof(text) - 1] = '\0';
        fill_pipe(f->out[1]);
        assert_int_equal(read(f->out[0], page, sizeof(page)), sizeof(page));
        log_info(text);
        read_all(f->out[0]);
        log_info(text);
        log_info("the reader is back");
        const char *all = read_all(f->out[0]);
        assert_non_null(strstr(all, text));
        assert_non_null(strstr(all, "the reader is back"));
        assert_non_null(strstr(all, "Log lines were lost: the log could not be written lines:1 "));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_journal_that_hangs_delays_one_line, set_up, tear_down),
                cmocka_unit_test_setup_teardown(the_next_line_is_followed_by_the_number_of_lost_lines, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_full_pipe_delays_one_line, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_pipe_with_little_room_delays_nothing, set_up, tear_down),
        };

        return cmocka_run_group_tests_name("log_sink", tests, NULL, NULL);
}
