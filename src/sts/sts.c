/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The states of a query:
 *
 *   new ──► waiting ──► running ──► answered
 *              ▲           │
 *              └── pause ◄─┘  STS failed or is unreachable, and time is left
 *
 * Each STS host has a queue of its own, so that a slow, silent or unknown STS host delays only the joining hosts that named
 * it. At most LIMIT_STS_IN_FLIGHT queries of an STS host run or pause. The next one to run is the oldest query of
 * the source with the fewest queries under way. The deadline of a query runs in every state.
 */
#include "sts/sts.h"

#include <stdlib.h>

#include "aws/identity_request.h"
#include "aws/sts_answer.h"
#include "aws/sts_hosts.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/names.h"
#include "base/secret.h"
#include "base/text.h"
#include "internal.pb-c.h"
#include "loop/loop.h"
#include "net/http_client.h"
#include "os/file.h"
#include "rpc/link.h"
#include "rpc/wire.h"

struct sts {
        struct loop loop;
        struct sts_options options;
        struct link_service *service; /* NULL after the client has disconnected */
        struct http_client *http;
        struct host *hosts; /* all hosts named so far; the table of STS hosts bounds their number */
        size_t count;       /* number of queries */
};

/* An STS host, its queries and their sources. */
struct host {
        struct host *next;
        struct sts_host is;
        struct query *queries; /* oldest first */
        struct source *sources;     /* sources that have queries to this host */
        size_t count, under_way;
        bool is_proven; /* the last query that ended was answered */
};

/* A client that named the STS host: its address, or "" when that is not known. */
struct source {
        struct source *next;
        size_t count, under_way;
        char *address;
};

struct query {
        struct sts *sts;
        struct query *next;
        uint32_t id;
        struct host *host;
        struct source *source;
        char **headers; /* "Name: value", NULL-terminated; secret: they hold a signature */
        struct instant requested, begun;
        struct timer *deadline;
        struct timer *pause;
        struct backoff backoff;
        struct instant end;
        struct http_call *call;
        bool is_under_way;
        int tries;
};

enum { ANSWER_DATE, ANSWER_REQUEST_ID, ANSWER_TYPE, ANSWER_ENCODING };

static void start_waiting(struct host *h);

/* ---- the end of a query -------------------------------------------------------------------------- */

static void source_drop(struct host *h, struct source *source)
{
        if (--source->count > 0)
                return;
        for (struct source **at = &h->sources; *at != NULL; at = &(*at)->next) {
                if (*at == source) {
                        *at = source->next;
                        break;
                }
        }
        free(source->address);
        free(source);
}

static void query_free(struct query *q)
{
        struct host *h = q->host;

        for (struct query **at = &h->queries; *at != NULL; at = &(*at)->next) {
                if (*at == q) {
                        *at = q->next;
                        break;
                }
        }
        q->sts->count--;
        h->count--;
        h->under_way -= q->is_under_way;
        q->source->under_way -= q->is_under_way;
        source_drop(h, q->source);
        for (char **header = q->headers; *header != NULL; header++) {
                wipe(*header, strlen(*header));
                free(*header);
        }
        free(q->headers);
        timer_free(q->deadline);
        timer_free(q->pause);
        free(q);
}

/* Sends the answer unless the client is gone, and starts the next query. */
static void query_answer(struct query *q, Cteleport__Internal__V1__StsAnswer *answer)
{
        struct sts *s = q->sts;
        struct host *h = q->host;

        answer->tries = q->tries;
        answer->ms = duration_ms(instant_since(loop_now(&s->loop), q->requested));
        if (answer->outcome >= CTELEPORT__INTERNAL__V1__STS_ANSWER__OUTCOME__IDENTIFIED) /* the labels are in this order */
                metric_observe_at(METRIC_STS_SECONDS, (size_t)answer->outcome - CTELEPORT__INTERNAL__V1__STS_ANSWER__OUTCOME__IDENTIFIED,
                                  instant_since(loop_now(&s->loop), q->requested));
        if (s->service != NULL)
                link_service_answer(s->service, q->id, &answer->base);
        query_free(q);
        start_waiting(h);
}

static void query_give_up(struct query *q, Cteleport__Internal__V1__StsAnswer__Outcome outcome, char *why)
{
        Cteleport__Internal__V1__StsAnswer answer = CTELEPORT__INTERNAL__V1__STS_ANSWER__INIT;

        answer.outcome = outcome;
        answer.message = why;
        query_answer(q, &answer);
}

