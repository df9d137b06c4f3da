/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostile clients, which no library would be, against our server.
 */
#include "rpc/frames_testing.h"

struct fixture {
        struct service service;
        struct ear ear; /* our end, and the bytes sent by the server */
        struct buf out;
};

/* ---- writing frames ------------------------------------------------------------------------------------ */

/* The headers of a sound call of a method. */
static void put_call(struct buf *block, const char *path)
{
        put_header(block, ":method", "POST");
        put_header(block, ":scheme", "https");
        put_header(block, ":path", path);
        put_header(block, ":authority", "cluster");
        put_header(block, "content-type", "application/grpc+proto");
        put_header(block, "te", "trailers");
}

static void send_out(struct fixture *f)
{
        if (f->ear.stream != NULL)
                stream_write(f->ear.stream, buf_str(&f->out));
        buf_clear(&f->out);
        run_a_while(&f->service.loop);
}

static void send_frame(struct fixture *f, uint8_t type, uint8_t flags, uint32_t stream, struct str payload)
{
        put_frame(&f->out, type, flags, stream, payload);
        send_out(f);
}

static void send_headers(struct fixture *f, uint32_t stream, uint8_t flags, const struct buf *block)
{
        send_frame(f, FRAME_HEADERS, FLAG_END_HEADERS | flags, stream, buf_str(block));
}

static void open_call(struct fixture *f, uint32_t stream, const char *path)
{
        AUTO(buf) block = BUF_MAX(FRAME_MAX);

        put_call(&block, path);
        send_headers(f, stream, 0, &block);
}

static void send_message(struct fixture *f, uint32_t stream, uint8_t flags, const char *text)
{
        AUTO(buf) message = BUF_MAX(FRAME_MAX);

        put_message(&message, text);
        send_frame(f, FRAME_DATA, flags, stream, buf_str(&message));
}

static size_t count_frames(const struct fixture *f, uint8_t type, uint32_t stream)
{
        struct str rest = buf_str(&f->ear.received);
        struct frame frame;
        size_t count = 0;

        while (next_frame(&rest, &frame))
                count += frame.type == type && frame.stream == stream;
        return count;
}

/* The status of a call, -1 when the server has not sent it yet. */
static int grpc_status(const struct fixture *f, uint32_t stream)
{
        struct str rest = buf_str(&f->ear.received);
        struct frame frame;
        int status = -1;

        while (next_frame(&rest, &frame))
                if (frame.type == FRAME_HEADERS && frame.stream == stream)
                        find_status(frame.payload, &status);
        return status;
}

static bool is_going_away(const struct fixture *f, uint32_t *ret_code)
{
        struct str rest = buf_str(&f->ear.received);
        struct frame frame;

        *ret_code = 0;
        while (next_frame(&rest, &frame))
                if (frame.type == FRAME_GOAWAY) {
                        *ret_code = (uint8_t)frame.payload.ptr[7];
                        return true;
                }
        return false;
}

/* ---- fixtures --------------------------------------------------------------------------------------------- */

