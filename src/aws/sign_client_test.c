/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/sign_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop/loop.h"

#define CHALLENGE "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define BINDING "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct fixture {
        struct loop loop;
        struct aws_sign_client *client;
        int here, there; /* the client's end, until it owns it; the other end, which a test serves */
        int done;
        struct aws_signed got;
        struct error *err;
};

static int set_up(void **state)
{
        struct fixture *f = calloc(1, sizeof *f);
        int pair[2];

        *state = f;
        assert_null(loop_init(&f->loop, NULL));
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        f->here = pair[0];
        f->there = pair[1];
        f->client = aws_sign_client_new(&f->loop);
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        aws_sign_client_free(f->client);
        loop_release(&f->loop);
        if (f->here >= 0)
                close(f->here);
        if (f->there >= 0)
                close(f->there);
        aws_signed_release(&f->got);
        error_free(f->err);
        free(f);
        return 0;
}

static void on_done(void *ctx, struct aws_signed *s, struct error *err)
{
        struct fixture *f = ctx;

        f->done++;
        f->err = err;
        assert_true((s == NULL) == (err != NULL));
        if (s != NULL) {
                f->got = *s;
                *s = (struct aws_signed){ 0 };
        }
}

static void connect_it(struct fixture *f)
{
        aws_sign_client_connect(f->client, f->here);
        f->here = -1;
}

static void send_request(struct fixture *f)
{
        aws_sign_client_request(f->client, STR(CHALLENGE), STR(BINDING), on_done, f);
        assert_int_equal(f->done, 0); /* never from inside the call */
}

static void send_bytes(struct fixture *f, struct str bytes)
{
        int room = AWS_SIGN_ANSWER_MAX + 1;

        assert_int_equal(setsockopt(f->there, SOL_SOCKET, SO_SNDBUF, &room, sizeof room), 0);
        assert_int_equal(send(f->there, bytes.ptr, bytes.len, 0), bytes.len);
}

static void answer(struct fixture *f, const struct aws_sign_answer *a)
{
        AUTO(buf) packet = BUF_MAX(AWS_SIGN_ANSWER_MAX);

        aws_sign_answer_put(&packet, a);
        assert_null(buf_finish(&packet, "answer"));
        send_bytes(f, buf_str(&packet));
}

static void assert_fails(struct fixture *f, enum error_code code)
{
        loop_run(&f->loop);
        assert_int_equal(f->done, 1);
        assert_non_null(f->err);
        assert_int_equal(f->err->code, code);
}

static void assert_requested(struct fixture *f)
{
        char packet[AWS_SIGN_REQUEST_SIZE + 1];
        struct aws_sign_request read;
        ssize_t len = recv(f->there, packet, sizeof packet, 0);

        assert_int_equal(len, AWS_SIGN_REQUEST_SIZE);
        assert_null(aws_sign_request_parse(str_of_bytes(packet, (size_t)len), &read));
        assert_true(str_equal(read.challenge, STR(CHALLENGE)));
        assert_true(str_equal(read.binding, STR(BINDING)));
}

static void delivers_the_signed_request(void **state)
{
        struct fixture *f = *state;

        connect_it(f);
        assert_false(aws_sign_client_has_requested(f->client));
        send_request(f);
        assert_true(aws_sign_client_has_requested(f->client));
        assert_requested(f);
        answer(f, &(struct aws_sign_answer){ .request = STR("POST /"), .region = STR("eu-west-1") });
        loop_run(&f->loop);
        assert_int_equal(f->done, 1);
        assert_null(f->err);
        assert_true(str_equal(f->got.answer.request, STR("POST /")));
        assert_true(str_equal(f->got.answer.region, STR("eu-west-1")));
}

static void asks_when_the_socket_comes(void **state)
{
        struct fixture *f = *state;

        send_request(f);
        connect_it(f);
        assert_requested(f);
        answer(f, &(struct aws_sign_answer){ .request = STR("POST /") });
        loop_run(&f->loop);
        assert_int_equal(f->done, 1);
        assert_null(f->err);
}

