/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/sign_service.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "aws/sign_message.h"

#define CHALLENGE "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define BINDING "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SECRET "the+secret/access+key"

struct variable {
        const char *name, *value;
};

static const struct variable with_keys[] = {
        { "AWS_ACCESS_KEY_ID", "AKIAEXAMPLE" }, { "AWS_SECRET_ACCESS_KEY", SECRET }, { "AWS_REGION", "us-west-2" }, { 0 },
};
static const struct variable with_half_a_key[] = {
        { "AWS_ACCESS_KEY_ID", "AKIAEXAMPLE" }, { "AWS_REGION", "us-west-2" }, { "AWS_EC2_METADATA_DISABLED", "true" }, { 0 },
};

static const char *variable_of(void *ctx, const char *name)
{
        for (const struct variable *v = ctx; v->name != NULL; v++)
                if (strcmp(v->name, name) == 0)
                        return v->value;
        return NULL;
}

/* The answer to the packet; returns its length, 0 when the service hangs up without an answer. */
static size_t send_request(struct str packet, const struct variable *variables, char *answer, size_t room, struct error **ret_err)
{
        int pair[2];
        const struct aws_resolve_options options = {
                .getenv = variable_of, .getenv_ctx = (void *)variables, .home = "/nonexistent",
        };

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(send(pair[0], packet.ptr, packet.len, 0), packet.len);
        *ret_err = aws_sign_serve(pair[1], &options);
        close(pair[1]);
        ssize_t len = recv(pair[0], answer, room, 0);
        close(pair[0]);
        assert_true(len >= 0);
        return (size_t)len;
}

static bool holds(struct str s, struct str part)
{
        return memmem(s.ptr, s.len, part.ptr, part.len) != NULL;
}

static void signs_the_challenge_and_hands_out_no_key(void **state)
{
        static char packet[AWS_SIGN_ANSWER_MAX];
        struct aws_sign_answer read;
        struct error *err;
        size_t len = send_request(STR("\x01" CHALLENGE BINDING), with_keys, packet, sizeof packet, &err);

        (void)state;
        assert_null(err);
        assert_null(aws_sign_answer_parse(str_of_bytes(packet, len), &read));
        assert_int_equal(read.code, 0);
        assert_true(holds(read.request, STR("X-Teleport-Challenge: " CHALLENGE "\r\n")));
        assert_true(holds(read.request, STR("X-Cteleport-Join-Binding: " BINDING "\r\n")));
        assert_true(holds(read.request, STR("Credential=AKIAEXAMPLE/")));
        assert_true(str_equal(read.region, STR("us-west-2")));
        assert_true(str_equal(read.region_source, STR("AWS_REGION")));
        assert_false(holds(str_of_bytes(packet, len), STR(SECRET)));
}

static void answers_why_it_cannot_sign(void **state)
{
        static char packet[AWS_SIGN_ANSWER_MAX];
        struct aws_sign_answer read;
        struct error *err;
        size_t len = send_request(STR("\x01" CHALLENGE BINDING), with_half_a_key, packet, sizeof packet, &err);

        (void)state;
        assert_null(err);
        assert_null(aws_sign_answer_parse(str_of_bytes(packet, len), &read));
        assert_int_not_equal(read.code, 0);
        assert_int_equal(read.request.len, 0);
        assert_true(read.error.len > 0);
}

static void answers_nothing_else(void **state)
{
        static const struct str table[] = {
                STR("\x02" CHALLENGE BINDING), STR("\x01" CHALLENGE BINDING "x"), STR("\x01" CHALLENGE), STR("GET / HTTP/1.1"),
        };
        char packet[64];

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(table); i++) {
                struct error *err;

                assert_int_equal(send_request(table[i], with_keys, packet, sizeof packet, &err), 0);
                assert_non_null(err);
                assert_int_equal(err->code, ERROR_INVALID_ARGUMENT);
                error_free(err);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(signs_the_challenge_and_hands_out_no_key),
                cmocka_unit_test(answers_why_it_cannot_sign),
                cmocka_unit_test(answers_nothing_else),
        };

        return cmocka_run_group_tests_name("sign_service", tests, NULL, NULL);
}
