/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/sessions/session_events.h"

#include "auth/core/refusal_log.h"
#include "auth/sessions/kinds.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/source.h"
#include "rpc/pb.h"
#include "rpc/wire.h"
#include "state/recording.h"
#include "state/session.h"

enum { CONNECTION_ARENA = 8 * MiB };

bool name_is_session(struct str s)
{
        for (size_t i = 0; i < s.len; i++) {
                bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
                char c = s.ptr[i];

                if (is_dash ? c != '-' : !(char_is_digit(c) || (c >= 'a' && c <= 'f')))
                        return false;
        }
        return s.len == 36;
}

/* ---- state -------------------------------------------------------------------------------------------- */

struct error *connection_load(struct connection *c, const struct state_record *record)
{
        c->arena = arena_new(CONNECTION_ARENA);
        return connection_read(c->arena, record, &c->record);
}

struct error *connection_load_session(struct connection *c, const struct state_record *record)
{
        if (c->session_count == LIMIT_CONNECTION_SESSIONS)
                return error_new(ERROR_DATA_LOSS, "a stored connection has too many sessions");
        TRY(session_read(c->arena, record, &c->sessions[c->session_count]));
        c->session_count++;
        return NULL;
}

struct error *connection_copy(const struct connection *c, struct connection *ret)
{
        *ret = (struct connection){ .arena = arena_new(CONNECTION_ARENA), .is_over = c->is_over };
        TRY(wire_copy(ret->arena, &c->record->base, (ProtobufCMessage **)&ret->record));
        for (; ret->session_count < c->session_count; ret->session_count++)
                TRY(wire_copy(ret->arena, &c->sessions[ret->session_count]->base, (ProtobufCMessage **)&ret->sessions[ret->session_count]));
        return NULL;
}

void connection_release(struct connection *c)
{
        arena_free(c->arena);
        *c = (struct connection){ 0 };
}

/* Copies at most `most` bytes, without cutting a UTF-8 character: a record with invalid UTF-8 could not be decoded again. */
static char *keep(struct connection *c, struct str text, size_t most)
{
        size_t len = text.len < most ? text.len : most;

        while (len > 0 && len < text.len && ((uint8_t)text.ptr[len] & 0xc0) == 0x80)
                len--;
        return pb_text(arena_str(c->arena, str_slice(text, 0, len)).ptr);
}

void connection_put(const struct connection *c, struct store_txn *t)
{
        struct str id = str_of(c->record->connection_id);
        char *ids[LIMIT_CONNECTION_SESSIONS];

        state_require(t, &connection_kind, id, STORE_ANY);
        if (c->is_over) {
                state_delete(t, &connection_kind, id);
                return;
        }
        for (size_t i = 0; i < c->session_count; i++)
                ids[i] = c->sessions[i]->session_id;
        c->record->sessions = ids;
        c->record->n_sessions = c->session_count;
        state_put(t, &connection_kind, id, &c->record->base, (struct walltime){ 0 });
        c->record->sessions = NULL;
        c->record->n_sessions = 0;
}

static Cteleport__State__V1__Session *find_session(const struct connection *c, const char *id)
{
        for (size_t i = 0; i < c->session_count; i++)
                if (strcmp(c->sessions[i]->session_id, id) == 0)
                        return c->sessions[i];
        return NULL;
}

bool connection_is_accepted(const struct connection *c)
{
        return c->record->is_accepted || c->record->login[0] != '\0'; /* written by a release without is_accepted */
}

bool connection_has_session(const struct connection *c, const char *id)
{
        return find_session(c, id) != NULL;
}

/* ---- common fields of the events --------------------------------------------------------------------------- */

/* port 0: none of its tcp_ports was named. */
static void put_app(struct audit_record *r, struct str name, uint32_t port)
{
        audit_str(r, "app_name", name);
        if (port != 0)
                audit_int(r, "app_target_port", port);
}

