/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web/web_requests.h"

#include "base/limits.h"
#include "base/text.h"
#include "proxy/web/recording_export.h"
#include "proxy/web/request_rows.h"
#include "rpc/pb.h"

enum { TEXT_SHOWN = 500 };

struct list {
        struct recording_export export;
        struct request_rows rows;
        const char *id;
        struct str facts;
};

static void release(struct page_request *p)
{
        struct list *l = p->state;

        recording_export_release(&l->export);
        request_rows_release(&l->rows);
}

/* ---- the page ------------------------------------------------------------------------------------------------------ */

/* The host has written it, and perhaps not cut it. */
static void put_clipped(struct buf *out, const char *text)
{
        AUTO(buf) safe = BUF_MAX(4 * TEXT_SHOWN);

        escape_text(&safe, str_of(text), TEXT_SHOWN);
        html_put(out, buf_str(&safe));
}

static void put_status(struct buf *out, const struct request_row *row)
{
        const char *look = row->status == 0 || row->status >= 500 || row->is_cut ? "bad" : row->status >= 400 ? "warn" : "";

        buf_printf(out, "<td data-label=\"Status\"><span class=\"badge %s\">", look);
        if (row->status == 0)
                buf_put_c(out, "no response");
        else
                buf_printf(out, "%lld%s", (long long)row->status, row->is_cut ? ", cut" : "");
        buf_put_c(out, "</span></td>");
}

static void put_row(struct buf *out, const struct request_row *row)
{
        buf_put_c(out, "<tr><td class=\"when\" data-label=\"Time\">");
        put_clipped(out, row->time);
        buf_put_c(out, "</td><td data-label=\"Request\"><code>");
        put_clipped(out, row->method);
        buf_put_char(out, ' ');
        put_clipped(out, row->path);
        if (*row->query != '\0') {
                buf_put_char(out, '?');
                put_clipped(out, row->query);
        }
        buf_put_c(out, "</code></td>");
        put_status(out, row);
        buf_printf(out, "<td class=\"number\" data-label=\"Received\">%lld</td><td class=\"number\" data-label=\"Sent\">%lld</td><td class=\"number\" data-label=\"Duration\">%lld ms</td></tr>\n",
                   (long long)row->received, (long long)row->sent, (long long)row->took_ms);
}

static void put_table(struct buf *out, const struct request_rows *rows)
{
        size_t shown = request_rows_shown(rows);

        buf_put_c(out, "<div class=\"scroll\"><table class=\"cards\"><thead><tr><th>Time</th><th>Request</th><th>Status</th><th class=\"number\">Bytes received</th>"
                       "<th class=\"number\">Bytes sent</th><th class=\"number\">Duration</th></tr></thead><tbody>\n");
        for (size_t i = 0; i < shown; i++)
                put_row(out, request_rows_at(rows, i));
        buf_put_c(out, "</tbody></table></div>\n");
        if (shown < rows->matching)
                html_print(out, "<p class=\"soft\">The newest %zu of %zu. Search to see others.</p>\n", shown, rows->matching);
}

static void put_notes(struct buf *out, const struct list *l)
{
        for (size_t i = 0; i < l->rows.note_count; i++) {
                buf_put_c(out, "<p class=\"notice warn\">");
                html_put_sentence(out, l->rows.notes[i]);
                buf_put_c(out, "</p>\n");
        }
        if (!l->export.has_ended)
                html_print(out, "<p class=\"notice warn\">Only the first %zu requests were read; the plain text has all.</p>\n", l->rows.seen);
}

static void respond(struct page_request *p)
{
        struct list *l = p->state;
        AUTO(buf) out = BUF_MAX(PAGE_MAX);

        buf_put(&out, l->facts);
        put_notes(&out, l);
        html_print(&out, "<form class=\"filter\" role=\"search\" method=\"get\" action=\"/web/recordings/%s\"><label for=\"q\">Method, path or status</label>"
                         "<input id=\"q\" name=\"q\" type=\"search\" value=\"%.*s\"><button>Search</button></form>\n", l->id, STR_ARG(l->rows.words));
        if (l->rows.matching > 0)
                put_table(&out, &l->rows);
        else
                buf_put_c(&out, l->rows.seen == 0 ? "<p class=\"empty\">There are no requests yet.</p>\n" : "<p class=\"empty\">No request matches.</p>\n");
        html_print(&out, "<p><a class=\"button plain\" href=\"/web/recordings/%s.txt\">Plain text</a></p>\n", l->id);
        release(p);
        struct error *err = buf_finish(&out, "the page");
        if (err != NULL)
                page_fail(p, error_hint(err, "search for less, or read the plain text"));
        else
                page_respond(p, 200, buf_str(&out));
}

/* ---- reading the recording ------------------------------------------------------------------------------------------ */

static void request_data(struct page_request *p);

static void on_failed(struct page_request *p, struct error *err)
{
        release(p);
        page_fail(p, err);
}

static void on_data(struct page_request *p, const ProtobufCMessage *answer)
{
        struct list *l = p->state;
        AUTO(buf) text = BUF_MAX(RECORDING_EXPORT_MAX);
        struct error *err = recording_export_put(&l->export, (const Cteleport__V1__GetRecordingResponse *)answer, &text);

        if (err != NULL) {
                on_failed(p, err);
                return;
        }
        request_rows_put(&l->rows, buf_str(&text));
        if (l->export.has_ended || l->export.offset >= LIMIT_WEB_REQUESTS_READ)
                respond(p);
        else
                request_data(p);
}

static void request_data(struct page_request *p)
{
        Cteleport__V1__GetRecordingRequest request = CTELEPORT__V1__GET_RECORDING_REQUEST__INIT;
        const struct list *l = p->state;

        request.session_id = pb_text(l->id);
        request.offset = l->export.offset;
        page_call_or(p, "/cteleport.v1.AdminService/GetRecording", &request.base, &cteleport__v1__get_recording_response__descriptor, on_data, on_failed);
}

void web_requests_serve(struct page_request *p, const char *session_id, struct str facts)
{
        static const struct page_row row = { "/web/recordings", "Requests", NULL };
        struct list *l = arena_alloc(p->arena, sizeof *l);

        p->row = &row;
        l->id = session_id;
        l->facts = facts;
        recording_export_begin(&l->export, str_of(session_id), RECORDING_EXPORT_TEXT);
        request_rows_begin(&l->rows, str_trim(form_value(&p->form, "q")));
        p->state = l;
        request_data(p);
}