static int connect_to(void **state, struct fixture *f)
{
        f->out = BUF_MAX(64 * MiB);
        ear_listen(&f->ear, service_serve(&f->service));
        f->ear.close_on_end = true;
        stream_read(f->ear.stream, true);
        buf_put_c(&f->out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        send_frame(f, FRAME_SETTINGS, 0, 0, STR(""));
        *state = f;
        return 0;
}

static int connect_as(void **state, bool is_unauthenticated)
{
        struct fixture *f = NEW(struct fixture);

        service_init(&f->service);
        f->service.is_open_to_unauthenticated = is_unauthenticated;
        return connect_to(state, f);
}

static int unauthenticated(void **state)
{
        return connect_as(state, true);
}

/* A connection of a source with little memory left. */
static int unauthenticated_with_little_memory(void **state)
{
        enum { LITTLE = 128 * KiB };
        struct fixture *f = NEW(struct fixture);

        service_init(&f->service);
        f->service.is_open_to_unauthenticated = true;
        f->service.memory = (struct budget){ .total = LITTLE, .share = LITTLE };
        return connect_to(state, f);
}

static int known(void **state)
{
        return connect_as(state, false);
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        ear_release(&f->ear);
        buf_release(&f->out);
        service_release(&f->service);
        free(f);
        return 0;
}

static void assert_thrown_out(struct fixture *f, uint32_t expected_code)
{
        uint32_t code = 0;

        RUN_UNTIL(&f->service.loop, f->service.closed == 1 && f->ear.ends == 1);
        assert_true(is_going_away(f, &code));
        assert_int_equal(code, expected_code);
}

static void assert_still_serves(struct fixture *f, uint32_t stream)
{
        f->service.is_slow = false;
        open_call(f, stream, method_echo.path);
        send_message(f, stream, FLAG_END_STREAM, "hello");
        RUN_UNTIL(&f->service.loop, grpc_status(f, stream) == 0);
}

/* ---- calls ------------------------------------------------------------------------------------------------- */

static void answers_a_client_that_writes_frames_by_hand(void **state)
{
        assert_still_serves(*state, 1);
}

static void reads_messages_that_share_a_frame_or_span_frames(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) bytes = BUF_MAX(1 * KiB);

        open_call(f, 1, method_chat.path);
        put_message(&bytes, "one");
        put_message(&bytes, "two");
        put_message(&bytes, "three");
        size_t cut = bytes.len - 4;
        send_frame(f, FRAME_DATA, 0, 1, str_slice(buf_str(&bytes), 0, cut));
        assert_int_equal(f->service.messages, 2);
        for (size_t i = cut; i < bytes.len; i++)
                send_frame(f, FRAME_DATA, 0, 1, str_slice(buf_str(&bytes), i, 1));
        assert_int_equal(f->service.messages, 3);
        assert_string_equal(f->service.last_text, "three");
}

static void refuses_a_compressed_message(void **state)
{
        struct fixture *f = *state;

        open_call(f, 1, method_chat.path);
        send_frame(f, FRAME_DATA, 0, 1, STR("\x01\x00\x00\x00\x01" "x"));
        assert_int_equal(grpc_status(f, 1), ERROR_UNIMPLEMENTED);
        assert_int_equal(f->service.gone, 1);
        assert_still_serves(f, 3);
}

static void refuses_an_unknown_flag_of_a_message(void **state)
{
        struct fixture *f = *state;

        open_call(f, 1, method_chat.path);
        send_frame(f, FRAME_DATA, 0, 1, STR("\x02\x00\x00\x00\x01" "x"));
        assert_int_equal(grpc_status(f, 1), ERROR_INVALID_ARGUMENT);
}

static void refuses_a_huge_message_by_its_announcement(void **state)
{
        struct fixture *f = *state;

        open_call(f, 1, method_echo.path);
        send_frame(f, FRAME_DATA, 0, 1, STR("\x00\xff\xff\xff\xff"));
        assert_int_equal(grpc_status(f, 1), ERROR_RESOURCE_EXHAUSTED);
        assert_still_serves(f, 3);
}

static void refuses_invalid_protobuf(void **state)
{
        struct fixture *f = *state;

        open_call(f, 1, method_echo.path);
        send_frame(f, FRAME_DATA, FLAG_END_STREAM, 1, STR("\x00\x00\x00\x00\x02\xff\xff"));
        assert_int_equal(grpc_status(f, 1), ERROR_INVALID_ARGUMENT);
        assert_int_equal(f->service.opened, 0);
}

static void refuses_an_end_in_the_middle_of_a_message(void **state)
{
        struct fixture *f = *state;

        open_call(f, 1, method_echo.path);
        send_frame(f, FRAME_DATA, FLAG_END_STREAM, 1, STR("\x00\x00\x00\x00\x02"));
        assert_int_equal(grpc_status(f, 1), ERROR_INVALID_ARGUMENT);
        open_call(f, 3, method_chat.path);
        send_frame(f, FRAME_DATA, FLAG_END_STREAM, 3, STR("\x00\x00"));
        assert_int_equal(grpc_status(f, 3), ERROR_INVALID_ARGUMENT);
        assert_int_equal(f->service.gone, 1);
}

static void refuses_a_unary_call_without_a_message_and_with_two(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) block = BUF_MAX(FRAME_MAX);

        put_call(&block, method_echo.path);
        send_headers(f, 1, FLAG_END_STREAM, &block);
        assert_int_equal(grpc_status(f, 1), ERROR_INVALID_ARGUMENT);
        open_call(f, 3, method_echo.path);
        send_message(f, 3, 0, "one");
        send_message(f, 3, FLAG_END_STREAM, "two");
        assert_int_equal(grpc_status(f, 3), ERROR_INVALID_ARGUMENT);
        assert_int_equal(f->service.opened, 0);
}

