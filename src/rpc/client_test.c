/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Servers that misbehave, against our client.
 */
#include "rpc/frames_testing.h"
#include "rpc/status.h"

struct fixture {
        struct fake_clock clock;
        struct loop loop;
        struct ear ear; /* the server's end, and the bytes sent by the client */
        struct buf out;
        struct rpc_client *client;
        int lost, lost_code;
        enum error_reason reason;
        int done, code;
        char what[128], text[64];
};

static void on_lost(void *ctx, struct error *err)
{
        struct fixture *f = ctx;

        f->lost++;
        f->lost_code = (int)err->code;
        error_free(err);
}

static int set_up(void **state)
{
        struct fixture *f = NEW(struct fixture);
        struct stream *ours, *theirs;

        fake_clock_init(&f->clock, 1700000000);
        assert_null(loop_init(&f->loop, &f->clock.clock));
        connected_pair(&f->loop, &ours, &theirs);
        f->out = BUF_MAX(64 * MiB);
        ear_listen(&f->ear, ours);
        f->ear.close_on_end = true;
        stream_read(ours, true);
        f->client = rpc_client_new(&f->loop, theirs, "cluster", on_lost, f);
        put_frame(&f->out, FRAME_SETTINGS, 0, 0, STR(""));
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        rpc_client_close(f->client);
        ear_release(&f->ear);
        buf_release(&f->out);
        loop_release(&f->loop);
        free(f);
        return 0;
}

static void on_done(void *ctx, const ProtobufCMessage *answer, struct error *err)
{
        struct fixture *f = ctx;

        f->done++;
        f->code = err == NULL ? 0 : (int)err->code;
        f->reason = err == NULL ? REASON_NONE : err->reason;
        if (answer != NULL)
                snprintf(f->text, sizeof f->text, "%s", ((const Everything *)answer)->text);
        if (err != NULL)
                snprintf(f->what, sizeof f->what, "%s", err->what);
        error_free(err);
}

static void send_out(struct fixture *f)
{
        stream_write(f->ear.stream, buf_str(&f->out));
        buf_clear(&f->out);
        run_a_while(&f->loop);
}

static void call(struct fixture *f)
{
        Everything msg = everything_of("hello");

        rpc_client_unary(f->client,
                         (struct rpc_client_call_options){
                                 .path = "/cteleport.test.Service/Echo",
                                 .response = &cteleport__test__everything__descriptor,
                                 .response_max = 1 * KiB,
                                 .within = SECONDS(10),
                         },
                         &msg.base, on_done, f);
        send_out(f);
}

struct header {
        const char *name, *value;
};

static void answer(struct fixture *f, uint8_t flags, const struct header *headers)
{
        AUTO(buf) block = BUF_MAX(FRAME_MAX);

        for (; headers->name != NULL; headers++)
                put_header(&block, headers->name, headers->value);
        put_frame(&f->out, FRAME_HEADERS, FLAG_END_HEADERS | flags, 1, buf_str(&block));
        send_out(f);
}

static void answer_message(struct fixture *f, const char *text)
{
        AUTO(buf) message = BUF_MAX(FRAME_MAX);

        put_message(&message, text);
        put_frame(&f->out, FRAME_DATA, 0, 1, buf_str(&message));
        send_out(f);
}

#define HEADERS(...) (const struct header[]){ __VA_ARGS__, { NULL, NULL } }
#define GRPC_HEADERS HEADERS({ ":status", "200" }, { "content-type", "application/grpc" })

static void takes_a_message_and_its_status(void **state)
{
        struct fixture *f = *state;

        call(f);
        answer(f, 0, GRPC_HEADERS);
        answer_message(f, "hello yourself");
        assert_int_equal(f->done, 0); /* the status may still refuse */
        answer(f, FLAG_END_STREAM, HEADERS({ "grpc-status", "0" }));
        assert_int_equal(f->done, 1);
        assert_int_equal(f->code, 0);
        assert_string_equal(f->text, "hello yourself");
}

static void gives_no_answer_when_the_status_refuses(void **state)
{
        struct fixture *f = *state;

        call(f);
        answer(f, 0, GRPC_HEADERS);
        answer_message(f, "hello yourself");
        answer(f, FLAG_END_STREAM, HEADERS({ "grpc-status", "7" }, { "grpc-message", "no%20way" }));
        assert_int_equal(f->done, 1);
        assert_int_equal(f->code, ERROR_PERMISSION_DENIED);
        assert_string_equal(f->what, "no way");
        assert_string_equal(f->text, "");
}

