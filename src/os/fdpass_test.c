/* SPDX-License-Identifier: Apache-2.0 */
#include "os/fdpass.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error_testing.h"
#include "base/mem.h"

struct pair {
        int here, there;
};

static int set_up(void **state)
{
        struct pair *p = NEW(struct pair);

        assert_null(fdpass_pair(&p->here, &p->there));
        *state = p;
        return 0;
}

static int tear_down(void **state)
{
        struct pair *p = *state;

        close(p->here);
        close(p->there);
        free(p);
        return 0;
}

static void keeps_the_bounds_of_messages(void **state)
{
        struct pair *p = *state;
        char buffer[16];
        size_t len;
        int fd;

        assert_null(fdpass_send(p->here, STR("ready"), -1));
        assert_null(fdpass_send(p->here, STR("stop"), -1));
        assert_null(fdpass_receive(p->there, buffer, sizeof(buffer), &len, &fd));
        assert_true(str_equal(str_of_bytes(buffer, len), STR("ready")));
        assert_int_equal(fd, -1);
        assert_null(fdpass_receive(p->there, buffer, sizeof(buffer), &len, &fd));
        assert_true(str_equal(str_of_bytes(buffer, len), STR("stop")));
}

static void hands_over_a_descriptor_that_works_and_closes_on_exec(void **state)
{
        struct pair *p = *state;
        char buffer[16];
        int pipe_ends[2], fd;
        size_t len;

        assert_int_equal(pipe(pipe_ends), 0);
        assert_null(fdpass_send(p->here, STR("link"), pipe_ends[1]));
        close(pipe_ends[1]);
        assert_null(fdpass_receive(p->there, buffer, sizeof(buffer), &len, &fd));
        assert_true(fd >= 0);
        assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        assert_int_equal(write(fd, "x", 1), 1);
        assert_int_equal(read(pipe_ends[0], buffer, 1), 1);
        close(fd);
        close(pipe_ends[0]);
}

static void passes_the_longest_message_and_refuses_a_longer_one(void **state)
{
        struct pair *p = *state;
        AUTO_MEM char *bytes = mem_alloc(FDPASS_MESSAGE_MAX + 1);
        AUTO_MEM char *buffer = mem_alloc(FDPASS_MESSAGE_MAX);
        size_t len;
        int fd;

        assert_null(fdpass_send(p->here, str_of_bytes(bytes, FDPASS_MESSAGE_MAX), -1));
        assert_null(fdpass_receive(p->there, buffer, FDPASS_MESSAGE_MAX, &len, &fd));
        assert_int_equal(len, FDPASS_MESSAGE_MAX);
        assert_code(fdpass_send(p->here, str_of_bytes(bytes, FDPASS_MESSAGE_MAX + 1), -1), ERROR_RESOURCE_EXHAUSTED);
}

static void refuses_a_message_longer_than_the_buffer_and_leaks_no_descriptor(void **state)
{
        struct pair *p = *state;
        char buffer[4];
        size_t len;
        int pipe_ends[2], fd;

        assert_int_equal(pipe(pipe_ends), 0);
        assert_null(fdpass_send(p->here, STR("too long"), pipe_ends[1]));
        close(pipe_ends[1]);
        assert_code(fdpass_receive(p->there, buffer, sizeof(buffer), &len, &fd), ERROR_INVALID_ARGUMENT);
        assert_int_equal(read(pipe_ends[0], buffer, 1), 0); /* no process holds the other end */
        close(pipe_ends[0]);
}

static void refuses_two_descriptors_in_one_message(void **state)
{
        struct pair *p = *state;
        char buffer[16];
        size_t len;
        int pipe_ends[2], fd;
        union {
                struct cmsghdr align;
                char bytes[CMSG_SPACE(2 * sizeof(int))];
        } control = { 0 };
        struct iovec bytes = { .iov_base = "two", .iov_len = 3 };
        struct msghdr msg = {
                .msg_iov = &bytes,
                .msg_iovlen = 1,
                .msg_control = control.bytes,
                .msg_controllen = sizeof(control.bytes),
        };

        assert_int_equal(pipe(pipe_ends), 0);
        int both[2] = { pipe_ends[1], pipe_ends[1] };
        struct cmsghdr *header = CMSG_FIRSTHDR(&msg);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(both));
        memcpy(CMSG_DATA(header), both, sizeof(both));
        assert_int_equal(sendmsg(p->here, &msg, 0), 3);
        close(pipe_ends[1]);
        assert_code(fdpass_receive(p->there, buffer, sizeof(buffer), &len, &fd), ERROR_INVALID_ARGUMENT);
        assert_int_equal(read(pipe_ends[0], buffer, 1), 0);
        close(pipe_ends[0]);
}

static void answers_unavailable_when_it_would_block(void **state)
{
        struct pair *p = *state;
        char buffer[4];
        size_t len;
        int fd;

        assert_int_equal(fcntl(p->there, F_SETFL, O_NONBLOCK), 0);
        assert_code(fdpass_receive(p->there, buffer, sizeof(buffer), &len, &fd), ERROR_UNAVAILABLE);
}

static void reads_the_end_when_the_other_side_is_gone(void **state)
{
        struct pair *p = *state;
        char buffer[4];
        size_t len = 1;
        int fd;

        assert_null(fdpass_send(p->there, STR("unread"), -1));
        close(p->here);
        assert_null(fdpass_receive(p->there, buffer, sizeof(buffer), &len, &fd));
        assert_int_equal(len, 0);
        assert_code(fdpass_send(p->there, STR("hello"), -1), ERROR_UNAVAILABLE);
        p->here = dup(p->there); /* for tear_down */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(keeps_the_bounds_of_messages),
                TEST(hands_over_a_descriptor_that_works_and_closes_on_exec),
                TEST(passes_the_longest_message_and_refuses_a_longer_one),
                TEST(refuses_a_message_longer_than_the_buffer_and_leaks_no_descriptor),
                TEST(refuses_two_descriptors_in_one_message),
                TEST(answers_unavailable_when_it_would_block),
                TEST(reads_the_end_when_the_other_side_is_gone),
        };

        return cmocka_run_group_tests_name("fdpass", tests, NULL, NULL);
}