static void drops_messages_after_the_answer(void **state)
{
        struct fixture *f = *state;

        open_call(f, 1, "/no.such.Service/Method");
        assert_int_equal(grpc_status(f, 1), ERROR_UNIMPLEMENTED);
        send_message(f, 1, 0, "one");
        send_message(f, 1, FLAG_END_STREAM, "two");
        assert_int_equal(f->service.messages, 0);
        assert_still_serves(f, 3);
}

static void takes_trailers_of_the_client_as_its_end(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) block = BUF_MAX(FRAME_MAX);

        open_call(f, 1, method_chat.path);
        send_message(f, 1, 0, "one");
        put_header(&block, "x-trailer", "1");
        send_headers(f, 1, FLAG_END_STREAM, &block);
        assert_int_equal(f->service.half_closes, 1);
        assert_int_equal(grpc_status(f, 1), 0);
}

struct bad_request {
        const char *name, *method, *path, *content_type, *timeout;
        int status;
};

static const struct bad_request bad_requests[] = {
        { "GET", "GET", "/cteleport.test.Service/Echo", "application/grpc", "1S", ERROR_INVALID_ARGUMENT },
        { "JSON", "POST", "/cteleport.test.Service/Echo", "application/json", "1S", ERROR_INVALID_ARGUMENT },
        { "gRPC with JSON", "POST", "/cteleport.test.Service/Echo", "application/grpc+json", "1S", ERROR_INVALID_ARGUMENT },
        { "gRPC's name made longer", "POST", "/cteleport.test.Service/Echo", "application/grpcx", "1S", ERROR_INVALID_ARGUMENT },
        { "the path in capitals", "POST", "/cteleport.test.Service/ECHO", "application/grpc", "1S", ERROR_UNIMPLEMENTED },
        { "a query", "POST", "/cteleport.test.Service/Echo?x", "application/grpc", "1S", ERROR_UNIMPLEMENTED },
        { "a dot segment", "POST", "/./cteleport.test.Service/Echo", "application/grpc", "1S", ERROR_UNIMPLEMENTED },
        { "a timeout without a unit", "POST", "/cteleport.test.Service/Echo", "application/grpc", "15", ERROR_INVALID_ARGUMENT },
        { "a timeout of nine digits", "POST", "/cteleport.test.Service/Echo", "application/grpc", "123456789S", ERROR_INVALID_ARGUMENT },
        { "a negative timeout", "POST", "/cteleport.test.Service/Echo", "application/grpc", "-1S", ERROR_INVALID_ARGUMENT },
};

static void refuses_requests_that_are_not_calls_of_its_methods(void **state)
{
        struct fixture *f = *state;
        uint32_t stream = 1;

        for (size_t i = 0; i < ARRAY_LEN(bad_requests); i++, stream += 2) {
                const struct bad_request *bad = &bad_requests[i];
                AUTO(buf) block = BUF_MAX(FRAME_MAX);

                put_header(&block, ":method", bad->method);
                put_header(&block, ":scheme", "https");
                put_header(&block, ":path", bad->path);
                put_header(&block, ":authority", "cluster");
                put_header(&block, "content-type", bad->content_type);
                put_header(&block, "grpc-timeout", bad->timeout);
                send_headers(f, stream, FLAG_END_STREAM, &block);
                if (grpc_status(f, stream) != bad->status)
                        fail_msg("%s: status %d", bad->name, grpc_status(f, stream));
        }
        assert_int_equal(f->service.guarded, 0);
        assert_still_serves(f, stream);
}

static void honours_the_timeout_of_the_caller(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) block = BUF_MAX(FRAME_MAX);

        f->service.is_slow = true;
        put_call(&block, method_chat.path);
        put_header(&block, "grpc-timeout", "2500m");
        send_headers(f, 1, 0, &block);
        loop_advance(&f->service.loop, &f->service.clock, MILLISECONDS(2400));
        run_a_while(&f->service.loop);
        assert_int_equal(f->service.gone, 0);
        loop_advance(&f->service.loop, &f->service.clock, MILLISECONDS(200));
        RUN_UNTIL(&f->service.loop, f->service.gone == 1);
        RUN_UNTIL(&f->service.loop, grpc_status(f, 1) == ERROR_DEADLINE_EXCEEDED);
}