struct reported_reason {
        const char *word; /* NULL: the trailer is not there */
        enum error_reason reason;
};

static const struct reported_reason reported_reasons[] = {
        { "token", REASON_TOKEN },
        { "lock", REASON_LOCK },
        { "identity", REASON_IDENTITY },
        { "host-id", REASON_HOST_ID },
        { "role", REASON_ROLE },
        { "refused", REASON_REFUSED },
        { NULL, REASON_NONE },
        { "", REASON_NONE },
        { "Lock", REASON_NONE },
        { "lock ", REASON_NONE },
        { "lock,token", REASON_NONE },
        { "of-a-later-release", REASON_NONE },
        { "\xff\xfe", REASON_NONE },
        /* errors that only our own side can detect */
        { "answer", REASON_NONE },
        { "connection", REASON_NONE },
        { "aws", REASON_NONE },
        { "pin", REASON_NONE },
        { "other-ca", REASON_NONE },
};

static void takes_the_reason_of_an_error_from_its_trailer(void **state UNUSED)
{
        for (size_t i = 0; i < ARRAY_LEN(reported_reasons); i++) {
                const struct reported_reason *t = &reported_reasons[i];
                void *fresh = NULL;

                set_up(&fresh);
                struct fixture *f = fresh;
                call(f);
                answer(f, 0, GRPC_HEADERS);
                const struct header *with = HEADERS({ "grpc-status", "14" }, { STATUS_REASON_HEADER, t->word });
                answer(f, FLAG_END_STREAM, t->word == NULL ? HEADERS({ "grpc-status", "14" }) : with);
                if (f->done != 1 || f->code != ERROR_UNAVAILABLE || f->reason != t->reason)
                        fail_msg("'%s': code %d, reason %d", t->word == NULL ? "none" : t->word, f->code, (int)f->reason);
                tear_down(&fresh);
        }
}

struct bad_answer {
        const char *name;
        struct header headers[6];
        int code;
        const char *what; /* how the sentence begins, or NULL */
};

static const struct bad_answer bad_answers[] = {
        { "a server of Teleport",
          { { ":status", "200" }, { "content-type", "application/grpc" }, { "grpc-status", "12" },
            { "grpc-message", "unknown service cteleport.v1.AdminService" } },
          ERROR_UNIMPLEMENTED, "the server belongs to a cluster of Teleport itself" },
        { "a server of another version",
          { { ":status", "200" }, { "content-type", "application/grpc" }, { "version", "15.4.9" }, { "grpc-status", "12" },
            { "grpc-message", "there is no method /cteleport.v1.AdminService/RotateAuthority here" } },
          ERROR_UNIMPLEMENTED, "the server does not know the request RotateAuthority: it runs version 15.4.9, and this program is version " CTELEPORT_VERSION },
        { "a version that is none",
          { { ":status", "200" }, { "content-type", "application/grpc" }, { "version", "a b" }, { "grpc-status", "12" },
            { "grpc-message", "there is no method /cteleport." } },
          ERROR_UNIMPLEMENTED, "the server does not know the request : it runs version (unknown), and" },
        { "not found by a web server", { { ":status", "404" }, { "content-type", "text/html" } }, ERROR_UNIMPLEMENTED },
        { "a bad gateway", { { ":status", "502" } }, ERROR_UNAVAILABLE },
        { "a web page", { { ":status", "200" }, { "content-type", "text/html" } }, ERROR_UNKNOWN },
        { "no status", { { ":status", "200" }, { "content-type", "application/grpc" } }, ERROR_INTERNAL },
        { "a status that is no number",
          { { ":status", "200" }, { "content-type", "application/grpc" }, { "grpc-status", "fine" } },
          ERROR_UNKNOWN },
        { "a status that is no code",
          { { ":status", "200" }, { "content-type", "application/grpc" }, { "grpc-status", "77" } },
          ERROR_UNKNOWN },
        { "success without an answer",
          { { ":status", "200" }, { "content-type", "application/grpc" }, { "grpc-status", "0" } },
          ERROR_INTERNAL },
};

