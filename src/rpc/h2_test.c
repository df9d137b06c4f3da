/* SPDX-License-Identifier: Apache-2.0 */
/* Responses with long heads: what nghttp2 refuses to send must not leave the peer waiting. */
#include "rpc/h2.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "net/memory_stream.h"
#include "net/net_testing.h"

enum { FIELDS_MOST = LIMIT_HTTP_FIELDS + 64, VALUE_MOST = 1 * KiB };

struct stage {
        struct fake_clock clock;
        struct loop loop;
        struct h2 server;
        size_t fields, value_len; /* of the response */
        struct stream *stream;
        nghttp2_session *client;
        int heads, ended;
        uint32_t code; /* with which the last stream of the client has ended */
};

static struct stage *the;

/* ---- the server ---- */

static void on_last(struct h2 *h, int32_t stream)
{
        static char names[FIELDS_MOST][8], value[VALUE_MOST];
        nghttp2_nv list[FIELDS_MOST + 1];

        memset(value, 'v', sizeof value);
        list[0] = H2_CONST_HEADER(":status", "200");
        for (size_t i = 0; i < the->fields; i++) {
                snprintf(names[i], sizeof names[i], "x-%zu", i);
                list[i + 1] = h2_header(str_of(names[i]), (struct str){ value, the->value_len }, NGHTTP2_NV_FLAG_NONE);
        }
        assert_int_equal(nghttp2_submit_response(h->session, stream, list, the->fields + 1, NULL), 0);
        h2_wants(h);
}

static void on_begin(struct h2 *h, int32_t stream UNUSED)
{
        h2_opened(h);
}

static void on_header(struct h2 *h UNUSED, int32_t stream UNUSED, struct str name UNUSED, struct str value UNUSED)
{
}

static void on_data(struct h2 *h UNUSED, int32_t stream UNUSED, struct str bytes UNUSED)
{
}

static void on_sent_last(struct h2 *h UNUSED, int32_t stream UNUSED)
{
}

static void on_stream_end(struct h2 *h, int32_t stream UNUSED, uint32_t code UNUSED)
{
        h2_closed(h);
}

static struct instant on_time(struct h2 *h UNUSED, struct instant now UNUSED)
{
        return NEVER;
}

static void on_end(struct h2 *h UNUSED)
{
}

static const struct h2_events events = { .on_begin = on_begin, .on_header = on_header, .on_data = on_data, .on_last = on_last, .on_sent_last = on_sent_last,
                                         .on_stream_end = on_stream_end, .on_time = on_time, .on_end = on_end };

/* ---- the client ---- */

static void flush_client(void)
{
        const uint8_t *bytes = NULL;
        ssize_t len;

        while ((len = nghttp2_session_mem_send(the->client, &bytes)) > 0)
                stream_write(the->stream, str_of_bytes(bytes, (size_t)len));
}

static void on_client_read(void *ctx UNUSED, struct str bytes)
{
        assert_int_equal(nghttp2_session_mem_recv(the->client, str_bytes(bytes), bytes.len), bytes.len);
        flush_client();
}

static void on_client_end(void *ctx UNUSED, struct error *err)
{
        error_free(err);
}

static const struct stream_events client_events = { .on_read = on_client_read, .on_end = on_client_end };

static int on_frame(nghttp2_session *session UNUSED, const nghttp2_frame *frame, void *ctx UNUSED)
{
        the->heads += frame->hd.type == NGHTTP2_HEADERS;
        return 0;
}

static int on_stream_close(nghttp2_session *session UNUSED, int32_t stream UNUSED, uint32_t code, void *ctx UNUSED)
{
        the->ended++;
        the->code = code;
        return 0;
}

static void request(size_t fields, size_t value_len)
{
        const nghttp2_nv head[] = { H2_CONST_HEADER(":method", "GET"), H2_CONST_HEADER(":scheme", "https"), H2_CONST_HEADER(":authority", "a"), H2_CONST_HEADER(":path", "/") };

        the->fields = fields;
        the->value_len = value_len;
        assert_true(nghttp2_submit_request(the->client, NULL, head, ARRAY_LEN(head), NULL, NULL) > 0);
        flush_client();
        run_a_while(&the->loop);
}

static int set_up(void **state UNUSED)
{
        nghttp2_session_callbacks *callbacks = NULL;
        struct stream *theirs;

        the = NEW(struct stage);
        fake_clock_init(&the->clock, 1700000000);
        assert_null(loop_init(&the->loop, &the->clock.clock));
        memory_stream_pair(&the->loop, &the->stream, &theirs);
        stream_listen(the->stream, &client_events, NULL);
        stream_read(the->stream, true);
        h2_init(&the->server, &the->loop, theirs, &events, (struct h2_options){ .is_server = true, .max_streams = 10 });
        assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
        assert_int_equal(nghttp2_session_client_new(&the->client, callbacks, NULL), 0);
        nghttp2_session_callbacks_del(callbacks);
        assert_int_equal(nghttp2_submit_settings(the->client, NGHTTP2_FLAG_NONE, NULL, 0), 0);
        return 0;
}

static int tear_down(void **state UNUSED)
{
        h2_end(&the->server, NULL);
        run_a_while(&the->loop);
        h2_release(&the->server);
        stream_close(the->stream);
        run_a_while(&the->loop);
        nghttp2_session_del(the->client);
        loop_release(&the->loop);
        free(the);
        return 0;
}

/* ---- tests ---- */

/* As long as a gateway accepts it: LIMIT_HTTP_FIELDS fields, with names and values of LIMIT_HTTP_HEAD bytes in all. */
static void the_longest_head_of_a_gateway_is_sent(void **state UNUSED)
{
        request(LIMIT_HTTP_FIELDS, LIMIT_HTTP_HEAD / LIMIT_HTTP_FIELDS - 5);
        assert_int_equal(the->heads, 1);
        assert_int_equal(the->ended, 1);
        assert_int_equal(the->code, NGHTTP2_NO_ERROR);
}

static void a_stream_with_an_unsendable_head_is_reset(void **state UNUSED)
{
        request(LIMIT_HTTP_FIELDS, LIMIT_HTTP2_HEAD_SENT / LIMIT_HTTP_FIELDS);
        assert_int_equal(the->heads, 0);
        assert_int_equal(the->ended, 1);
        assert_int_equal(the->code, NGHTTP2_INTERNAL_ERROR);
        request(1, 1);
        assert_int_equal(the->heads, 1);
        assert_int_equal(the->code, NGHTTP2_NO_ERROR);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(the_longest_head_of_a_gateway_is_sent),
                TEST(a_stream_with_an_unsendable_head_is_reset),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
