/* SPDX-License-Identifier: Apache-2.0 */
/* tctl top: the metrics of a host, live on a terminal of 80 columns, or once. */
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "client/diag_get.h"
#include "client/metrics_text.h"
#include "cmd/common/config_find.h"
#include "cmd/common/output.h"
#include "cmd/common/table.h"
#include "cmd/tctl/commands.h"
#include "resource/address.h"

const struct argument top_arguments[] = {
        { "diag-addr", .help = "The diagnostic address of a host; default: teleport.diag_addr of this host's configuration, else 127.0.0.1:3000" },
        { "refresh", .help = "The pause between two pictures; default: 5s" },
        { 0 },
};

enum { PICTURE_MAX = 64 * KiB, WIDTH = 79 };

/* One reading of /metrics. */
struct reading {
        struct buf text;
        struct metrics_text metrics;
        struct instant at;
};

static void reading_release(struct reading *r)
{
        metrics_text_release(&r->metrics);
        buf_release(&r->text);
}

static struct error *take_reading(const char *address, struct reading *r)
{
        *r = (struct reading){ .text = BUF_MAX(METRICS_TEXT_MAX), .at = clock_now(clock_system()) };
        TRY(diag_get(address, "/metrics", &r->text));
        struct error *err = metrics_text_parse(buf_str(&r->text), &r->metrics);
        return err == NULL ? NULL : error_hint(error_wrap(err, "%s", address), "is that the teleport.diag_addr of a host?");
}

/* ---- values -------------------------------------------------------------------------------------------------- */

/* What the picture is made of; before NULL: there is no earlier reading. */
struct picture {
        const struct reading *now, *before;
        struct buf *out;
};

static double value(const struct picture *p, const char *series)
{
        return metrics_text_value(&p->now->metrics, series);
}

/* Growth in a second since the reading before; NAN: not known. */
static double rate(const struct picture *p, const char *series)
{
        if (p->before == NULL)
                return NAN;
        double seconds = (double)instant_since(p->now->at, p->before->at).ns / 1e9;
        double growth = value(p, series) - metrics_text_value(&p->before->metrics, series);
        return growth >= 0 && seconds > 0 ? growth / seconds : NAN;
}

static void put_count(struct buf *out, double number)
{
        if (isfinite(number))
                buf_printf(out, "%.0f", number);
        else
                buf_put_c(out, "-");
}