static void gives_an_unauthenticated_peer_a_minute(void **state)
{
        struct fixture *f = *state;

        f->service.is_slow = true;
        open_call(f, 1, method_chat.path);
        open_call(f, 3, method_echo.path); /* its message never arrives */
        loop_advance(&f->service.loop, &f->service.clock, MILLISECONDS(TIMEOUT_JOIN + 1));
        RUN_UNTIL(&f->service.loop, grpc_status(f, 1) == ERROR_DEADLINE_EXCEEDED);
        RUN_UNTIL(&f->service.loop, grpc_status(f, 3) == ERROR_DEADLINE_EXCEEDED);
        assert_int_equal(f->service.gone, 1);
}

/* ---- connections ------------------------------------------------------------------------------------------- */

static void refuses_a_header_bomb_and_continues(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) block = BUF_MAX(1 * MiB);

        put_call(&block, method_echo.path);
        for (int i = 0; i < LIMIT_HTTP2_HEADER_LIST / 32; i++)
                put_header(&block, "x", "");
        assert_true(block.len < FRAME_MAX); /* small on the wire */
        send_headers(f, 1, FLAG_END_STREAM, &block);
        assert_int_equal(grpc_status(f, 1), ERROR_RESOURCE_EXHAUSTED);
        assert_still_serves(f, 3);
}

static void takes_headers_just_below_their_limit(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) block = BUF_MAX(1 * MiB);

        put_call(&block, method_echo.path);
        for (int i = 0; i < LIMIT_HTTP2_HEADER_LIST / 33 - 20; i++)
                put_header(&block, "x", ""); /* the most memory for the fewest bytes */
        send_headers(f, 1, 0, &block);
        send_message(f, 1, FLAG_END_STREAM, "hello");
        assert_int_equal(grpc_status(f, 1), 0);
}

static void closes_a_peer_that_sends_many_header_bombs(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) block = BUF_MAX(1 * MiB);

        put_call(&block, method_echo.path);
        for (int i = 0; i < LIMIT_HTTP2_HEADER_LIST / 32; i++)
                put_header(&block, "x", "");
        for (uint32_t i = 0; i <= LIMIT_RESET_BURST && f->service.closed == 0; i++)
                send_headers(f, 2 * i + 1, FLAG_END_STREAM, &block);
        assert_thrown_out(f, ENHANCE_YOUR_CALM);
        assert_int_equal(f->service.guarded, 0);
}

static void closes_a_peer_that_never_ends_a_header_block(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) block = BUF_MAX(FRAME_MAX);

        put_call(&block, method_echo.path);
        put_frame(&f->out, FRAME_HEADERS, 0, 1, buf_str(&block));
        buf_clear(&block);
        put_header(&block, "x", "y");
        for (int i = 0; i < 100; i++)
                put_frame(&f->out, FRAME_CONTINUATION, 0, 1, buf_str(&block));
        send_out(f);
        RUN_UNTIL(&f->service.loop, f->service.closed == 1);
        assert_int_equal(f->service.opened, 0);
}

static void closes_a_peer_that_resets_many_streams(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) block = BUF_MAX(FRAME_MAX);

        f->service.is_slow = true;
        put_call(&block, method_chat.path);
        for (uint32_t i = 0; i <= LIMIT_RESET_BURST; i++) {
                put_frame(&f->out, FRAME_HEADERS, FLAG_END_HEADERS, 2 * i + 1, buf_str(&block));
                put_frame(&f->out, FRAME_RST_STREAM, 0, 2 * i + 1, STR("\0\0\0\x08"));
        }
        send_out(f);
        RUN_UNTIL(&f->service.loop, f->service.closed == 1);
        assert_int_equal(f->service.gone, f->service.opened);
}

static void lets_resets_come_back_with_time(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) block = BUF_MAX(FRAME_MAX);
        uint32_t stream = 1;

        put_call(&block, method_chat.path);
        for (int second = 0; second < 5; second++) {
                for (int i = 0; i < LIMIT_RESET_PER_SECOND; i++, stream += 2) {
                        put_frame(&f->out, FRAME_HEADERS, FLAG_END_HEADERS, stream, buf_str(&block));
                        put_frame(&f->out, FRAME_RST_STREAM, 0, stream, STR("\0\0\0\x08"));
                }
                send_out(f);
                loop_advance(&f->service.loop, &f->service.clock, SECONDS(1));
        }
        assert_still_serves(f, stream);
}