static void begin(struct auth *a, struct audit_record *r, const struct audit_kind *kind, const struct connection *c)
{
        const Cteleport__State__V1__Connection *m = c->record;

        auth_audit_begin(a, r, kind);
        audit_str(r, "user", str_of(m->user));
        if (m->resource[0] == '\0')
                audit_str(r, "login", str_of(m->login));
        else
                put_app(r, str_of(m->resource), m->resource_port);
        audit_str(r, "server_id", str_of(m->host_id));
        audit_str(r, "server_hostname", str_of(m->hostname));
        audit_str(r, "namespace", STR("default"));
        audit_str(r, "addr.remote", str_of(m->client_addr));
        if (m->resource[0] == '\0')
                audit_str(r, "proto", STR("ssh"));
        audit_str(r, "connection_id", str_of(m->connection_id));
}

static bool is_to_app(const struct connection *c)
{
        return strcmp(c->record->kind, "app") == 0;
}

static void begin_session(struct auth *a, struct audit_record *r, const struct audit_kind *kind, const struct connection *c,
                          const Cteleport__State__V1__Session *s)
{
        begin(a, r, kind, c);
        audit_str(r, "sid", str_of(s->session_id));
        audit_bool(r, "interactive", s->has_pty);
        audit_str(r, "session_recording", s->is_recorded ? STR("node") : STR("off"));
}

static void add(struct auth *a, struct store_txn *t, struct audit_record *r)
{
        outbox_add(a->outbox, t, r);
}

static void put_size(struct audit_record *r, uint32_t columns, uint32_t rows)
{
        AUTO(buf) size = BUF_MAX(32);

        buf_printf(&size, "%u:%u", columns, rows);
        audit_str(r, "size", buf_str(&size));
}

static void put_time(struct audit_record *r, const char *key, int64_t ms)
{
        AUTO(buf) text = BUF_MAX(64);

        walltime_put_rfc3339_ms(&text, (struct walltime){ ms * 1000000 });
        audit_str(r, key, buf_str(&text));
}

static void put_labels(struct audit_record *r, const char *key, const struct connection *c)
{
        audit_open(r, key);
        for (size_t i = 0; i < c->record->n_labels && i < LIMIT_AUDIT_VALUES; i++)
                audit_str(r, c->record->labels[i]->key, str_of(c->record->labels[i]->value));
        audit_close(r);
}

static int64_t now_ms(const struct auth *a)
{
        return loop_wall(&a->loop).ns / 1000000;
}

/* ---- accepted and rejected logins ---------------------------------------------------------------------------- */

static struct error *report_accepted(struct auth *a, struct connection *c, struct store_txn *t, const struct answer *answer)
{
        struct audit_record r = { 0 };
        Cteleport__State__V1__Connection *m = c->record;
        const struct kind_resource *resource = &answer->resource;

        if (m->login[0] != '\0' && !str_equal(str_of(m->login), answer->fields.node.login))
                return error_new(ERROR_INVALID_ARGUMENT, "a second login on one connection");
        m->is_accepted = true;
        m->login = keep(c, answer->fields.node.login, LIMIT_NAME);
        m->hostname = keep(c, answer->hostname, LIMIT_NAME);
        m->cert_serial = keep(c, answer->serial, LIMIT_NAME);
        m->cert_ends = answer->ends;
        m->web_session = keep(c, answer->web_session, LIMIT_NAME);
        m->permits = answer->permits;
        m->has_permits = true;
        m->roles = arena_alloc(c->arena, (answer->role_count + 1) * sizeof *m->roles);
        m->n_roles = 0;
        for (size_t i = 0; i < answer->role_count; i++)
                m->roles[m->n_roles++] = keep(c, answer->roles[i], LIMIT_NAME);
        m->resource_uri = keep(c, resource->uri, SIZE_MAX);
        m->resource_public_addr = keep(c, resource->public_addr, SIZE_MAX);
        m->labels = arena_alloc(c->arena, (resource->label_count + 1) * sizeof *m->labels);
        m->n_labels = 0;
        for (size_t i = 0; i < resource->label_count; i++) {
                Cteleport__State__V1__Connection__LabelsEntry *label = arena_alloc(c->arena, sizeof *label);

                cteleport__state__v1__connection__labels_entry__init(label);
                label->key = keep(c, resource->labels[i].key, SIZE_MAX);
                label->value = keep(c, resource->labels[i].value, SIZE_MAX);
                m->labels[m->n_labels++] = label;
        }
        if (is_to_app(c))
                return NULL; /* the start of its session is audited */
        begin(a, &r, &audit_session_connect, c);
        audit_strs(&r, "roles", answer->roles, answer->role_count);
        audit_str(&r, "cert_serial", str_of(m->cert_serial));
        put_labels(&r, "server_labels", c);
        add(a, t, &r);
        return NULL;
}

