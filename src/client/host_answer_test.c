/* SPDX-License-Identifier: Apache-2.0 */
#include "client/host_answer.h"

#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/net_testing.h"

#define ID "0b8a4a7e-7b0c-4b0a-9a53-3a3f5ef0a6ad"

/* Both ends must be children of one process, as they are children of ssh. */
struct sibling {
        pid_t pid;
        int out; /* the answer that it received, "" for none */
};

static struct sibling send_request(const char *query)
{
        int ends[2];

        assert_int_equal(pipe(ends), 0);
        pid_t pid = fork();
        if (pid == 0) {
                AUTO_PTR(arena) a = arena_new(4 * KiB);
                const char *id = host_answer_fetch(a, query);
                bool is_written = id == NULL || write(ends[1], id, strlen(id)) == (ssize_t)strlen(id);
                _exit(is_written ? 0 : 1);
        }
        close(ends[1]);
        return (struct sibling){ .pid = pid, .out = ends[0] };
}

static void assert_reported(struct sibling s, const char *expected)
{
        char text[128] = "";
        int status;
        ssize_t n = read(s.out, text, sizeof text - 1);

        assert_true(n >= 0);
        assert_string_equal(text, expected);
        close(s.out);
        assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
        assert_int_equal(status, 0);
}

/* The listener, until its socket closes. It answers after a byte on that socket. */
struct listening {
        struct loop loop;
        struct host_answer *h;
        const char *id; /* NULL: unknown */
};

static void on_byte(void *ctx, struct str bytes)
{
        struct listening *l = ctx;

        (void)bytes;
        host_answer_set(l->h, l->id);
}

static void on_end(void *ctx, struct error *err)
{
        struct listening *l = ctx;

        error_free(err);
        loop_stop(&l->loop);
}

static NO_RETURN void listen_until_end(const char *query, const char *id, int fd)
{
        static const struct stream_events events = { .on_read = on_byte, .on_end = on_end };
        struct listening l = { .id = id };

        assert_null(loop_init(&l.loop, NULL));
        l.h = host_answer_listen(&l.loop, query);
        assert_non_null(l.h);
        assert_int_equal(write(fd, "x", 1), 1);
        struct stream *s = socket_stream(&l.loop, fd);
        stream_listen(s, &events, &l);
        stream_read(s, true);
        loop_run(&l.loop);
        host_answer_close(l.h);
        stream_close(s);
        loop_run(&l.loop);
        loop_release(&l.loop);
        _exit(0);
}

static pid_t listen_as(const char *query, const char *id, int *ret_go)
{
        int there;
        char byte;

        assert_null(socket_pair(ret_go, &there));
        pid_t pid = fork();
        if (pid == 0) {
                close(*ret_go);
                listen_until_end(query, id, there);
        }
        close(there);
        assert_int_equal(read(*ret_go, &byte, 1), 1);
        return pid;
}

static void send_message(int go)
{
        assert_int_equal(write(go, "!", 1), 1);
}

static void finish(pid_t pid, int go)
{
        int status;

        close(go);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

static void is_given_to_waiting_and_to_later_clients(void **state)
{
        int go;

        (void)state;
        pid_t pid = listen_as("p c u root@web-1\n", ID, &go);
        struct sibling early = send_request("p c u root@web-1\n");
        send_message(go);
        assert_reported(early, ID);
        struct sibling late = send_request("p c u root@web-1\n");
        assert_reported(late, ID);
        finish(pid, go);
}

static void is_given_to_the_same_question_only(void **state)
{
        static const char *const others[] = { "p c u root@web-2\n", "p c u ubuntu@web-1\n", "p c v root@web-1\n", "q c u root@web-1\n", "\n" };
        int go;

        (void)state;
        pid_t pid = listen_as("p c u root@web-1\n", ID, &go);
        send_message(go);
        for (size_t i = 0; i < ARRAY_LEN(others); i++) {
                struct sibling other = send_request(others[i]);
                        assert_reported(other, "");
        }
        finish(pid, go);
}

static void is_empty_without_a_listener_or_an_answer(void **state)
{
        int go;

        (void)state;
        assert_reported(send_request("p c u root@web-1\n"), "");
        pid_t pid = listen_as("p c u root@web-1\n", NULL, &go);
        struct sibling waiting = send_request("p c u root@web-1\n");
        send_message(go);
        assert_reported(waiting, "");
        struct sibling left = send_request("p c u root@web-1\n");
        finish(pid, go);
        assert_reported(left, "");
        assert_reported(send_request("p c u root@web-1\n"), "");
}

/* For one ssh only: another process has another socket name. */
static void is_not_for_the_children_of_another(void **state)
{
        int go, status;

        (void)state;
        pid_t pid = listen_as("p c u root@web-1\n", ID, &go);
        send_message(go);
        pid_t other = fork();
        if (other == 0) {
                assert_reported(send_request("p c u root@web-1\n"), "");
                _exit(0);
        }
        assert_int_equal(waitpid(other, &status, 0), other);
        assert_int_equal(status, 0);
        finish(pid, go);
}

static void accepts_only_host_ids(void **state)
{
        int go;

        (void)state;
        pid_t pid = listen_as("p c u root@web-1\n", "web-1", &go);
        send_message(go);
        struct sibling s = send_request("p c u root@web-1\n");
        assert_reported(s, "");
        finish(pid, go);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(is_given_to_waiting_and_to_later_clients),
                cmocka_unit_test(is_given_to_the_same_question_only),
                cmocka_unit_test(is_empty_without_a_listener_or_an_answer),
                cmocka_unit_test(is_not_for_the_children_of_another),
                cmocka_unit_test(accepts_only_host_ids),
        };

        return cmocka_run_group_tests_name("host_answer", tests, NULL, NULL);
}