static void closes_a_peer_that_makes_us_reset_many_streams(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) block = BUF_MAX(FRAME_MAX);

        put_header(&block, ":method", "POST");
        put_header(&block, "UPPER", "a malformed request, RFC 9113 section 8.2.1");
        for (uint32_t i = 0; i <= LIMIT_RESET_BURST; i++)
                put_frame(&f->out, FRAME_HEADERS, FLAG_END_HEADERS | FLAG_END_STREAM, 2 * i + 1, buf_str(&block));
        send_out(f);
        assert_thrown_out(f, ENHANCE_YOUR_CALM);
}

static void closes_a_peer_that_sends_only_control_frames(void **state)
{
        struct fixture *f = *state;

        for (int i = 0; i <= LIMIT_CONTROL_BURST; i++)
                put_frame(&f->out, FRAME_PING, 0, 0, STR("12345678"));
        send_out(f);
        assert_thrown_out(f, ENHANCE_YOUR_CALM);
        assert_true(count_frames(f, FRAME_PING, 0) <= LIMIT_CONTROL_BURST);
}

static void closes_a_peer_that_sends_empty_data(void **state)
{
        struct fixture *f = *state;

        open_call(f, 1, method_chat.path);
        for (int i = 0; i <= LIMIT_CONTROL_BURST; i++)
                put_frame(&f->out, FRAME_DATA, 0, 1, STR(""));
        send_out(f);
        assert_thrown_out(f, ENHANCE_YOUR_CALM);
}

static void closes_a_peer_that_does_not_speak_http2(void **state)
{
        struct fixture *f = *state;

        buf_put_c(&f->out, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        send_out(f);
        RUN_UNTIL(&f->service.loop, f->service.closed == 1);
}

static void bounds_the_calls_at_one_time(void **state)
{
        struct fixture *f = *state;

        f->service.is_slow = true;
        for (uint32_t i = 0; i < LIMIT_HTTP2_STREAMS + 5; i++)
                open_call(f, 2 * i + 1, method_chat.path);
        assert_int_equal(f->service.opened, LIMIT_HTTP2_STREAMS);
        assert_int_equal(count_frames(f, FRAME_RST_STREAM, 2 * LIMIT_HTTP2_STREAMS + 1), 1);
}

static void bounds_the_memory_of_unfinished_messages(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) part = BUF_MAX(FRAME_MAX);
        int refused = 0;

        /* Each call sends nearly all of a message that the method takes. The window is kept open by the server. */
        buf_put(&part, STR("\x00\x00\x00\xff\xff"));
        memset(buf_extend(&part, 12 * KiB), 0, 12 * KiB);
        for (uint32_t stream = 1; stream < 2 * 30; stream += 2) {
                open_call(f, stream, method_echo.path);
                send_frame(f, FRAME_DATA, 0, stream, buf_str(&part));
                refused += grpc_status(f, stream) == ERROR_RESOURCE_EXHAUSTED;
        }
        assert_int_equal(refused, 30 - LIMIT_RPC_HELD / (12 * KiB));
}

static void open_calls_until_thrown_out(struct fixture *f, uint32_t *opened)
{
        f->service.is_slow = true;
        for (*opened = 0; *opened < LIMIT_HTTP2_STREAMS && f->service.closed == 0; (*opened)++)
                open_call(f, 2 * *opened + 1, method_chat.path);
}

static void bounds_the_memory_of_all_calls(void **state)
{
        struct fixture *f = *state;
        uint32_t opened;

        open_calls_until_thrown_out(f, &opened);
        assert_in_range(opened, 20, LIMIT_HTTP2_STREAMS - 20);
        assert_thrown_out(f, NGHTTP2_ENHANCE_YOUR_CALM);
        assert_int_equal(f->service.memory.used, 0);
}