/* Limits the events of refused requests: a client can repeat them without effort, and they must not fill the disk. */
static bool may_report_rejected(struct auth *a, const char *kind, struct str subject)
{
        AUTO_MEM char *key = mem_printf("%s %.*s", kind, STR_ARG(subject));

        return a->session_refusals == NULL || audit_may_report(a, a->session_refusals, str_of(key));
}

static struct error *report_rejected(struct auth *a, struct connection *c, struct store_txn *t, const Cteleport__V1__ReportRejected *m)
{
        struct audit_record r = { 0 };

        if (!may_report_rejected(a, "host", str_of(c->record->host_id)))
                return NULL;
        auth_audit_begin(a, &r, &audit_session_rejected);
        audit_str(&r, "user", str_of(c->record->user));
        if (!is_to_app(c))
                audit_str(&r, "login", kind_fields_of(m->node).node.login);
        else
                put_app(&r, str_of(c->record->resource), c->record->resource_port);
        audit_str(&r, "server_id", str_of(c->record->host_id));
        audit_str(&r, "server_hostname", str_of(c->record->hostname));
        audit_str(&r, "addr.remote", str_of(c->record->client_addr));
        audit_str(&r, "connection_id", str_of(c->record->connection_id));
        audit_str(&r, "reason", str_of(m->reason));
        audit_str(&r, "claimed_key_id", str_of(m->key_id));
        audit_str(&r, "claimed_serial", str_of(m->serial));
        audit_str(&r, "claimed_ca", str_of(m->ca_fingerprint));
        audit_bool(&r, "success", false);
        add(a, t, &r);
        return NULL;
}

/* ---- sessions -------------------------------------------------------------------------------------------------- */

static bool is_kind(const char *kind)
{
        static const char *const kinds[] = { "shell", "exec", "sftp", "scp" };

        for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
                if (strcmp(kind, kinds[i]) == 0)
                        return true;
        return false;
}

static struct error *check_start(const struct connection *c, const Cteleport__V1__ReportStart *m)
{
        if (!connection_is_accepted(c))
                return error_new(ERROR_INVALID_ARGUMENT, "a session before a login");
        if (!name_is_session(str_of(m->session_id)) || !(is_to_app(c) ? strcmp(m->kind, "app") == 0 : is_kind(m->kind)))
                return error_new(ERROR_INVALID_ARGUMENT, "a session without a proper name or kind");
        if (find_session(c, m->session_id) != NULL)
                return error_new(ERROR_INVALID_ARGUMENT, "a session begins twice");
        if (is_to_app(c) && c->record->last_session[0] != '\0')
                return error_new(ERROR_INVALID_ARGUMENT, "a second session on a connection to an application");
        if (c->session_count == LIMIT_CONNECTION_SESSIONS)
                return error_new(ERROR_RESOURCE_EXHAUSTED, "more than %d sessions on one connection", LIMIT_CONNECTION_SESSIONS);
        return NULL;
}

static void put_session(const Cteleport__State__V1__Session *s, struct store_txn *t, bool is_new)
{
        struct str id = str_of(s->session_id);

        if (is_new)
                state_require(t, &session_kind, id, 0);
        if (s->ended != 0 && !s->is_recorded)
                state_delete(t, &session_kind, id);
        else
                state_put(t, &session_kind, id, &s->base, (struct walltime){ 0 });
}

static void put_recording(const Cteleport__State__V1__Session *s, struct store_txn *t)
{
        Cteleport__State__V1__Recording recording = CTELEPORT__STATE__V1__RECORDING__INIT;

        recording.session_id = s->session_id;
        state_put(t, &recording_kind, str_of(s->session_id), &recording.base, (struct walltime){ 0 });
}

static void begin_app_session(struct auth *a, struct audit_record *r, const struct audit_kind *kind, const struct connection *c,
                              const Cteleport__State__V1__Session *s)
{
        begin(a, r, kind, c);
        audit_str(r, "sid", str_of(s->session_id));
        audit_str(r, "app_uri", str_of(c->record->resource_uri));
        if (c->record->resource_public_addr[0] != '\0')
                audit_str(r, "app_public_addr", str_of(c->record->resource_public_addr));
        put_labels(r, "app_labels", c);
}

