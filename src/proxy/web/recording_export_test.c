/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web/recording_export.h"

#include <stdio.h>

#include "base/error_testing.h"
#include "rpc/pb.h"

#define SESSION "6f1f0b52-4a1c-4f0e-9d3a-0123456789ab"

enum { STEP = 100, MILLISECOND = 1000000 };

/* A recording as the cluster has it, and what it says of it. */
struct stage {
        struct buf container, out;
        uint8_t digest[RECORDING_LINK_LEN], first[RECORDING_LINK_LEN];
        bool is_complete;
        const char *status;
        int64_t size;
};

static void take_links(struct stage *s)
{
        struct recording_chain chain = { 0 };

        recording_chain_begin(&chain, STR(SESSION));
        recording_chain_feed(&chain, buf_str(&s->container));
        memcpy(s->digest, chain.link, sizeof s->digest);
        memcpy(s->first, chain.first, sizeof s->first);
        recording_chain_release(&chain);
        s->size = (int64_t)s->container.len;
}

static int set_up(void **state)
{
        static struct stage s;
        const struct recording_header header = { .columns = 80, .rows = 24, .started = { INT64_C(1700000000) * 1000000000 } };
        struct recording_writer *w = recording_writer_new(&header);

        s = (struct stage){ .container = BUF_MAX(1 * MiB), .out = BUF_MAX(1 * MiB), .is_complete = true, .status = "complete" };
        recording_output(w, (struct duration){ 500 * MILLISECOND }, STR("\033[31mone\033[m\r\n"));
        recording_flush(w);
        recording_resize(w, (struct duration){ 600 * MILLISECOND }, 100, 30);
        recording_output(w, (struct duration){ 700 * MILLISECOND }, STR("two\r\n"));
        recording_finish(w, (struct duration){ 800 * MILLISECOND });
        buf_put(&s.container, recording_drain(w));
        recording_writer_free(w);
        take_links(&s);
        *state = &s;
        return 0;
}

static int tear_down(void **state)
{
        struct stage *s = *state;
        buf_release(&s->container);
        buf_release(&s->out);
        return 0;
}

/* Converts it, in answers of STEP bytes. */
static struct error *convert(struct stage *s, enum recording_export_format format)
{
        struct recording_export e = { 0 };
        struct error *err = NULL;

        recording_export_begin(&e, STR(SESSION), format);
        while (err == NULL && !e.has_ended) {
                Cteleport__V1__GetRecordingResponse r = CTELEPORT__V1__GET_RECORDING_RESPONSE__INIT;
                char status[16];

                snprintf(status, sizeof status, "%s", s->status);
                r.data = pb_bytes(str_slice(buf_str(&s->container), (size_t)e.offset, STEP));
                r.size = s->size;
                r.is_complete = s->is_complete;
                r.status = status;
                r.digest = pb_bytes(str_of_bytes(s->digest, sizeof s->digest));
                r.first = pb_bytes(str_of_bytes(s->first, sizeof s->first));
                err = recording_export_put(&e, &r, &s->out);
        }
        recording_export_release(&e);
        return err;
}

static void makes_asciicast_lines(void **state)
{
        struct stage *s = *state;

        assert_done(convert(s, RECORDING_EXPORT_CAST));
        assert_non_null(strstr(buf_c(&s->out), "{\"version\":2,\"width\":80,\"height\":24,\"timestamp\":1700000000"));
        assert_non_null(strstr(buf_c(&s->out), "}\n[0.500000,\"o\",\"\\u001b[31mone\\u001b[m\\r\\n\"]\n[0.600000,\"r\",\"100x30\"]\n[0.700000,\"o\",\"two\\r\\n\"]\n"));
        assert_null(strstr(buf_c(&s->out), "\"m\""));
}

static void makes_plain_text(void **state)
{
        struct stage *s = *state;

        assert_done(convert(s, RECORDING_EXPORT_TEXT));
        assert_string_equal(buf_c(&s->out), "one\ntwo\n");
}

static void notes_that_a_digest_differs(void **state)
{
        struct stage *s = *state;

        s->digest[0] ^= 1;
        assert_done(convert(s, RECORDING_EXPORT_CAST));
        assert_non_null(strstr(buf_c(&s->out), "[0.800000,\"m\",\"the recording was altered after it was received: its digest does not match\"]\n"));
}

static void notes_a_hole_and_continues_after_it(void **state)
{
        struct stage *s = *state;

        s->container.ptr[30] ^= 1; /* in the first chunk */
        memset(s->first, 0, sizeof s->first);
        assert_refused(convert(s, RECORDING_EXPORT_CAST), ERROR_DATA_LOSS, "another session");

        take_links(s);
        s->out.len = 0;
        assert_done(convert(s, RECORDING_EXPORT_CAST));
        assert_non_null(strstr(buf_c(&s->out), "{\"version\":2,\"width\":80,\"height\":24}\n[0.000000,\"m\",\""));
        assert_non_null(strstr(buf_c(&s->out), "bytes of the recording are missing here\"]\n[0.500000,\"o\","));
}

static void notes_how_it_ends(void **state)
{
        static const struct {
                const char *status, *note;
                bool is_complete;
                int size_change;
        } cases[] = {
                { "recording", "the session still goes on: this is its recording so far", false, 0 },
                { "waiting", "has not arrived from its host yet", false, 0 },
                { "aborted", "its host was lost or stopped", false, 0 },
                { "unrecorded", "has lost its record", false, 0 },
                { "complete", "is incomplete: bytes at its end are missing or were added", true, 1 },
        };
        struct stage *s = *state;

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                s->status = cases[i].status;
                s->is_complete = cases[i].is_complete;
                s->size = (int64_t)s->container.len + cases[i].size_change;
                s->out.len = 0;
                assert_done(convert(s, RECORDING_EXPORT_TEXT));
                assert_non_null(strstr(buf_c(&s->out), "one\ntwo\n\n["));
                assert_non_null(strstr(buf_c(&s->out), cases[i].note));
        }
}

static void refuses_the_recording_of_another_session(void **state)
{
        struct stage *s = *state;

        s->first[3] ^= 1;
        assert_refused(convert(s, RECORDING_EXPORT_CAST), ERROR_DATA_LOSS, "another session");
        assert_int_equal(s->out.len, 0);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                STORY(makes_asciicast_lines),
                STORY(makes_plain_text),
                STORY(notes_that_a_digest_differs),
                STORY(notes_a_hole_and_continues_after_it),
                STORY(notes_how_it_ends),
                STORY(refuses_the_recording_of_another_session),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
