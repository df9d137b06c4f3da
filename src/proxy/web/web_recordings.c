/* SPDX-License-Identifier: Apache-2.0 */
#include "proxy/web/web_recordings.h"

#include <stdio.h>
#include <stdlib.h>

#include "api.pb-c.h"
#include "base/limits.h"
#include "base/names.h"
#include "base/text.h"
#include "proxy/web/assets.h"
#include "proxy/web/page_request.h"
#include "proxy/web/recording_export.h"
#include "proxy/web/web_requests.h"
#include "rpc/pb.h"

enum { SESSION_ID_LEN = 36, COMMAND_SHOWN = 200 };
#define FOLDER "/web/recordings"

static struct error *no_recording(void)
{
        return error_hint(error_new(ERROR_NOT_FOUND, "there is no recording of such a session, or your roles do not allow you to read it"),
                          "the list of recordings shows which there are");
}

/* ---- a recording in a page ---------------------------------------------------------------------------------------- */

/* How the status of a recording is shown: its class, and what it means. */
static const struct {
        const char *status, *look, *meaning;
} statuses[] = {
        { "complete", "good", "The recording is complete and matches the digest that the cluster noted." },
        { "unread", "good", "The recording is complete. It is too large to be compared in a list; playing it compares it." },
        { "unproven", "warn", "The recording is complete. An older release stored no digest, so its content cannot be compared." },
        { "recording", "", "The session still goes on." },
        { "waiting", "warn", "The session is over. The rest of the recording has not arrived from the host yet." },
        { "damaged", "bad", "The disk of the host has damaged the recording: parts are missing." },
        { "aborted", "warn", "The host was lost or stopped during the session: the recording stops there." },
};

static void put_status(struct buf *out, const char *status)
{
        const char *look = "bad", *meaning = "The file of the recording is not as the cluster received it.";

        for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
                if (strcmp(statuses[i].status, status) == 0) {
                        look = statuses[i].look;
                        meaning = statuses[i].meaning;
                }
        }
        html_print(out, "<span class=\"badge %s\" title=\"%s\">%s</span>", look, meaning, status);
}

/* Unix milliseconds; ended 0: it has not. */
static void put_duration(struct buf *out, int64_t started, int64_t ended)
{
        long long seconds = ended > started ? (ended - started) / 1000 : 0;

        if (ended == 0)
                buf_put_c(out, "still going on");
        else if (seconds >= 3600)
                buf_printf(out, "%lld h %lld min", seconds / 3600, seconds / 60 % 60);
        else if (seconds >= 60)
                buf_printf(out, "%lld min %lld s", seconds / 60, seconds % 60);
        else
                buf_printf(out, "%lld s", seconds);
}

/* ---- the list ------------------------------------------------------------------------------------------------------- */

/* A recording that matches; texts in the arena of the request. */
struct row {
        int64_t started, ended;
        const char *id, *user, *login, *hostname, *command, *status;
};

struct list {
        struct str words;
        struct row *rows; /* LIMIT_WEB_RECORDINGS */
        size_t count, seen;
        bool is_cut; /* there are more than were seen */
};

static bool contains(const char *text, struct str word)
{
        return str_contains_nocase(str_of(text), word);
}

/* Whether each word is in a text of the recording. */
static bool matches(struct str words, const Cteleport__V1__Recording *r)
{
        while (!str_is_empty(words)) {
                struct str word = str_split(&words, ' ');

                if (!contains(r->user, word) && !contains(r->login, word) && !contains(r->hostname, word) && !contains(r->command, word) &&
                    !contains(r->session_id, word))
                        return false;
        }
        return true;
}

static struct row keep(struct arena *arena, const Cteleport__V1__Recording *r)
{
        return (struct row){ .started = r->started, .ended = r->ended, .id = arena_str(arena, str_of(r->session_id)).ptr,
                             .user = arena_str(arena, str_of(r->user)).ptr, .login = arena_str(arena, str_of(r->login)).ptr,
                             .hostname = arena_str(arena, str_of(r->hostname)).ptr, .command = arena_str(arena, str_slice(str_of(r->command), 0, COMMAND_SHOWN)).ptr,
                             .status = arena_str(arena, str_of(r->status)).ptr };
}

static int compare_rows(const void *a, const void *b)
{
        const struct row *x = a, *y = b;

        return x->started != y->started ? (x->started < y->started ? 1 : -1) : strcmp(x->id, y->id);
}

/* Whether the recording is that of a connection to an application, which has no login: it has requests, and the command is the application's name. */
static bool is_of_app(const char *login)
{
        return *login == '\0';
}