static struct str *roles_of(const struct connection *c)
{
        struct str *roles = arena_alloc(c->arena, (c->record->n_roles + 1) * sizeof *roles);

        for (size_t i = 0; i < c->record->n_roles; i++)
                roles[i] = str_of(c->record->roles[i]);
        return roles;
}

static struct error *report_start(struct auth *a, struct connection *c, struct store_txn *t, const Cteleport__V1__ReportStart *m)
{
        Cteleport__State__V1__Session *s = arena_alloc(c->arena, sizeof *s);
        struct audit_record r = { 0 };

        TRY(check_start(c, m));
        cteleport__state__v1__session__init(s);
        s->session_id = keep(c, str_of(m->session_id), SIZE_MAX);
        s->connection_id = c->record->connection_id;
        s->host_id = c->record->host_id;
        s->hostname = c->record->hostname;
        s->user = c->record->user;
        s->login = c->record->login;
        s->client_addr = c->record->client_addr;
        s->kind = keep(c, str_of(m->kind), SIZE_MAX);
        s->command = is_to_app(c) ? c->record->resource : keep(c, str_of(m->command), LIMIT_SESSION_COMMAND);
        s->has_pty = m->has_pty && !is_to_app(c);
        s->is_recorded = m->is_recorded;
        s->started = now_ms(a);
        c->sessions[c->session_count++] = s;
        c->record->last_session = s->session_id;
        put_session(s, t, true);
        if (s->is_recorded)
                put_recording(s, t);

        if (is_to_app(c)) {
                begin_app_session(a, &r, &audit_app_session_start, c, s);
                audit_strs(&r, "roles", roles_of(c), c->record->n_roles);
                audit_str(&r, "cert_serial", str_of(c->record->cert_serial));
                add(a, t, &r);
                return NULL;
        }
        begin_session(a, &r, &audit_session_start, c, s);
        audit_str(&r, "session_kind", str_of(s->kind));
        if (m->has_pty) {
                put_size(&r, m->columns, m->rows);
                audit_str(&r, "term", str_of(m->term));
        }
        if (m->command[0] != '\0')
                audit_text(&r, "initial_command", str_of(m->command));
        add(a, t, &r);
        return NULL;
}

static void report_command(struct auth *a, struct connection *c, struct store_txn *t, const Cteleport__State__V1__Session *s,
                         const Cteleport__V1__ReportExit *m)
{
        bool is_failure = m->code != 0 || m->signal[0] != '\0' || m->reason[0] != '\0';
        struct audit_record r = { 0 };

        begin_session(a, &r, is_failure ? &audit_exec_failed : &audit_exec, c, s);
        audit_text(&r, "command", str_of(s->command));
        audit_int(&r, "exitCode", m->code);
        if (m->signal[0] != '\0')
                audit_str(&r, "exitSignal", str_of(m->signal));
        if (m->reason[0] != '\0')
                audit_str(&r, "exitError", str_of(m->reason));
        audit_bool(&r, "success", !is_failure);
        add(a, t, &r);
}

static void report_leave(struct auth *a, struct connection *c, struct store_txn *t, const Cteleport__State__V1__Session *s)
{
        struct audit_record r = { 0 };

        begin_session(a, &r, &audit_session_leave, c, s);
        add(a, t, &r);
}

static void forget_session(struct connection *c, const Cteleport__State__V1__Session *s)
{
        for (size_t i = 0; i < c->session_count; i++) {
                if (c->sessions[i] == s) {
                        c->sessions[i] = c->sessions[--c->session_count];
                        return;
                }
        }
}

static void report_app_end(struct auth *a, struct connection *c, struct store_txn *t, const Cteleport__State__V1__Session *s,
                           const Cteleport__V1__ReportExit *m)
{
        struct audit_record r = { 0 };

        begin_app_session(a, &r, &audit_app_session_end, c, s);
        put_time(&r, "session_start", s->started);
        put_time(&r, "session_stop", s->ended);
        if (m->reason[0] != '\0')
                audit_str(&r, "reason", str_of(m->reason));
        audit_int(&r, "tx", (int64_t)(m->bytes_to_client & INT64_MAX));
        audit_int(&r, "rx", (int64_t)(m->bytes_from_client & INT64_MAX));
        add(a, t, &r);
}