/* ---- sending a query --------------------------------------------------------------------------------- */

static struct duration time_left(const struct query *q)
{
        return instant_since(q->end, loop_now(&q->sts->loop));
}

/* Repeats the query after a pause, if a try and enough time are left. */
static bool may_try_again(struct query *q)
{
        struct duration pause = backoff_next(&q->backoff);

        q->host->is_proven = false;
        if (q->tries >= LIMIT_STS_TRIES || pause.ns >= time_left(q).ns || q->sts->service == NULL)
                return false;
        timer_start(q->pause, pause);
        return true;
}

static void on_error(struct query *q, struct error *err)
{
        AUTO_PTR(error) owned = err;
        AUTO_MEM char *why = err->hint == NULL ? str_dup(str_of(err->what)) : mem_printf("%s (%s)", err->what, err->hint);

        if (err->code == ERROR_CANCELLED && q->sts->service == NULL)
                query_free(q); /* the client is gone */
        else if (err->code == ERROR_CANCELLED) {
                q->host->is_proven = false;
                query_give_up(q, CTELEPORT__INTERNAL__V1__STS_ANSWER__OUTCOME__UNREACHABLE,
                                 (char[]){ "STS did not answer in time" });
        } else if (err->code == ERROR_INTERNAL || err->code == ERROR_RESOURCE_EXHAUSTED)
                query_give_up(q, CTELEPORT__INTERNAL__V1__STS_ANSWER__OUTCOME__STRANGE, why);
        else if (err->code == ERROR_PERMISSION_DENIED || err->code == ERROR_FAILED_PRECONDITION || !may_try_again(q))
                query_give_up(q, CTELEPORT__INTERNAL__V1__STS_ANSWER__OUTCOME__UNREACHABLE, why);
}

static int64_t date_of(struct str header)
{
        struct walltime date;
        AUTO_PTR(error) err = walltime_parse_http(header, &date);

        return err == NULL ? walltime_unix(date) : 0;
}

/* The header if it is a UUID, else "": other text of the server is not passed on. */
static struct str request_id_of(struct str header)
{
        return name_is_host_id(header) ? header : STR("");
}

static void on_answer(void *ctx, const struct http_answer *http, struct error *err)
{
        static const Cteleport__Internal__V1__StsAnswer__Outcome outcomes[] = {
                [STS_OUTCOME_IDENTIFIED] = CTELEPORT__INTERNAL__V1__STS_ANSWER__OUTCOME__IDENTIFIED,
                [STS_OUTCOME_REFUSED] = CTELEPORT__INTERNAL__V1__STS_ANSWER__OUTCOME__REFUSED,
                [STS_OUTCOME_UNREACHABLE] = CTELEPORT__INTERNAL__V1__STS_ANSWER__OUTCOME__UNREACHABLE,
                [STS_OUTCOME_STRANGE] = CTELEPORT__INTERNAL__V1__STS_ANSWER__OUTCOME__STRANGE,
        };
        struct query *q = ctx;

        q->call = NULL;
        if (err != NULL) {
                on_error(q, err);
                return;
        }
        AUTO(sts_answer) a = { 0 };
        const struct sts_http sent = { http->status, http->wanted[ANSWER_TYPE], http->wanted[ANSWER_ENCODING], http->body };
        sts_answer_read(&sent, q->host->is.partition, &a);
        if (a.outcome == STS_OUTCOME_UNREACHABLE && may_try_again(q))
                return;

        q->host->is_proven = a.outcome == STS_OUTCOME_IDENTIFIED || a.outcome == STS_OUTCOME_REFUSED;
        AUTO_MEM char *request_id = str_dup(request_id_of(http->wanted[ANSWER_REQUEST_ID]));
        Cteleport__Internal__V1__StsAnswer answer = CTELEPORT__INTERNAL__V1__STS_ANSWER__INIT;
        answer.outcome = outcomes[a.outcome];
        answer.account = a.account;
        answer.arn = a.arn;
        answer.user_id = a.user_id;
        answer.code = a.code;
        answer.message = a.message;
        answer.http_status = http->status;
        answer.request_id = request_id;
        answer.aws_date = date_of(http->wanted[ANSWER_DATE]);
        query_answer(q, &answer);
}