static void releases_the_memory_of_a_call(void **state)
{
        struct fixture *f = *state;

        f->service.is_slow = true;
        for (uint32_t round = 0; round < 9; round++) {
                for (uint32_t i = 0; i < 20; i++)
                        open_call(f, 2 * (20 * round + i) + 1, method_chat.path);
                assert_true(f->service.memory.used > 0);
                for (uint32_t i = 0; i < 20; i++)
                        send_frame(f, FRAME_RST_STREAM, 0, 2 * (20 * round + i) + 1, STR("\0\0\0\x08"));
                assert_int_equal(f->service.memory.used, 0);
        }
        assert_int_equal(f->service.closed, 0);
}

static void closes_a_peer_that_does_not_read_its_answers(void **state)
{
        struct fixture *f = *state;
        char text[8 * KiB];
        int sent = 0;

        /* The client's windows stay at 64 KiB, so nearly all of this waits in the call. */
        memset(text, 'x', sizeof text - 1);
        text[sizeof text - 1] = '\0';
        open_call(f, 1, method_chat.path);
        while (f->service.call != NULL && sent < 1000) {
                Everything msg = everything_of(text);

                rpc_call_send(f->service.call, &msg.base);
                assert_true(rpc_call_pending(f->service.call) <= LIMIT_UNREAD_OUTPUT + sizeof text + 64);
                sent++;
                run_a_while(&f->service.loop);
        }
        assert_true(sent > 100 && sent < 200);
        assert_int_equal(f->service.gone, 1);
        RUN_UNTIL(&f->service.loop, f->service.closed == 1);
}

static void ends_a_call_with_an_unread_answer(void **state)
{
        struct fixture *f = *state;
        AUTO_MEM char *text = mem_alloc(200 * KiB);
        Everything msg = everything_of(text);

        memset(text, 'x', 200 * KiB - 1);
        open_call(f, 1, method_chat.path);
        rpc_call_send(f->service.call, &msg.base);
        service_finish(&f->service, NULL);
        run_a_while(&f->service.loop);
        assert_int_equal(grpc_status(f, 1), -1);
        loop_advance(&f->service.loop, &f->service.clock, MILLISECONDS(TIMEOUT_KEEPALIVE + 1));
        run_a_while(&f->service.loop);
        send_frame(f, FRAME_PING, FLAG_ACK, 0, STR("\0\0\0\0\0\0\0\0")); /* alive it is */
        loop_advance(&f->service.loop, &f->service.clock, MILLISECONDS(TIMEOUT_RPC_LINGER - TIMEOUT_KEEPALIVE));
        run_a_while(&f->service.loop);
        assert_int_equal(count_frames(f, FRAME_RST_STREAM, 1), 1);
        assert_int_equal(f->service.gone, 0);
        assert_int_equal(f->service.closed, 0);
}

static void closes_a_connection_that_answers_no_ping(void **state)
{
        struct fixture *f = *state;

        f->service.is_slow = true;
        open_call(f, 1, method_chat.path);
        loop_advance(&f->service.loop, &f->service.clock, MILLISECONDS(TIMEOUT_KEEPALIVE + 1));
        run_a_while(&f->service.loop);
        assert_int_equal(count_frames(f, FRAME_PING, 0), 1);
        assert_int_equal(f->service.closed, 0);
        loop_advance(&f->service.loop, &f->service.clock, MILLISECONDS(TIMEOUT_KEEPALIVE_ANSWER + 1));
        RUN_UNTIL(&f->service.loop, f->service.closed == 1);
        assert_int_equal(f->service.gone, 1);
}

static void sends_no_goaway_to_a_peer_that_has_ended(void **state)
{
        struct fixture *f = *state;
        uint32_t code;

        stream_shutdown(f->ear.stream);
        RUN_UNTIL(&f->service.loop, f->service.closed == 1 && f->ear.ends == 1);
        assert_false(is_going_away(f, &code));
        assert_true(count_frames(f, FRAME_SETTINGS, 0) > 0);
}

static void closes_an_unauthenticated_connection_without_calls(void **state)
{
        struct fixture *f = *state;

        loop_advance(&f->service.loop, &f->service.clock, MILLISECONDS(TIMEOUT_IDLE_UNAUTHENTICATED + 1));
        assert_thrown_out(f, 0);
}

static void reports_a_broken_connection_to_the_handler(void **state)
{
        struct fixture *f = *state;

        f->service.is_slow = true;
        open_call(f, 1, method_chat.path);
        open_call(f, 3, method_chat.path);
        stream_close(f->ear.stream);
        f->ear.stream = NULL;
        RUN_UNTIL(&f->service.loop, f->service.closed == 1);
        assert_int_equal(f->service.gone, 2);
}