static void report_end(struct auth *a, struct connection *c, struct store_txn *t, const Cteleport__State__V1__Session *s,
                       const Cteleport__V1__ReportExit *m)
{
        struct str participants[] = { str_of(s->user) };
        struct audit_record r = { 0 };

        if (strcmp(s->kind, "exec") == 0 || strcmp(s->kind, "scp") == 0)
                report_command(a, c, t, s, m);
        if (s->has_pty)
                report_leave(a, c, t, s);
        begin_session(a, &r, &audit_session_end, c, s);
        audit_strs(&r, "participants", participants, ARRAY_LEN(participants));
        put_time(&r, "session_start", s->started);
        put_time(&r, "session_stop", s->ended);
        audit_int(&r, "exit_code", m->code);
        if (m->reason[0] != '\0')
                audit_str(&r, "reason", str_of(m->reason));
        if (s->has_pty) {
                audit_int(&r, "terminal_tx", (int64_t)(m->bytes_to_client & INT64_MAX));
                audit_int(&r, "terminal_rx", (int64_t)(m->bytes_from_client & INT64_MAX));
        }
        add(a, t, &r);
}

static void end_session(struct auth *a, struct connection *c, struct store_txn *t, Cteleport__State__V1__Session *s,
                        const Cteleport__V1__ReportExit *m)
{
        s->ended = now_ms(a);
        s->exit_code = m->code;
        if (is_to_app(c))
                report_app_end(a, c, t, s, m);
        else
                report_end(a, c, t, s, m);
        put_session(s, t, false);
        forget_session(c, s);
}

/* ---- events within sessions ---------------------------------------------------------------------------------------- */

static void report_resize(struct auth *a, struct connection *c, struct store_txn *t, const Cteleport__State__V1__Session *s,
                        const Cteleport__V1__ReportResize *m)
{
        struct audit_record r = { 0 };

        begin_session(a, &r, &audit_resize, c, s);
        put_size(&r, m->columns, m->rows);
        add(a, t, &r);
}

static void report_file(struct auth *a, struct connection *c, struct store_txn *t, const Cteleport__State__V1__Session *s,
                      const Cteleport__V1__ReportFile *m)
{
        struct audit_record r = { 0 };

        begin_session(a, &r, audit_file_kind(str_of(m->action), m->error[0] != '\0'), c, s);
        audit_str(&r, "action", str_of(m->action));
        audit_text(&r, "path", str_of(m->path));
        if (m->target_path[0] != '\0')
                audit_text(&r, "target_path", str_of(m->target_path));
        if (m->flags[0] != '\0')
                audit_str(&r, "flags", str_of(m->flags));
        if (m->bytes_read != 0 || m->bytes_written != 0) {
                audit_int(&r, "bytes_read", (int64_t)(m->bytes_read & INT64_MAX));
                audit_int(&r, "bytes_written", (int64_t)(m->bytes_written & INT64_MAX));
        }
        if (m->error[0] != '\0')
                audit_str(&r, "error", str_of(m->error));
        audit_bool(&r, "success", m->error[0] == '\0');
        add(a, t, &r);
}

static struct error *report_port(struct auth *a, struct connection *c, struct store_txn *t, const Cteleport__V1__ReportPort *m)
{
        struct audit_record r = { 0 };

        if (!connection_is_accepted(c) || is_to_app(c))
                return error_new(ERROR_INVALID_ARGUMENT, "a forwarded port before a login, or to an application");
        begin(a, &r, m->is_denied ? &audit_port_failed : &audit_port, c);
        audit_str(&r, "addr", str_of(m->address));
        audit_str(&r, "direction", str_of(m->direction));
        audit_bool(&r, "success", !m->is_denied);
        add(a, t, &r);
        return NULL;
}

/* ---- end of the connection ----------------------------------------------------------------------------------------- */