static void names_an_invalid_answer(void **state UNUSED)
{
        for (size_t i = 0; i < ARRAY_LEN(bad_answers); i++) {
                void *fresh = NULL;

                set_up(&fresh);
                struct fixture *f = fresh;
                call(f);
                answer(f, FLAG_END_STREAM, bad_answers[i].headers);
                if (f->done != 1 || f->code != bad_answers[i].code)
                        fail_msg("%s: code %d: %s", bad_answers[i].name, f->code, f->what);
                if (bad_answers[i].what != NULL && strncmp(f->what, bad_answers[i].what, strlen(bad_answers[i].what)) != 0)
                        fail_msg("%s: %s", bad_answers[i].name, f->what);
                tear_down(&fresh);
        }
}

static void refuses_an_answer_larger_than_it_asked_for(void **state)
{
        struct fixture *f = *state;

        call(f);
        answer(f, 0, GRPC_HEADERS);
        put_frame(&f->out, FRAME_DATA, 0, 1, STR("\0\xff\xff\xff\xff"));
        send_out(f);
        assert_int_equal(f->done, 1);
        assert_int_equal(f->code, ERROR_RESOURCE_EXHAUSTED);
}

static void refuses_a_second_answer(void **state)
{
        struct fixture *f = *state;

        call(f);
        answer(f, 0, GRPC_HEADERS);
        answer_message(f, "one");
        answer_message(f, "two");
        assert_int_equal(f->done, 1);
        assert_int_equal(f->code, ERROR_INTERNAL);
}

static void refuses_an_answer_cut_short(void **state)
{
        struct fixture *f = *state;

        call(f);
        answer(f, 0, GRPC_HEADERS);
        put_frame(&f->out, FRAME_DATA, 0, 1, STR("\0\0\0\0\x09" "ab"));
        send_out(f);
        answer(f, FLAG_END_STREAM, HEADERS({ "grpc-status", "0" }));
        assert_int_equal(f->done, 1);
        assert_int_equal(f->code, ERROR_DATA_LOSS);
}

static void reports_a_reset_by_its_meaning(void **state)
{
        struct fixture *f = *state;

        call(f);
        put_frame(&f->out, FRAME_RST_STREAM, 0, 1, STR("\0\0\0\x07")); /* REFUSED_STREAM */
        send_out(f);
        assert_int_equal(f->done, 1);
        assert_int_equal(f->code, ERROR_UNAVAILABLE);
        assert_int_equal(f->reason, REASON_CONNECTION);
        assert_int_equal(f->lost, 0);
}

static void fails_calls_that_goaway_leaves_out(void **state)
{
        struct fixture *f = *state;

        call(f);
        put_frame(&f->out, FRAME_GOAWAY, 0, 0, STR("\0\0\0\0\0\0\0\0"));
        send_out(f);
        assert_int_equal(f->done, 1);
        assert_int_equal(f->code, ERROR_UNAVAILABLE);
        RUN_UNTIL(&f->loop, f->lost == 1);
        assert_int_equal(f->lost_code, ERROR_UNAVAILABLE);
}

static void gives_up_on_a_server_that_does_not_speak_http2(void **state)
{
        struct fixture *f = *state;

        buf_clear(&f->out);
        buf_put_c(&f->out, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        call(f);
        RUN_UNTIL(&f->loop, f->lost == 1);
        assert_int_equal(f->done, 1);
        assert_int_equal(f->code, ERROR_UNAVAILABLE);
        assert_int_equal(f->reason, REASON_CONNECTION);
}

static void gives_up_on_a_server_that_is_silent(void **state)
{
        struct fixture *f = *state;

        call(f);
        loop_advance(&f->loop, &f->clock, SECONDS(11));
        RUN_UNTIL(&f->loop, f->done == 1);
        assert_int_equal(f->code, ERROR_DEADLINE_EXCEEDED);
        assert_int_equal(f->reason, REASON_CONNECTION);
        run_a_while(&f->loop);
        assert_int_equal(f->lost, 0);
}

#define A_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                A_TEST(takes_a_message_and_its_status),
                A_TEST(gives_no_answer_when_the_status_refuses),
                cmocka_unit_test(takes_the_reason_of_an_error_from_its_trailer),
                cmocka_unit_test(names_an_invalid_answer),
                A_TEST(refuses_an_answer_larger_than_it_asked_for),
                A_TEST(refuses_a_second_answer),
                A_TEST(refuses_an_answer_cut_short),
                A_TEST(reports_a_reset_by_its_meaning),
                A_TEST(fails_calls_that_goaway_leaves_out),
                A_TEST(gives_up_on_a_server_that_does_not_speak_http2),
                A_TEST(gives_up_on_a_server_that_is_silent),
        };

        return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