static void put_session(struct buf *out, const char *login, const char *hostname, const char *command)
{
        if (is_of_app(login))
                html_print(out, "application <b>%s</b> on %s", command, hostname);
        else
                html_print(out, "%s@%s", login, hostname);
        if (!is_of_app(login) && *command != '\0')
                html_print(out, "<br><code>%s</code>", command);
}

static void put_row(struct buf *out, const struct row *r)
{
        bool is_app = is_of_app(r->login);

        buf_put_c(out, "<tr><td data-label=\"Started\">");
        html_put_time(out, r->started / 1000);
        html_print(out, "</td><td data-label=\"User\">%s</td><td data-label=\"Session\">", r->user);
        put_session(out, r->login, r->hostname, r->command);
        buf_put_c(out, "</td><td data-label=\"Duration\">");
        put_duration(out, r->started, r->ended);
        buf_put_c(out, "</td><td data-label=\"Status\">");
        put_status(out, r->status);
        html_print(out, "</td><td class=\"act\"><a class=\"button plain\" href=\"" FOLDER "/%s\" aria-label=\"%s of %s on %s, %s\">%s</a></td></tr>\n",
                   r->id, is_app ? "Requests" : "Play the session", r->user, r->hostname, r->id, is_app ? "Requests" : "Play");
}

static void put_table(struct buf *out, const struct list *l)
{
        size_t shown = l->count < LIMIT_WEB_RECORDINGS_SHOWN ? l->count : LIMIT_WEB_RECORDINGS_SHOWN;

        buf_put_c(out, "<div class=\"scroll\"><table class=\"cards\"><thead><tr><th>Started</th><th>User</th><th>Session</th><th>Duration</th><th>Status</th>"
                       "<th><span class=\"unseen\">Player</span></th></tr></thead><tbody>\n");
        for (size_t i = 0; i < shown; i++)
                put_row(out, &l->rows[i]);
        buf_put_c(out, "</tbody></table></div>\n");
        if (shown < l->count)
                html_print(out, "<p class=\"soft\">The newest %zu of %zu. Search to see others.</p>\n", shown, l->count);
}

static void respond_list(struct page_request *p)
{
        struct list *l = p->state;
        AUTO(buf) out = BUF_MAX(PAGE_MAX);

        qsort(l->rows, l->count, sizeof *l->rows, compare_rows);
        html_print(&out, "<form class=\"filter\" role=\"search\" method=\"get\" action=\"" FOLDER "\"><label for=\"q\">User, login, host, command or application</label>"
                         "<input id=\"q\" name=\"q\" type=\"search\" value=\"%.*s\"><button>Search</button></form>\n", STR_ARG(l->words));
        if (l->count == 0)
                buf_put_c(&out, str_is_empty(l->words) ? "<p class=\"empty\">There are no recordings that you may see. Sessions on a terminal and requests to applications are recorded.</p>\n"
                                                       : "<p class=\"empty\">No recording matches.</p>\n");
        else
                put_table(&out, l);
        if (l->is_cut)
                html_print(&out, "<p class=\"soft\">Only %zu recordings were looked at; <code>tsh recordings ls</code> lists all.</p>\n", l->seen);
        page_respond(p, 200, buf_str(&out));
}

static void request_page(struct page_request *p, const char *after);

static void on_page(struct page_request *p, const ProtobufCMessage *answer)
{
        const Cteleport__V1__ListRecordingsResponse *r = (const Cteleport__V1__ListRecordingsResponse *)answer;
        struct list *l = p->state;

        for (size_t i = 0; i < r->n_recordings && l->seen < LIMIT_WEB_RECORDINGS; i++, l->seen++)
                if (matches(l->words, r->recordings[i]))
                        l->rows[l->count++] = keep(p->arena, r->recordings[i]);
        l->is_cut = *r->next != '\0' && l->seen == LIMIT_WEB_RECORDINGS;
        if (*r->next != '\0' && !l->is_cut)
                request_page(p, r->next);
        else
                respond_list(p);
}

static void request_page(struct page_request *p, const char *after)
{
        Cteleport__V1__ListRequest request = CTELEPORT__V1__LIST_REQUEST__INIT;

        request.after = pb_text(after);
        page_call(p, "/cteleport.v1.AdminService/ListRecordings", &request.base, &cteleport__v1__list_recordings_response__descriptor, on_page);
}

static void serve_list(struct page_request *p)
{
        struct list *l = arena_alloc(p->arena, sizeof *l);

        l->words = str_trim(form_value(&p->form, "q"));
        l->rows = arena_alloc(p->arena, LIMIT_WEB_RECORDINGS * sizeof *l->rows);
        p->state = l;
        request_page(p, "");
}