static void query_start(struct query *q)
{
        struct sts *s = q->sts;
        AUTO_MEM char *url = mem_printf("https://%s/", q->host->is.name);
        struct duration left = time_left(q), connect = MILLISECONDS(TIMEOUT_STS_CONNECT);
        struct http_request r = {
                .method = "POST",
                .url = url,
                .headers = (const char *const *)q->headers,
                .body = STR(AWS_IDENTITY_BODY),
                .use_proxy = s->options.connect_to == NULL,
                .connect_to = s->options.connect_to,
                .connect_within = left.ns < connect.ns ? left : connect,
                .within = left,
                .limit = LIMIT_STS_ANSWER,
                .is_fresh = q->tries > 0, /* the reused connection of the first try may be dead */
                .wanted = { [ANSWER_DATE] = "date", [ANSWER_REQUEST_ID] = "x-amzn-requestid",
                            [ANSWER_TYPE] = "content-type", [ANSWER_ENCODING] = "content-encoding" },
        };

        q->tries++;
        q->call = http_call_start(s->http, &r, on_answer, q);
}

static void on_pause_over(void *ctx)
{
        query_start(ctx);
}

static void on_deadline(void *ctx)
{
        struct query *q = ctx;

        if (q->call != NULL)
                http_call_cancel(q->call); /* on_error() sends the answer */
        else
                query_give_up(q, CTELEPORT__INTERNAL__V1__STS_ANSWER__OUTCOME__UNREACHABLE,
                                 q->tries == 0 ? (char[]){ "too many requests to this STS host are waiting" } :
                                                 (char[]){ "STS did not answer in time" });
}

/* The next query to run: the oldest one of the source with the fewest queries under way. NULL: none may run. */
static struct query *next_waiting(const struct host *h)
{
        struct query *next = NULL;

        for (struct query *q = h->queries; q != NULL; q = q->next) {
                bool is_full = q->source->address[0] != '\0' && q->source->under_way >= LIMIT_STS_IN_FLIGHT_SOURCE;

                if (!q->is_under_way && !is_full && (next == NULL || q->source->under_way < next->source->under_way))
                        next = q;
        }
        return next;
}

static void start_waiting(struct host *h)
{
        while (h->under_way < LIMIT_STS_IN_FLIGHT && h->under_way < h->count) {
                struct query *q = next_waiting(h);

                if (q == NULL || q->sts->service == NULL)
                        return;
                q->is_under_way = true;
                q->begun = loop_now(&q->sts->loop);
                h->under_way++;
                q->source->under_way++;
                query_start(q);
        }
}

/* ---- limits ---------------------------------------------------------------------------------------------- */

/* Whether the last query of the host got no answer, or one has run for PACE_STS_SLOW. */
static bool is_slow(const struct sts *s, const struct host *h)
{
        if (!h->is_proven)
                return true;
        for (const struct query *q = h->queries; q != NULL; q = q->next)
                if (q->is_under_way && instant_since(loop_now(&s->loop), q->begun).ns >= MILLISECONDS(PACE_STS_SLOW).ns)
                        return true;
        return false;
}

/* The number of queries to slow hosts, beyond the reserve of each host. */
static size_t count_slow(const struct sts *s)
{
        size_t count = 0;

        for (const struct host *h = s->hosts; h != NULL; h = h->next)
                if (h->count > LIMIT_STS_WAITING_RESERVE && is_slow(s, h))
                        count += h->count - LIMIT_STS_WAITING_RESERVE;
        return count;
}

static struct error *check_room(const struct sts *s, const struct host *h, const struct source *source)
{
        bool slow = is_slow(s, h);
        bool is_known = source->address[0] != '\0';

        if (s->count >= LIMIT_STS_WAITING)
                return error_new(ERROR_UNAVAILABLE, "too many requests to STS are waiting");
        if (h->count < LIMIT_STS_WAITING_RESERVE)
                return NULL;
        if (slow && is_known && source->count >= LIMIT_STS_WAITING_SLOW_SOURCE)
                return error_new(ERROR_UNAVAILABLE, "too many requests of this address to %s, which does not answer in time, are waiting", h->is.name);
        if (h->count >= (slow ? LIMIT_STS_WAITING_SLOW : LIMIT_STS_WAITING_HOST) ||
            (slow && count_slow(s) >= LIMIT_STS_WAITING_SLOW_ALL))
                return error_new(ERROR_UNAVAILABLE, "too many requests to %s are waiting", h->is.name);
        return NULL;
}