/* Every text of the largest permitted length, in one packet. */
static void takes_the_largest_answer(void **state)
{
        static char text[LIMIT_STS_REQUEST];
        struct fixture *f = *state;
        const struct str all = str_of_bytes(memset(text, 'x', sizeof text), sizeof text);
        struct aws_sign_answer a = {
                .request = all, .source = all, .region = all, .region_source = all, .sts_host = all, .hint = all, .cause = all,
                .warning_count = AWS_SIGN_WARNINGS,
        };

        for (size_t i = 0; i < AWS_SIGN_WARNINGS; i++)
                a.warnings[i] = all;
        connect_it(f);
        send_request(f);
        answer(f, &a);
        loop_run(&f->loop);
        assert_int_equal(f->done, 1);
        assert_null(f->err);
        assert_int_equal(f->got.packet.len, AWS_SIGN_ANSWER_MAX - AWS_SIGN_TEXT); /* all but `error` */
        assert_int_equal(f->got.answer.request.len, LIMIT_STS_REQUEST);
        assert_int_equal(f->got.answer.warnings[AWS_SIGN_WARNINGS - 1].len, AWS_SIGN_SHORT_TEXT);
}

static void reports_the_reason_of_a_failed_signature(void **state)
{
        struct fixture *f = *state;

        connect_it(f);
        send_request(f);
        answer(f, &(struct aws_sign_answer){ .code = ERROR_NOT_FOUND, .error = STR("profile 'prod' is not there"),
                                             .hint = STR("make it"), .cause = STR("it says: x") });
        assert_fails(f, ERROR_NOT_FOUND);
        assert_string_equal(f->err->what, "profile 'prod' is not there");
        assert_string_equal(f->err->hint, "make it");
        assert_string_equal(f->err->cause->what, "it says: x");
}

static void refuses_an_invalid_answer(void **state)
{
        static char long_packet[AWS_SIGN_ANSWER_MAX + 1];
        const struct {
                struct str packet;
                enum error_code code;
        } table[] = {
                { STR("x"), ERROR_INVALID_ARGUMENT },
                { str_of_bytes(long_packet, sizeof long_packet), ERROR_RESOURCE_EXHAUSTED },
        };

        for (size_t i = 0; i < ARRAY_LEN(table); i++) {
                if (i > 0) {
                        tear_down(state);
                        set_up(state);
                }
                struct fixture *f = *state;
                connect_it(f);
                send_request(f);
                send_bytes(f, table[i].packet);
                assert_fails(f, table[i].code);
        }
}

static void reports_when_the_other_process_ends(void **state)
{
        struct fixture *f = *state;

        connect_it(f);
        send_request(f);
        close(f->there);
        f->there = -1;
        assert_fails(f, ERROR_UNAVAILABLE);
}

static void reports_when_the_other_process_had_ended_before(void **state)
{
        struct fixture *f = *state;

        connect_it(f);
        close(f->there);
        f->there = -1;
        send_request(f);
        assert_fails(f, ERROR_UNAVAILABLE);
}

static void reports_when_there_will_be_no_other_process(void **state)
{
        struct fixture *f = *state;

        aws_sign_client_fail(f->client, error_new(ERROR_RESOURCE_EXHAUSTED, "no more processes"));
        send_request(f);
        assert_fails(f, ERROR_RESOURCE_EXHAUSTED);
}

static void asks_nothing_of_another_form(void **state)
{
        struct fixture *f = *state;
        char byte;

        connect_it(f);
        aws_sign_client_request(f->client, STR("GET / HTTP/1.1"), STR(BINDING), on_done, f);
        assert_fails(f, ERROR_INVALID_ARGUMENT);
        assert_int_equal(recv(f->there, &byte, 1, 0), 0);
}

static void ends_once_when_it_is_cancelled(void **state)
{
        struct fixture *f = *state;
        char packet[AWS_SIGN_REQUEST_SIZE];

        connect_it(f);
        send_request(f);
        aws_sign_client_cancel(f->client);
        aws_sign_client_cancel(f->client);
        assert_fails(f, ERROR_CANCELLED);
        assert_int_equal(recv(f->there, packet, sizeof packet, 0), AWS_SIGN_REQUEST_SIZE);
        assert_int_equal(recv(f->there, packet, sizeof packet, 0), 0); /* it has hung up */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(delivers_the_signed_request),
                TEST(asks_when_the_socket_comes),
                TEST(takes_the_largest_answer),
                TEST(reports_the_reason_of_a_failed_signature),
                TEST(refuses_an_invalid_answer),
                TEST(reports_when_the_other_process_ends),
                TEST(reports_when_the_other_process_had_ended_before),
                TEST(reports_when_there_will_be_no_other_process),
                TEST(asks_nothing_of_another_form),
                TEST(ends_once_when_it_is_cancelled),
        };

        return cmocka_run_group_tests_name("sign_client", tests, NULL, NULL);
}