/* ---- the player --------------------------------------------------------------------------------------------------------- */

/* What follows the folder in the path: "ID", "ID.cast" or "ID.txt". The ID is in the arena; "": it is none. */
static const char *session_of(const struct page_request *p, struct str suffix)
{
        struct str name = str_slice(p->path, sizeof FOLDER, p->path.len);
        struct str id = str_slice(name, 0, SESSION_ID_LEN);

        if (!name_is_uuid(id) || !str_equal(str_slice(name, SESSION_ID_LEN, name.len), suffix))
                return "";
        return arena_str(p->arena, id).ptr;
}

static void put_facts(struct buf *out, const Cteleport__V1__Recording *r)
{
        html_print(out, "<dl class=\"facts\"><dt>User</dt><dd>%s</dd><dt>Session</dt><dd>", r->user);
        put_session(out, r->login, r->hostname, r->command);
        buf_put_c(out, "</dd><dt>Started</dt><dd>");
        html_put_time(out, r->started / 1000);
        buf_put_c(out, "</dd><dt>Duration</dt><dd>");
        put_duration(out, r->started, r->ended);
        buf_put_c(out, "</dd><dt>Status</dt><dd>");
        put_status(out, r->status);
        html_print(out, "</dd><dt>Session ID</dt><dd><code>%s</code></dd></dl>\n", r->session_id);
}

static void on_recording(struct page_request *p, const ProtobufCMessage *answer)
{
        const Cteleport__V1__ListRecordingsResponse *list = (const Cteleport__V1__ListRecordingsResponse *)answer;
        AUTO(buf) out = BUF_MAX(PAGE_MAX);

        if (list->n_recordings == 0 || strcmp(list->recordings[0]->session_id, p->state) != 0) {
                page_fail(p, no_recording());
                return;
        }
        const Cteleport__V1__Recording *r = list->recordings[0];
        put_facts(&out, r);
        if (is_of_app(r->login)) {
                web_requests_serve(p, p->state, arena_str(p->arena, buf_str(&out)));
                return;
        }
        html_print(&out, "<div id=\"player\" class=\"player\" data-cast=\"" FOLDER "/%s.cast\" hidden></div>\n"
                         "<noscript><p class=\"notice\">The player needs scripts. The plain text and the download do not.</p></noscript>\n"
                         "<p><a class=\"button plain\" href=\"" FOLDER "/%s.cast\" download=\"%s.cast\">Download as asciicast</a> "
                         "<a class=\"button plain\" href=\"" FOLDER "/%s.txt\">Plain text</a></p>\n",
                   r->session_id, r->session_id, r->session_id, r->session_id);
        html_print(&out, "<script src=\"%s\" defer></script><script src=\"%s\" defer></script>\n", web_asset_url("terminal.js"), web_asset_url("player.js"));
        page_respond(p, 200, buf_str(&out));
}

/* The ID before this one in the order of a list. */
static void decrement(char *id)
{
        static const char digits[] = "0123456789abcdef";

        for (size_t i = SESSION_ID_LEN; i-- > SESSION_ID_LEN - 12;) { /* version and variant are in front of the last 12 digits */
                const char *at = strchr(digits, id[i]);

                id[i] = at == NULL || at == digits ? 'f' : at[-1];
                if (id[i] != 'f')
                        return;
        }
}

/* A list of one, from the ID before it: reading the recording itself would be audited as an access. */
static void serve_player(struct page_request *p)
{
        Cteleport__V1__ListRequest request = CTELEPORT__V1__LIST_REQUEST__INIT;
        const char *id = session_of(p, STR(""));
        char before[SESSION_ID_LEN + 1];

        if (*id == '\0') {
                page_fail(p, no_recording());
                return;
        }
        p->state = memcpy(arena_alloc(p->arena, SESSION_ID_LEN + 1), id, SESSION_ID_LEN);
        snprintf(before, sizeof before, "%s", id);
        decrement(before);
        request.after = before;
        request.limit = 1;
        page_call(p, "/cteleport.v1.AdminService/ListRecordings", &request.base, &cteleport__v1__list_recordings_response__descriptor, on_recording);
}

/* ---- downloads ------------------------------------------------------------------------------------------------------------ */

struct download {
        struct recording_export export;
        const char *id;
        bool has_begun, is_requested; /* the head was sent; an answer of auth is awaited */
};

static void request_data(struct page_request *p);

static void end_download(struct page_request *p)
{
        struct download *d = p->state;

        recording_export_release(&d->export);
        if (p->exchange != NULL)
                http_respond_end(p->exchange);
        page_end(p);
}

