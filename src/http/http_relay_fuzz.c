/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole connection: "CLIENT\0BACKEND\0BACKEND…", the bytes that the client and then each backend sends before it closes. Properties: the
 * relay ends after its client, or it is a tunnel; what each backend received are proper requests, one after another; however the client's
 * bytes arrive.
 */
#include "base/bug.h"
#include "http/body.h"
#include "http/relay_testing.h"

enum { TURNS = 300 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads what a backend received as a strict server does. */
static void check_requests(struct str rest)
{
        while (rest.len > 0) {
                AUTO(http_request) r = { 0 };
                AUTO(http_body_reader) body = { 0 };
                struct str piece;
                size_t scanned = 0, len;
                struct error *err = http_head_find_end(rest, &scanned, &len);

                if (err == NULL && len > 0)
                        err = http_request_parse(str_slice(rest, 0, len), &r);
                if (err != NULL && err->code != ERROR_RESOURCE_EXHAUSTED)
                        bug("a backend was sent a malformed head: %s", err->what);
                if (err != NULL || len == 0 || r.upgrade.len > 0) { /* any bytes may follow an upgrade */
                        error_free(err);
                        return;
                }
                rest = str_slice(rest, len, rest.len);
                http_body_start(&body, r.body);
                while (rest.len > 0 && !http_body_is_done(&body)) {
                        err = http_body_read(&body, &rest, &piece);
                        if (err != NULL)
                                bug("a backend was sent a malformed body: %s", err->what);
                }
        }
}

static void serve(struct relay_owner *o, struct str answers)
{
        for (size_t i = 0; i < PEERS_MAX; i++) {
                struct str answer = str_split(&answers, '\0');

                owner_turn(o, 10);
                if (i >= o->backend_count)
                        break;
                stream_write(o->backends[i].stream, answer);
                owner_turn(o, 10);
                stream_shutdown(o->backends[i].stream);
                owner_turn(o, TURNS / 10);
        }
}

static void run(struct str bytes, size_t reads)
{
        struct relay_owner o;
        struct str rest = bytes, client = str_split(&rest, '\0');

        owner_start(&o, reads);
        o.edits = true;
        stream_write(o.client.stream, client);
        owner_turn(&o, reads == 1 ? (int)client.len + 10 : 10);
        serve(&o, rest);
        stream_shutdown(o.client.stream);
        owner_turn(&o, TURNS);
        loop_advance(&o.loop, &o.clock, MINUTES(20));
        owner_turn(&o, 20);
        if (o.relay != NULL && !o.has_tunnel)
                bug("a relay goes on after its client has ended");
        for (size_t i = 0; i < o.backend_count; i++)
                check_requests(buf_str(&o.backends[i].received));
        owner_release(&o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        run(str_of_bytes(data, size), LOOP_BUFFER);
        if (size <= 1 * KiB)
                run(str_of_bytes(data, size), 1);
        return 0;
}