/* "12.3 MiB" */
static void put_bytes(struct buf *out, double bytes)
{
        static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
        size_t unit = 0;

        if (!isfinite(bytes)) {
                buf_put_c(out, "-");
                return;
        }
        for (; bytes >= 1024 && unit + 1 < ARRAY_LEN(units); unit++)
                bytes /= 1024;
        buf_printf(out, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
}

/* "3.5 ms", "12 s" */
static void put_seconds(struct buf *out, double seconds)
{
        if (!isfinite(seconds))
                buf_put_c(out, "-");
        else if (seconds < 1)
                buf_printf(out, "%.1f ms", 1000 * seconds);
        else
                buf_printf(out, "%.1f s", seconds);
}

/* "23h", "364d" */
static void put_span(struct buf *out, double seconds)
{
        if (!isfinite(seconds))
                buf_put_c(out, "-");
        else if (seconds < 0)
                buf_put_c(out, "expired");
        else if (seconds < 2 * 86400)
                buf_printf(out, "%.0fh", floor(seconds / 3600));
        else
                buf_printf(out, "%.0fd", floor(seconds / 86400));
}

/* ---- lines --------------------------------------------------------------------------------------------------- */

/* Ends a line, cut to the width of a terminal. */
static void put_line(struct picture *p, struct buf *line)
{
        buf_put(p->out, str_slice(buf_str(line), 0, WIDTH));
        buf_put_c(p->out, "\n");
        buf_release(line);
        *line = BUF_MAX(4 * KiB);
}

/* The names of a label's values whose series has this value: "tunnels, store". */
static void put_names(const struct picture *p, struct buf *out, const char *metric, const char *label, double wanted)
{
        AUTO_MEM char *begin = mem_printf("%s{", metric);
        const char *separator = "";

        for (size_t i = 0; i < p->now->metrics.count; i++) {
                const struct metrics_sample *s = &p->now->metrics.all[i];

                if (!str_starts_with(s->series, str_of(begin)) || s->value != wanted)
                        continue;
                buf_printf(out, "%s%.*s", separator, STR_ARG(metrics_text_label(s->series, label)));
                separator = ", ";
        }
}

static void put_head(struct picture *p, const char *address)
{
        static const char *const states[] = { "ready", "recovering", "degraded", "starting" };
        double state = value(p, "process_state");
        AUTO(buf) line = BUF_MAX(4 * KiB);
        AUTO(buf) missing = BUF_MAX(4 * KiB);

        put_names(p, &missing, "cteleport_part_ready", "part", 0);
        buf_printf(&line, "%s: %s", address, state >= 0 && state < ARRAY_LEN(states) ? states[(size_t)state] : "unknown state");
        if (missing.len > 0)
                buf_printf(&line, "; not ready: %s", buf_c(&missing));
        put_line(p, &line);
        put_line(p, &line);
}

static double of_process(const struct picture *p, const char *metric, struct str process)
{
        AUTO_MEM char *series = mem_printf("%s{process=\"%.*s\"}", metric, STR_ARG(process));

        return value(p, series);
}

static void put_process(struct picture *p, struct table *t, struct str name)
{
        AUTO(buf) starts = BUF_MAX(64), memory = BUF_MAX(64), cpu = BUF_MAX(64), fds = BUF_MAX(64), late = BUF_MAX(64);
        AUTO_MEM char *series = mem_printf("process_cpu_seconds_total{process=\"%.*s\"}", STR_ARG(name));
        double share = rate(p, series);

        put_count(&starts, of_process(p, "cteleport_process_starts_total", name));
        put_bytes(&memory, of_process(p, "process_resident_memory_bytes", name));
        if (isfinite(share))
                buf_printf(&cpu, "%.1f %%", 100 * share);
        else
                put_seconds(&cpu, value(p, series));
        put_count(&fds, of_process(p, "process_open_fds", name));
        put_seconds(&late, of_process(p, "cteleport_event_loop_lag_seconds", name));
        TABLE_ROW(t, name, of_process(p, "cteleport_process_up", name) == 1 ? STR("yes") : STR("no"), buf_str(&starts), buf_str(&memory), buf_str(&cpu),
                  buf_str(&fds), buf_str(&late));
}

static void put_processes(struct picture *p)
{
        static const char *const titles[] = { "Process", "Up", "Starts", "Memory", "CPU", "Descriptors", "Late", NULL };
        AUTO_PTR(table) t = table_new(titles);
        bool has_any = false;

        for (size_t i = 0; i < p->now->metrics.count; i++) {
                struct str series = p->now->metrics.all[i].series;

                if (!str_starts_with(series, STR("cteleport_process_up{")))
                        continue;
                put_process(p, t, metrics_text_label(series, "process"));
                has_any = true;
        }
        if (has_any)
                table_put_truncated(p->out, t, 0, WIDTH);
        buf_put_c(p->out, "\n");
}

/* "12 joined (0.5/s)" */
static void put_total(struct picture *p, struct buf *line, const char *series, const char *what)
{
        double each = rate(p, series);

        if (line->len > 0)
                buf_put_c(line, ", ");
        put_count(line, value(p, series));
        buf_printf(line, " %s", what);
        if (isfinite(each) && each >= 0.05)
                buf_printf(line, " (%.1f/s)", each);
}

static void put_within(struct picture *p, struct buf *line, const char *histogram, const char *labels)
{
        double most = metrics_text_within(&p->now->metrics, histogram, labels, 0.99);

        if (!isfinite(most))
                return;
        buf_put_c(line, "; 99 % within ");
        put_seconds(line, most);
}

/* The line of a subject; none if this host does not have it. */
static void put_subject(struct picture *p, const char *title, struct buf *text)
{
        AUTO(buf) line = BUF_MAX(4 * KiB);

        if (text->len > 0) {
                buf_printf(&line, "%-13s%s", title, buf_c(text));
                put_line(p, &line);
        }
        buf_release(text);
        *text = BUF_MAX(4 * KiB);
}

static bool has(const struct picture *p, const char *series)
{
        return !isnan(value(p, series));
}

static double joins_with(const struct reading *r, const char *result)
{
        double sum = 0;

        for (size_t i = 0; i < r->metrics.count; i++) {
                struct str series = r->metrics.all[i].series;

                if (str_starts_with(series, STR("cteleport_joins_total{")) && str_equal(metrics_text_label(series, "result"), str_of(result)))
                        sum += r->metrics.all[i].value;
        }
        return sum;
}

static void put_joins(struct picture *p, struct buf *text)
{
        static const char *const results[] = { "joined", "refused", "failed" };

        for (size_t i = 0; i < ARRAY_LEN(results); i++) {
                buf_put_c(text, i == 0 ? "" : ", ");
                put_count(text, joins_with(p->now, results[i]));
                buf_printf(text, " %s", results[i]);
        }
        put_within(p, text, "cteleport_join_seconds", "");
}

static void put_certificates(struct picture *p, struct buf *text)
{
        double now = (double)walltime_unix(clock_wall(clock_system()));

        for (size_t i = 0; i < p->now->metrics.count; i++) {
                const struct metrics_sample *s = &p->now->metrics.all[i];

                if (!str_starts_with(s->series, STR("cteleport_certificate_not_after_seconds{")))
                        continue;
                buf_printf(text, "%s%.*s ", text->len == 0 ? "" : ", ", STR_ARG(metrics_text_label(s->series, "certificate")));
                put_span(text, s->value - now);
        }
}

static void put_cluster(struct picture *p, struct buf *text)
{
        if (!has(p, "user_login_total"))
                return;
        put_joins(p, text);
        put_subject(p, "Joins", text);
        put_total(p, text, "cteleport_sts_request_seconds_count{outcome=\"identified\"}", "identified");
        put_total(p, text, "cteleport_sts_request_seconds_count{outcome=\"refused\"}", "refused");
        put_total(p, text, "cteleport_sts_request_seconds_count{outcome=\"unreachable\"}", "without an answer");
        put_within(p, text, "cteleport_sts_request_seconds", "outcome=\"identified\"");
        put_subject(p, "AWS STS", text);
        put_total(p, text, "user_login_total", "logged in");
        put_total(p, text, "failed_login_attempts_total", "refused");
        put_subject(p, "Logins", text);
        put_total(p, text, "teleport_connected_resources{type=\"node\"}", "nodes with a heartbeat");
        put_total(p, text, "cteleport_connections_open", "open connections");
        put_subject(p, "Cluster", text);
        put_total(p, text, "backend_write_requests_total", "writes");
        put_total(p, text, "backend_write_requests_failed_total", "failed");
        put_within(p, text, "cteleport_store_commit_seconds", "");
        put_subject(p, "Store", text);
        put_total(p, text, "teleport_audit_emit_events", "events");
        put_total(p, text, "audit_failed_emit_events", "failed");
        buf_put_c(text, ", ");
        put_bytes(text, value(p, "cteleport_audit_waiting_bytes"));
        buf_put_c(text, " wait");
        put_within(p, text, "cteleport_audit_write_seconds", "");
        put_subject(p, "Audit log", text);
        put_count(text, value(p, "audit_percentage_disk_space_used"));
        buf_put_c(text, " % used, ");
        put_bytes(text, value(p, "cteleport_disk_free_bytes"));
        buf_put_c(text, " free");
        put_subject(p, "Disk", text);
}

static void put_picture(struct picture *p, const char *address)
{
        AUTO(buf) text = BUF_MAX(4 * KiB);

        put_head(p, address);
        put_processes(p);
        put_cluster(p, &text);
        if (has(p, "proxy_ssh_sessions_total")) {
                put_total(p, &text, "teleport_reverse_tunnels_connected", "tunnels of nodes");
                put_total(p, &text, "proxy_ssh_sessions_total", "connections");
                put_total(p, &text, "teleport_connect_to_node_attempts_total", "dials");
                put_total(p, &text, "failed_connect_to_node_attempts_total", "failed");
                put_subject(p, "Proxy", &text);
        }
        if (has(p, "cteleport_tunnels_open")) {
                put_total(p, &text, "cteleport_tunnels_open", "tunnels");
                put_total(p, &text, "cteleport_ssh_connections_open", "connections");
                put_total(p, &text, "server_interactive_sessions_total", "sessions");
                put_total(p, &text, "teleport_incomplete_session_uploads_total", "recordings to deliver");
                put_subject(p, "Node", &text);
        }
        put_certificates(p, &text);
        put_subject(p, "Certificates", &text);
}

/* ---- the terminal -------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t is_interrupted;

static void on_signal(int signum)
{
        (void)signum;
        is_interrupted = 1;
}

/* Keys arrive at once and are not shown; the picture is on a screen of its own. Returns whether standard input is a terminal. */
static bool enter_screen(struct termios *saved)
{
        struct termios keys;

        (void)signal(SIGINT, on_signal);
        (void)signal(SIGTERM, on_signal);
        fputs("\033[?1049h\033[?25l", stdout);
        if (tcgetattr(STDIN_FILENO, saved) != 0)
                return false;
        keys = *saved;
        keys.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
        tcsetattr(STDIN_FILENO, TCSANOW, &keys);
        return true;
}

static void leave_screen(const struct termios *saved, bool has_keys)
{
        if (has_keys)
                tcsetattr(STDIN_FILENO, TCSANOW, saved);
        fputs("\033[?25h\033[?1049l", stdout);
        fflush(stdout);
}

/* Waits; false: the user has pressed q, or a signal came. Another key ends the pause. */
static bool pause_for(struct duration pause, bool has_keys)
{
        struct pollfd input = { .fd = has_keys ? STDIN_FILENO : -1, .events = POLLIN };
        char key;

        if (is_interrupted)
                return false;
        int n = poll(&input, 1, (int)duration_ms(pause));
        if (n > 0 && (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q'))
                return false;
        return !is_interrupted && (n >= 0 || errno == EINTR);
}

static void show(struct picture *p, const char *address, struct duration pause)
{
        AUTO(buf) every = BUF_MAX(64);

        put_picture(p, address);
        duration_put(&every, pause);
        printf("\033[H\033[2J%s\nevery %s; q quits\n", buf_c(p->out), buf_c(&every));
        fflush(stdout);
}

/* Until q. An address that does not answer for a while is shown as such, and asked again. */
static struct error *watch(const char *address, struct duration pause)
{
        AUTO(reading) before = { .text = BUF_MAX(1) };
        struct termios saved;
        bool has_before = false, is_first = true;
        struct error *err = NULL;
        const bool has_keys = enter_screen(&saved);

        do {
                AUTO(reading) now = { .text = BUF_MAX(1) };
                AUTO(buf) out = BUF_MAX(PICTURE_MAX);
                struct picture p = { &now, has_before ? &before : NULL, &out };

                err = take_reading(address, &now);
                if (err != NULL && is_first)
                        break;
                is_first = false;
                if (err != NULL) {
                        printf("\033[H\033[2J%s\n", err->what);
                        fflush(stdout);
                        error_free(err);
                        err = NULL;
                        continue;
                }
                show(&p, address, pause);
                reading_release(&before);
                before = now;
                has_before = true;
                now = (struct reading){ .text = BUF_MAX(1) };
        } while (pause_for(pause, has_keys));
        leave_screen(&saved, has_keys);
        return err;
}

/* ---- the command --------------------------------------------------------------------------------------------- */

/* The address that was given, as Teleport's tctl takes it: with http:// before it, or without. */
static struct error *find_address(const struct flags *given, struct arena *arena, const char **ret)
{
        const char *text = flags_argument(given, 0), *path = NULL;
        Cteleport__V1__Config *config = NULL;

        if (text != NULL) {
                struct str address = str_of(text);

                if (str_starts_with(address, STR("http://")))
                        address = str_slice(address, strlen("http://"), address.len);
                return address_normalize(arena, address, PORT_REQUIRED, "diag-addr", ret);
        }
        error_free(config_file_find(arena, given, &path, NULL, &config)); /* without a readable file, Teleport's default */
        bool has_one = config != NULL && config->teleport != NULL && config->teleport->diag_addr != NULL && config->teleport->diag_addr[0] != '\0';
        *ret = has_one ? config->teleport->diag_addr : "127.0.0.1:3000";
        return NULL;
}

struct error *top_run(void *ctx, const struct flags *given)
{
        AUTO_PTR(arena) arena = arena_new(1 * MiB);
        struct duration pause = SECONDS(5);
        const char *address = NULL;

        (void)ctx;
        TRY(find_address(given, arena, &address));
        if (flags_argument(given, 1) != NULL)
                TRY(flags_parse_duration("refresh", flags_argument(given, 1), &pause));
        if (pause.ns < MILLISECONDS(100).ns || pause.ns > HOURS(1).ns)
                return error_new(ERROR_INVALID_ARGUMENT, "refresh must be between 100ms and 1h");
        if (isatty(STDOUT_FILENO))
                return watch(address, pause);
        AUTO(reading) now = { .text = BUF_MAX(1) };
        AUTO(buf) out = BUF_MAX(PICTURE_MAX);
        struct picture p = { &now, NULL, &out };
        TRY(take_reading(address, &now));
        put_picture(&p, address);
        return output_flush(&out);
}