/* Requests more when the browser has taken enough of the last answer. */
static void continue_download(struct page_request *p)
{
        struct download *d = p->state;

        if (!d->is_requested && http_exchange_pending(p->exchange) < LIMIT_RECORDING_PAGE)
                request_data(p);
}

static void on_drain(void *ctx)
{
        continue_download(ctx);
}

static void on_browser_gone(void *ctx)
{
        struct page_request *p = ctx;
        struct download *d = p->state;

        p->exchange = NULL;
        if (!d->is_requested)
                end_download(p); /* otherwise the answer does */
}

static const struct http_exchange_events download_events = { .on_drain = on_drain, .on_gone = on_browser_gone };

static void begin_response(struct page_request *p)
{
        static const char fields[] = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nCross-Origin-Resource-Policy: same-origin\r\n"
                                     "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'; sandbox\r\n";
        struct download *d = p->state;

        if (d->has_begun)
                return;
        d->has_begun = true;
        http_respond_begin(p->exchange, (struct http_response){ .status = 200, .fields = fields,
                                                                .content_type = d->export.format == RECORDING_EXPORT_CAST ? "application/x-asciicast"
                                                                                                                         : "text/plain; charset=utf-8" },
                           HTTP_LENGTH_UNKNOWN);
}

static void send_text(struct page_request *p, const struct buf *text)
{
        struct download *d = p->state;

        begin_response(p);
        if (text->len > 0)
                http_respond_write(p->exchange, buf_str(text));
        if (d->export.has_ended)
                end_download(p);
        else
                continue_download(p);
}

static void on_failed(struct page_request *p, struct error *err)
{
        struct download *d = p->state;
        AUTO(buf) text = BUF_MAX(RECORDING_EXPORT_MAX);

        d->is_requested = false;
        if (p->exchange != NULL && !d->has_begun) {
                recording_export_release(&d->export);
                page_fail(p, err);
                return;
        }
        if (p->exchange != NULL) {
                recording_export_note(&d->export, &text, "the download was interrupted: the rest is missing");
                http_respond_write(p->exchange, buf_str(&text));
        }
        error_free(err);
        end_download(p);
}

static void on_data(struct page_request *p, const ProtobufCMessage *answer)
{
        struct download *d = p->state;
        AUTO(buf) text = BUF_MAX(RECORDING_EXPORT_MAX);

        d->is_requested = false;
        struct error *err = p->exchange == NULL ? error_new(ERROR_CANCELLED, "the browser has gone")
                                                : recording_export_put(&d->export, (const Cteleport__V1__GetRecordingResponse *)answer, &text);
        if (err != NULL)
                on_failed(p, err);
        else
                send_text(p, &text);
}

static void request_data(struct page_request *p)
{
        Cteleport__V1__GetRecordingRequest request = CTELEPORT__V1__GET_RECORDING_REQUEST__INIT;
        struct download *d = p->state;

        d->is_requested = true;
        request.session_id = pb_text(d->id);
        request.offset = d->export.offset;
        page_call_or(p, "/cteleport.v1.AdminService/GetRecording", &request.base, &cteleport__v1__get_recording_response__descriptor, on_data, on_failed);
}

static void serve_download(struct page_request *p, struct str suffix, enum recording_export_format format)
{
        struct download *d = arena_alloc(p->arena, sizeof *d);

        d->id = session_of(p, suffix);
        if (*d->id == '\0') {
                page_fail(p, no_recording());
                return;
        }
        p->state = d;
        recording_export_begin(&d->export, str_of(d->id), format);
        http_exchange_listen(p->exchange, &download_events, p);
        request_data(p);
}

static void serve_cast(struct page_request *p)
{
        serve_download(p, STR(".cast"), RECORDING_EXPORT_CAST);
}

static void serve_text(struct page_request *p)
{
        serve_download(p, STR(".txt"), RECORDING_EXPORT_TEXT);
}

void web_recordings_open(void *ctx, struct http_exchange *x)
{
        static const struct page_row list = { FOLDER, "Recordings", .serve = serve_list }, player = { FOLDER, "Recording", .serve = serve_player },
                                     cast = { FOLDER, "Recording", .serve = serve_cast }, text = { FOLDER, "Recording", .serve = serve_text };
        struct str path = http_exchange_request(x)->path;

        if (path.len < sizeof FOLDER + 1)
                page_open(ctx, x, &list);
        else if (str_ends_with(path, STR(".cast")))
                page_open(ctx, x, &cast);
        else if (str_ends_with(path, STR(".txt")))
                page_open(ctx, x, &text);
        else
                page_open(ctx, x, &player);
}