static void report_closed(struct auth *a, struct connection *c, struct store_txn *t, const Cteleport__V1__ReportClosed *m)
{
        Cteleport__V1__ReportExit exit = CTELEPORT__V1__REPORT_EXIT__INIT;
        struct audit_record r = { 0 };

        exit.code = -1;
        if (is_to_app(c)) { /* it has one session */
                exit.bytes_to_client = m->bytes_to_client;
                exit.bytes_from_client = m->bytes_from_client;
        }
        exit.reason = pb_text(m->reason[0] != '\0' ? m->reason : "the connection ended");
        while (c->session_count > 0)
                end_session(a, c, t, c->sessions[c->session_count - 1], &exit);
        c->is_over = true;
        if (!connection_is_accepted(c) || is_to_app(c))
                return; /* without a login no end is reported; the refusals were reported before, and so was the end of an application's session */
        if (m->reason[0] != '\0') {
                begin(a, &r, &audit_client_disconnect, c);
                audit_str(&r, "reason", str_of(m->reason));
                add(a, t, &r);
        }
        begin(a, &r, &audit_session_data, c);
        if (c->record->last_session[0] != '\0')
                audit_str(&r, "sid", str_of(c->record->last_session));
        audit_int(&r, "tx", (int64_t)(m->bytes_to_client & INT64_MAX));
        audit_int(&r, "rx", (int64_t)(m->bytes_from_client & INT64_MAX));
        add(a, t, &r);
}

void connection_record_end(struct auth *a, struct connection *c, struct store_txn *t, struct str reason)
{
        Cteleport__V1__ReportClosed closed = CTELEPORT__V1__REPORT_CLOSED__INIT;

        closed.reason = keep(c, reason, LIMIT_AUDIT_FIELD);
        report_closed(a, c, t, &closed);
}

void connection_report_left_out(struct auth *a, const struct connection *c, uint64_t left_out[REPEAT_COUNT])
{
        static const struct audit_kind *const kinds[REPEAT_COUNT] = {
                [REPEAT_PORT] = &audit_port,
                [REPEAT_PORT_DENIED] = &audit_port_failed,
                [REPEAT_RESIZE] = &audit_resize,
        };

        for (size_t i = 0; i < REPEAT_COUNT; i++) {
                struct audit_record r = { 0 };

                if (left_out[i] == 0)
                        continue;
                begin(a, &r, kinds[i], c);
                audit_int(&r, "suppressed", (int64_t)left_out[i]);
                audit_bool(&r, "success", i != REPEAT_PORT_DENIED);
                audit_write(a->audit, &r, NULL, NULL);
                log_warn("Events of a connection that repeat others were not recorded one by one", LOG_C("kind", kinds[i]->event),
                         LOG_C("connection_id", c->record->connection_id), LOG_C("user", c->record->user), LOG_C("node_name", c->record->hostname),
                         LOG_INT("count", (int64_t)left_out[i]));
                left_out[i] = 0;
        }
}

/* ---- dispatch of the messages ----------------------------------------------------------------------------------------- */

static struct error *named_session(const struct connection *c, const char *id, Cteleport__State__V1__Session **ret)
{
        *ret = find_session(c, id);
        return *ret != NULL ? NULL : error_new(ERROR_INVALID_ARGUMENT, "a session that is not open on this connection");
}

struct error *connection_record_report(struct auth *a, struct connection *c, struct store_txn *t, const Cteleport__V1__ReportUp *up,
                              const struct answer *accepted)
{
        Cteleport__State__V1__Session *s = NULL;

        switch (up->payload_case) {
        case CTELEPORT__V1__REPORT_UP__PAYLOAD_ACCEPTED:
                return report_accepted(a, c, t, accepted);
        case CTELEPORT__V1__REPORT_UP__PAYLOAD_REJECTED:
                return report_rejected(a, c, t, up->rejected);
        case CTELEPORT__V1__REPORT_UP__PAYLOAD_START:
                return report_start(a, c, t, up->start);
        case CTELEPORT__V1__REPORT_UP__PAYLOAD_EXIT:
                TRY(named_session(c, up->exit->session_id, &s));
                end_session(a, c, t, s, up->exit);
                return NULL;
        case CTELEPORT__V1__REPORT_UP__PAYLOAD_RESIZE:
                TRY(named_session(c, up->resize->session_id, &s));
                report_resize(a, c, t, s, up->resize);
                return NULL;
        case CTELEPORT__V1__REPORT_UP__PAYLOAD_FILE:
                if (is_to_app(c))
                        return error_new(ERROR_INVALID_ARGUMENT, "a file of an application");
                TRY(named_session(c, up->file->session_id, &s));
                report_file(a, c, t, s, up->file);
                return NULL;
        case CTELEPORT__V1__REPORT_UP__PAYLOAD_PORT:
                return report_port(a, c, t, up->port);
        case CTELEPORT__V1__REPORT_UP__PAYLOAD_CLOSED:
                report_closed(a, c, t, up->closed);
                return NULL;
        default:
                return error_new(ERROR_INVALID_ARGUMENT, "an unknown message about a connection");
        }
}

