/* SPDX-License-Identifier: Apache-2.0 */
#include "client/node_tunnel.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "net/http1.h"
#include "net/http_connect.h"

enum { STATUS_OK = 200, HOST_ID_MAX = 64 };

struct node_tunnel {
        struct http_connect *connect;
        void (*done)(void *ctx, struct stream *s, struct error *err);
        void *ctx;
        char host_id[HOST_ID_MAX + 1];
};

/* ---- refusals ------------------------------------------------------------------------------------------- */

static const struct {
        int status;
        enum error_code code;
        const char *otherwise; /* text for an answer without a body */
} refusals[] = {
        { 400, ERROR_INVALID_ARGUMENT, "the proxy does not understand the request" },
        { 401, ERROR_UNAUTHENTICATED, "the proxy does not accept the certificate" },
        { 403, ERROR_PERMISSION_DENIED, "access denied" },
        { 404, ERROR_NOT_FOUND, "there is nothing of this name" },
        { 409, ERROR_FAILED_PRECONDITION, "ambiguous host could match multiple nodes" },
        { 429, ERROR_RESOURCE_EXHAUSTED, "the proxy has too much to do" },
        { 0, ERROR_UNAVAILABLE, "the host cannot be reached" },
};

struct error *node_refusal(int status, struct str body)
{
        const struct str mark = STR("hint: ");
        struct str rest = str_slice(body, 0, NODE_REFUSAL_MAX), hint = { 0 };
        struct str what = str_trim(str_split(&rest, '\n'));
        size_t row = 0;

        while (!str_is_empty(rest) && str_is_empty(hint)) {
                struct str line = str_trim(str_split(&rest, '\n'));

                if (str_starts_with(line, mark))
                        hint = str_slice(line, mark.len, line.len);
        }
        while (refusals[row].status != 0 && refusals[row].status != status)
                row++;
        AUTO_MEM char *shown = escaped(str_is_empty(what) ? str_of(refusals[row].otherwise) : what);
        AUTO_MEM char *shown_hint = escaped(hint);
        struct error *err = error_new(refusals[row].code, "%s", shown);
        return str_is_empty(hint) ? err : error_hint(err, "%s", shown_hint);
}

/* ---- the request ----------------------------------------------------------------------------------------- */

static struct error *error_of(const struct http_connect_result *r)
{
        switch (r->outcome) {
        case HTTP_CONNECT_TUNNEL:
                return r->status == STATUS_OK ? NULL : node_refusal(r->status, STR(""));
        case HTTP_CONNECT_REFUSED:
                return node_refusal(r->status, r->body);
        case HTTP_CONNECT_MALFORMED:
                r->err->code = ERROR_UNAVAILABLE;
                return error_wrap(r->err, "the proxy's answer makes no sense");
        case HTTP_CONNECT_ENDED:
                return r->err != NULL ? r->err : error_new(ERROR_UNAVAILABLE, "the proxy ended the connection without an answer");
        case HTTP_CONNECT_TIMEOUT:
                return error_new(ERROR_DEADLINE_EXCEEDED, "the proxy did not answer in time");
        case HTTP_CONNECT_CANCELLED:
                break;
        }
        return error_new(ERROR_CANCELLED, "the connection was given up");
}

/* An answer that names no valid ID, or none at all, is that of an earlier release. */
static void note_host(struct node_tunnel *t, struct str id)
{
        if (!name_is_host_id(id) || id.len > HOST_ID_MAX)
                return;
        memcpy(t->host_id, id.ptr, id.len);
        t->host_id[id.len] = '\0';
}

const char *node_tunnel_host_id(const struct node_tunnel *t)
{
        return t->host_id;
}

static void on_connect(void *ctx, const struct http_connect_result *result)
{
        struct node_tunnel *t = ctx;
        struct error *err = error_of(result);
        struct stream *node = result->tunnel;

        if (err != NULL) {
                stream_close(node);
                node = NULL;
        }
        if (node != NULL)
                note_host(t, http1_response_field(result->head, "X-Teleport-Host-Id"));
        t->done(t->ctx, node, err);
        free(t);
}

struct node_tunnel *node_tunnel_start(struct loop *l, struct stream *proxy, const struct node_tunnel_target *target, struct duration within,
                                      void (*done)(void *ctx, struct stream *s, struct error *err), void *ctx)
{
        AUTO_MEM char *host_port = mem_printf("%s:%u", target->name, target->port);
        AUTO(buf) fields = BUF_MAX(2 * KiB);
        struct node_tunnel *t = NEW(struct node_tunnel);

        *t = (struct node_tunnel){ .done = done, .ctx = ctx };
        if (*target->login != '\0')
                buf_printf(&fields, "X-Teleport-Login: %s\r\n", target->login);
        if (target->is_app)
                buf_put_c(&fields, "X-Teleport-Kind: app\r\n");
        if (target->is_app && *target->tried != '\0')
                buf_printf(&fields, "X-Teleport-Tried: %s\r\n", target->tried);
        t->connect = http_connect_start(l, proxy,
                                        &(struct http_connect_request){ .target = host_port, .fields = buf_str(&fields),
                                                                        .body_max = NODE_REFUSAL_MAX, .within = within },
                                        on_connect, t);
        return t;
}

void node_tunnel_cancel(struct node_tunnel *t)
{
        http_connect_cancel(t->connect);
}