static void tolerates_resets_of_a_known_peer(void **state)
{
        struct fixture *f = *state;
        AUTO(buf) block = BUF_MAX(FRAME_MAX);
        uint32_t i;

        put_call(&block, method_chat.path);
        for (i = 0; i <= 4 * LIMIT_RESET_BURST; i++) {
                put_frame(&f->out, FRAME_HEADERS, FLAG_END_HEADERS, 2 * i + 1, buf_str(&block));
                put_frame(&f->out, FRAME_RST_STREAM, 0, 2 * i + 1, STR("\0\0\0\x08"));
        }
        send_out(f);
        assert_still_serves(f, 2 * i + 1);
}

#define FROM_UNAUTHENTICATED(name) cmocka_unit_test_setup_teardown(name, unauthenticated, tear_down)
#define FROM_A_KNOWN_PEER(name) cmocka_unit_test_setup_teardown(name, known, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                FROM_UNAUTHENTICATED(answers_a_client_that_writes_frames_by_hand),
                FROM_UNAUTHENTICATED(sends_no_goaway_to_a_peer_that_has_ended),
                FROM_UNAUTHENTICATED(reads_messages_that_share_a_frame_or_span_frames),
                FROM_UNAUTHENTICATED(refuses_a_compressed_message),
                FROM_UNAUTHENTICATED(refuses_an_unknown_flag_of_a_message),
                FROM_UNAUTHENTICATED(refuses_a_huge_message_by_its_announcement),
                FROM_UNAUTHENTICATED(refuses_invalid_protobuf),
                FROM_UNAUTHENTICATED(refuses_an_end_in_the_middle_of_a_message),
                FROM_UNAUTHENTICATED(refuses_a_unary_call_without_a_message_and_with_two),
                FROM_UNAUTHENTICATED(drops_messages_after_the_answer),
                FROM_UNAUTHENTICATED(takes_trailers_of_the_client_as_its_end),
                FROM_UNAUTHENTICATED(refuses_requests_that_are_not_calls_of_its_methods),
                FROM_UNAUTHENTICATED(honours_the_timeout_of_the_caller),
                FROM_UNAUTHENTICATED(gives_an_unauthenticated_peer_a_minute),
                FROM_UNAUTHENTICATED(refuses_a_header_bomb_and_continues),
                FROM_UNAUTHENTICATED(takes_headers_just_below_their_limit),
                FROM_UNAUTHENTICATED(closes_a_peer_that_sends_many_header_bombs),
                FROM_UNAUTHENTICATED(closes_a_peer_that_never_ends_a_header_block),
                FROM_UNAUTHENTICATED(closes_a_peer_that_resets_many_streams),
                FROM_UNAUTHENTICATED(lets_resets_come_back_with_time),
                FROM_UNAUTHENTICATED(closes_a_peer_that_makes_us_reset_many_streams),
                FROM_UNAUTHENTICATED(closes_a_peer_that_sends_only_control_frames),
                FROM_UNAUTHENTICATED(closes_a_peer_that_sends_empty_data),
                FROM_UNAUTHENTICATED(closes_a_peer_that_does_not_speak_http2),
                FROM_UNAUTHENTICATED(bounds_the_calls_at_one_time),
                FROM_UNAUTHENTICATED(bounds_the_memory_of_unfinished_messages),
                cmocka_unit_test_setup_teardown(bounds_the_memory_of_all_calls, unauthenticated_with_little_memory, tear_down),
                cmocka_unit_test_setup_teardown(releases_the_memory_of_a_call, unauthenticated_with_little_memory, tear_down),
                FROM_A_KNOWN_PEER(closes_a_peer_that_does_not_read_its_answers),
                FROM_A_KNOWN_PEER(ends_a_call_with_an_unread_answer),
                FROM_A_KNOWN_PEER(closes_a_connection_that_answers_no_ping),
                FROM_UNAUTHENTICATED(closes_an_unauthenticated_connection_without_calls),
                FROM_A_KNOWN_PEER(reports_a_broken_connection_to_the_handler),
                FROM_A_KNOWN_PEER(tolerates_resets_of_a_known_peer),
        };

        return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