bool session_audit_rejected(struct auth *a, const struct rejection *x)
{
        const struct {
                const char *key;
                struct str value;
        } fields[] = {
                { "user", x->user },
                { "login", x->fields.node.login },
                { "server_id", x->host_id },
                { "server_hostname", x->hostname },
                { "addr.remote", x->client_addr },
                { "connection_id", x->connection_id },
                { "cert_serial", x->serial },
                { "reason", str_of(x->why->what) },
        };
        struct audit_record r = { 0 };
        char source[SOURCE_TEXT_MAX];

        source_of(x->client_addr, source);
        if (!may_report_rejected(a, str_is_empty(x->user) ? "source" : "user", str_is_empty(x->user) ? str_of(source) : x->user))
                return false;
        auth_audit_begin(a, &r, &audit_session_rejected);
        for (size_t i = 0; i < ARRAY_LEN(fields); i++)
                if (!str_is_empty(fields[i].value))
                        audit_str(&r, fields[i].key, fields[i].value);
        if (!str_is_empty(x->fields.app.name))
                put_app(&r, x->fields.app.name, x->fields.app.port);
        audit_error(&r, x->why);
        audit_write(a->audit, &r, NULL, NULL);
        return true;
}

/* ---- budgets --------------------------------------------------------------------------------------------------- */

void session_charge(struct auth *a, struct str id, struct str user, struct str host_id, size_t bytes)
{
        AUTO_MEM char *of_host = mem_printf("host %.*s", STR_ARG(host_id));

        if (a->connection_events.bytes_per_day != 0)
                event_budget_charge(&a->connection_events, id, bytes, loop_now(&a->loop));
        user_budget_charge(&a->user_events, user, host_id, bytes, loop_now(&a->loop));
        if (a->host_events.bytes_per_day != 0)
                event_budget_charge(&a->host_events, str_of(of_host), bytes, loop_now(&a->loop));
}

static struct error *check_events(struct auth *a, struct str user, struct str host_id)
{
        AUTO_MEM char *of_host = mem_printf("host %.*s", STR_ARG(host_id));

        TRY(user_budget_check(&a->user_events, user, host_id, loop_now(&a->loop)));
        return a->host_events.bytes_per_day == 0 ? NULL : event_budget_check(&a->host_events, str_of(of_host), loop_now(&a->loop));
}

struct error *session_check_new(struct auth *a, struct str user, struct str host_id)
{
        TRY(audit_check_room(a, ROOM_FOR_NEW));
        TRY(user_budget_check(&a->user_recordings, user, host_id, loop_now(&a->loop)));
        return check_events(a, user, host_id);
}

struct error *session_check_open(struct auth *a, struct str id, struct str user, struct str host_id)
{
        if (event_budget_is_spent(&a->connection_events, id, loop_now(&a->loop)))
                return error_new(ERROR_RESOURCE_EXHAUSTED, "this connection has caused %lld MiB of audit events within a day, which is the limit of one connection",
                                 (long long)(a->connection_events.bytes_per_day / MiB));
        TRY(audit_check_room(a, ROOM_FOR_OPEN));
        return check_events(a, user, host_id);
}

struct error *session_check_reported(struct auth *a, struct str id, struct str user, struct str host_id)
{
        AUTO_MEM char *of_host = mem_printf("host %.*s", STR_ARG(host_id));

        if (!user_budget_is_exceeded(&a->user_events, user, host_id, loop_now(&a->loop)) &&
            !event_budget_is_exceeded(&a->host_events, str_of(of_host), loop_now(&a->loop)) &&
            !event_budget_is_exceeded(&a->connection_events, id, loop_now(&a->loop)))
                return NULL;
        return error_new(ERROR_RESOURCE_EXHAUSTED, "the node reports connections that it was ordered to end: twice the audit events of their limit");
}