static struct host *host_get(struct sts *s, const struct sts_host *is)
{
        struct host **at = &s->hosts;

        while (*at != NULL && strcmp((*at)->is.name, is->name) != 0)
                at = &(*at)->next;
        if (*at == NULL) {
                *at = NEW(struct host);
                (*at)->is = *is;
        }
        return *at;
}

static struct source *source_get(struct host *h, const char *address)
{
        struct source **at = &h->sources;

        while (*at != NULL && strcmp((*at)->address, address) != 0)
                at = &(*at)->next;
        if (*at == NULL) {
                *at = NEW(struct source);
                (*at)->address = str_dup(str_of(address));
        }
        return *at;
}

/* ---- parsing a query ------------------------------------------------------------------------------ */

static bool is_header_value(struct str value)
{
        for (size_t i = 0; i < value.len; i++)
                if ((value.ptr[i] < ' ' && value.ptr[i] != '\t') || value.ptr[i] == 0x7f)
                        return false;
        return value.len <= LIMIT_STS_HEADER_VALUE;
}

/*
 * Auth has checked the headers against its allow list. Headers that would change the framing of the
 * request, or the form of the answer, are refused here a second time.
 */
static bool is_header_name(struct str name)
{
        static const char *const ours[] = { "host",       "content-length",  "transfer-encoding",
                                            "connection", "accept-encoding", "content-encoding",
                                            "expect",     "te",              "trailer",
                                            "upgrade",    "keep-alive",      "proxy-authorization",
                                            "range",      "cookie",          "forwarded" };

        for (size_t i = 0; i < name.len; i++)
                if (!char_is_alnum(name.ptr[i]) && name.ptr[i] != '-')
                        return false;
        for (size_t i = 0; i < ARRAY_LEN(ours); i++)
                if (str_equal_nocase(name, str_of(ours[i])))
                        return false;
        return name.len > 0 && name.len <= 64;
}

static struct error *check_headers(const Cteleport__Internal__V1__StsQuery *m)
{
        bool has_authorization = false;

        if (m->n_headers > LIMIT_STS_HEADERS)
                return error_new(ERROR_INVALID_ARGUMENT, "more than %d headers", LIMIT_STS_HEADERS);
        for (size_t i = 0; i < m->n_headers; i++) {
                struct str name = str_of(m->headers[i]->name);

                if (!is_header_name(name) || !is_header_value(str_of(m->headers[i]->value)))
                        return error_new(ERROR_INVALID_ARGUMENT, "a header that is not for STS");
                for (size_t k = 0; k < i; k++)
                        if (str_equal_nocase(name, str_of(m->headers[k]->name)))
                                return error_new(ERROR_INVALID_ARGUMENT, "a header that occurs twice");
                has_authorization |= str_equal_nocase(name, STR("authorization"));
        }
        return has_authorization ? NULL : error_new(ERROR_INVALID_ARGUMENT, "a query without a signature");
}

/* The headers as "Name: value"; an Accept header for JSON is added if there is none. */
static char **headers_of(const Cteleport__Internal__V1__StsQuery *m)
{
        char **list = mem_array(m->n_headers + 2, sizeof *list);
        bool has_accept = false;

        for (size_t i = 0; i < m->n_headers; i++) {
                const char *value = m->headers[i]->value;

                /* libcurl sends "Name;" as a header without a value. */
                list[i] = value[0] == '\0' ? mem_printf("%s;", m->headers[i]->name) :
                                             mem_printf("%s: %s", m->headers[i]->name, value);
                has_accept |= str_equal_nocase(str_of(m->headers[i]->name), STR("accept"));
        }
        if (!has_accept)
                list[m->n_headers] = str_dup(STR("Accept: application/json"));
        return list;
}

static struct error *take_query(struct sts *s, uint32_t id, uint16_t verb, struct str body)
{
        AUTO_PTR(arena) arena = arena_new(256 * KiB);
        const struct sts_host_options hosts = { s->options.fips, s->options.extra_regions };
        ProtobufCMessage *decoded;
        struct sts_host host;

        if (verb != CTELEPORT__INTERNAL__V1__STS_VERB__STS_IDENTIFY)
                return error_new(ERROR_UNIMPLEMENTED, "a verb that is not for STS");
        TRY(wire_decode(arena, &cteleport__internal__v1__sts_query__descriptor, body, &decoded));
        const Cteleport__Internal__V1__StsQuery *m = (const Cteleport__Internal__V1__StsQuery *)decoded;
        if (!sts_host_find(str_of(m->host), &hosts, &host))
                return sts_host_explain(str_of(m->host), &hosts);
        TRY(check_headers(m));

        struct host *h = host_get(s, &host);
        struct source *source = source_get(h, m->source);
        struct error *err = check_room(s, h, source);
        source->count++;
        if (err != NULL) {
                source_drop(h, source);
                return err;
        }
        struct query *q = NEW(struct query);
        struct query **last = &h->queries;
        int64_t ms = m->within_ms <= 0 || m->within_ms > TIMEOUT_STS_TOTAL ? TIMEOUT_STS_TOTAL : m->within_ms;
        q->sts = s;
        q->id = id;
        q->host = h;
        q->source = source;
        q->headers = headers_of(m);
        q->requested = loop_now(&s->loop);
        q->end = instant_add(q->requested, MILLISECONDS(ms));
        q->backoff = (struct backoff){ .first = MILLISECONDS(PACE_STS_FIRST), .most = MILLISECONDS(PACE_STS_MAX) };
        q->deadline = timer_new(&s->loop, on_deadline, q);
        q->pause = timer_new(&s->loop, on_pause_over, q);
        timer_start(q->deadline, MILLISECONDS(ms));
        while (*last != NULL)
                last = &(*last)->next;
        *last = q;
        s->count++;
        h->count++;
        start_waiting(h);
        return NULL;
}

static void on_requested(void *ctx, uint32_t id, uint16_t verb, struct str body)
{
        struct sts *s = ctx;
        struct error *err = take_query(s, id, verb, body);

        if (err != NULL)
                link_service_refuse(s->service, id, err);
}

/* The client has disconnected: all pending requests end. */
static void on_ended(void *ctx)
{
        struct sts *s = ctx;

        link_service_free(s->service);
        s->service = NULL;
        for (struct host *h = s->hosts; h != NULL; h = h->next) {
                for (struct query *q = h->queries, *next; q != NULL; q = next) {
                        next = q->next;
                        if (q->call != NULL)
                                http_call_cancel(q->call);
                        else
                                query_free(q);
                }
        }
}

/* ---- the process -------------------------------------------------------------------------------------- */

struct error *sts_prepare(struct buf *ret_ca_pem)
{
        const char *bundle = getenv("AWS_CA_BUNDLE");

        if (bundle != NULL && bundle[0] != '\0') {
                struct error *err = file_read(bundle, ret_ca_pem);

                if (err != NULL)
                        return error_wrap(err, "AWS_CA_BUNDLE");
        }
        return http_client_load();
}

const char *const *sts_sandbox_read_paths(void)
{
        static const char *const paths[] = { "/etc/ssl",       "/usr/share/ca-certificates", "/usr/local/share/ca-certificates",
                                       "/etc/pki",       "/etc/resolv.conf",           "/run/systemd/resolve",
                                       "/etc/hosts",     "/etc/nsswitch.conf",         "/etc/host.conf",
                                       "/etc/gai.conf",  "/etc/ld.so.cache",           "/lib",
                                       "/lib64",         "/usr/lib",                   "/dev/urandom",
                                       NULL };

        return paths;
}

struct error *sts_main(int fd, struct sts_options options, void (*ready)(void *ctx), void *ctx)
{
        struct sts s = { .options = options };

        for (size_t i = 0; options.extra_regions != NULL && options.extra_regions[i] != NULL; i++)
                TRY(sts_extra_region_check(str_of(options.extra_regions[i])));
        TRY(loop_init(&s.loop, NULL));
        s.http = http_client_new(&s.loop, (struct http_client_options){ .ca_pem = options.ca_pem, .keep = LIMIT_STS_IN_FLIGHT });
        s.service = link_service_new(&s.loop, fd, on_requested, on_ended, &s);
        ready(ctx);
        loop_measure(&s.loop);
        while (s.service != NULL || s.count > 0)
                uv_run(&s.loop.uv, UV_RUN_ONCE);
        for (struct host *h = s.hosts, *next; h != NULL; h = next) {
                next = h->next;
                free(h);
        }
        http_client_free(s.http);
        loop_release(&s.loop);
        return NULL;
}
