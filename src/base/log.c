/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log_journal.h"
#include "base/log_rate.h"
#include "base/log_sink.h"
#include "base/text.h"

enum { LINE_MAX_BYTES = 8 * KiB }; /* one write(2), so that lines of several processes are not interleaved */

static struct {
        struct log_options options;
        const char *component;
        int journal; /* -1: none */
        struct log_sink to_journal, to_options;
        uint64_t lost; /* lines, since the last one that was written */
} settings = { .options = { LOG_INFO, LOG_TEXT, STDERR_FILENO }, .component = "", .journal = -1 };

void log_setup(struct log_options options)
{
        settings.options = options;
        settings.to_options = (struct log_sink){ 0 };
}

void log_to_journal(int socket)
{
        settings.journal = socket;
        settings.to_journal = (struct log_sink){ .is_datagram = true };
}

void log_component(const char *component)
{
        settings.component = component;
}

static void put_error_text(struct buf *out, const struct error *err)
{
        buf_put_c(out, err->what);
        for (const struct error *cause = err->cause; cause != NULL; cause = cause->cause)
                buf_printf(out, "; because %s", cause->what);
        if (err->hint != NULL)
                buf_printf(out, " (hint: %s)", err->hint);
}

static void put_value_text(struct buf *out, const struct log_field *f)
{
        AUTO(buf) raw = BUF_MAX(4 * KiB);

        switch (f->kind) {
        case LOG_KIND_INT:
                buf_printf(&raw, "%lld", (long long)f->number);
                break;
        case LOG_KIND_STR:
                escape_text(&raw, f->str, ESCAPE_LIMIT);
                break;
        case LOG_KIND_ERROR: {
                AUTO(buf) whole = BUF_MAX(4 * KiB);

                put_error_text(&whole, f->error);
                escape_text(&raw, buf_str(&whole), 2 * KiB);
                break;
        }
        }
        struct str value = buf_str(&raw);
        bool quoted = value.len == 0 || str_contains(value, STR(" ")) || str_contains(value, STR("\""));
        if (!quoted) {
                buf_put(out, value);
                return;
        }
        buf_put_char(out, '"');
        for (size_t i = 0; i < value.len; i++) {
                if (value.ptr[i] == '"')
                        buf_put_char(out, '\\');
                buf_put_char(out, value.ptr[i]);
        }
        buf_put_char(out, '"');
}

static const char *base_name(const char *path)
{
        const char *slash = strrchr(path, '/');

        return slash == NULL ? path : slash + 1;
}

static void put_text(struct buf *out, const char *file, int line, enum log_level level, const char *event,
                     const struct log_field *fields, uint64_t left_out)
{
        static const char *const names[] = { "DEBU", "INFO", "WARN", "ERRO" };
        AUTO(buf) component = BUF_MAX(64);

        buf_put_char(&component, '[');
        for (const char *c = settings.component; *c != '\0' && component.len < 10; c++)
                buf_put_char(&component, *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c);
        buf_put_char(&component, ']');
        if (settings.journal < 0) { /* the journal has its own time */
                walltime_put_rfc3339(out, clock_wall(clock_system()));
                buf_put_char(out, ' ');
        }
        buf_printf(out, "%s %-11s %s", names[level], buf_c(&component), event);
        for (const struct log_field *f = fields; f->key != NULL; f++) {
                buf_printf(out, " %s:", f->key);
                put_value_text(out, f);
        }
        if (left_out > 0)
                buf_printf(out, " left_out:%llu", (unsigned long long)left_out);
        buf_printf(out, " %s:%d\n", base_name(file), line);
}

static void put_json(struct buf *out, const char *file, int line, enum log_level level, const char *event,
                     const struct log_field *fields, uint64_t left_out)
{
        static const char *const names[] = { "debug", "info", "warning", "error" };

        buf_put_c(out, "{\"timestamp\":\"");
        walltime_put_rfc3339_ms(out, clock_wall(clock_system()));
        buf_printf(out, "\",\"level\":\"%s\",\"component\":", names[level]);
        json_put_string(out, str_of(settings.component));
        buf_printf(out, ",\"caller\":\"%s:%d\",\"message\":", base_name(file), line);
        json_put_string(out, str_of(event));
        for (const struct log_field *f = fields; f->key != NULL; f++) {
                AUTO(buf) whole = BUF_MAX(4 * KiB);

                buf_printf(out, ",\"%s\":", f->key);
                if (f->kind == LOG_KIND_INT) {
                        buf_printf(out, "%lld", (long long)f->number);
                } else if (f->kind == LOG_KIND_STR) {
                        json_put_string(out, str_slice(f->str, 0, ESCAPE_LIMIT));
                } else {
                        put_error_text(&whole, f->error);
                        json_put_string(out, str_slice(buf_str(&whole), 0, 2 * KiB));
                }
        }
        if (left_out > 0)
                buf_printf(out, ",\"left_out\":%llu", (unsigned long long)left_out);
        buf_put_c(out, "}\n");
}

/* ---- the journal --------------------------------------------------------------------------------------- */

static const char priorities[] = { [LOG_DEBUG] = '7', [LOG_INFO] = '6', [LOG_WARN] = '4', [LOG_ERROR] = '3' }; /* of syslog(3) */

static void put_journal_field(struct buf *entry, const struct log_field *f)
{
        AUTO(buf) value = BUF_MAX(4 * KiB);

        if (f->kind == LOG_KIND_INT)
                buf_printf(&value, "%lld", (long long)f->number);
        else if (f->kind == LOG_KIND_STR)
                buf_put(&value, str_slice(f->str, 0, ESCAPE_LIMIT));
        else
                put_error_text(&value, f->error);
        journal_put_key(entry, f->key, buf_str(&value));
}

/* Sends an entry with the line `text` as MESSAGE. If it fails, `text` has its priority in front. */
static enum log_sent send_to_journal(struct buf *text, const char *file, int line, enum log_level level, const char *event,
                                     const struct log_field *fields, uint64_t left_out)
{
        AUTO(buf) entry = BUF_MAX(JOURNAL_ENTRY_MAX);
        AUTO(buf) line_number = BUF_MAX(16), prefixed = BUF_MAX(LINE_MAX_BYTES + 8);

        buf_printf(&line_number, "%d", line);
        journal_put_field(&entry, "MESSAGE", str_trim(buf_str(text)));
        journal_put_field(&entry, "PRIORITY", str_of_bytes(&priorities[level], 1));
        journal_put_field(&entry, "SYSLOG_IDENTIFIER", STR("teleport"));
        journal_put_field(&entry, "CODE_FILE", str_of(base_name(file)));
        journal_put_field(&entry, "CODE_LINE", buf_str(&line_number));
        journal_put_field(&entry, "TELEPORT_COMPONENT", str_of(settings.component));
        journal_put_field(&entry, "TELEPORT_EVENT", str_of(event));
        for (const struct log_field *f = fields; f->key != NULL; f++)
                put_journal_field(&entry, f);
        if (left_out > 0)
                put_journal_field(&entry, &LOG_INT("left_out", left_out));
        enum log_sent sent = entry.overflowed ? LOG_FAILED : log_sink_send(&settings.to_journal, settings.journal, buf_str(&entry));
        if (sent != LOG_FAILED)
                return sent;
        buf_printf(&prefixed, "<%c>", priorities[level]);
        buf_put(&prefixed, buf_str(text));
        buf_clear(text);
        buf_put(text, buf_str(&prefixed));
        return LOG_FAILED;
}

static enum log_sent write_line(const char *file, int line, enum log_level level, const char *event, const struct log_field *fields,
                                uint64_t left_out)
{
        AUTO(buf) out = BUF_MAX(LINE_MAX_BYTES);
        enum log_sent sent = LOG_FAILED;

        if (settings.options.format == LOG_JSON)
                put_json(&out, file, line, level, event, fields, left_out);
        else
                put_text(&out, file, line, level, event, fields, left_out);
        if (settings.journal >= 0)
                sent = send_to_journal(&out, file, line, level, event, fields, left_out);
        if (sent == LOG_FAILED)
                sent = log_sink_send(&settings.to_options, settings.options.fd, buf_str(&out));
        return sent;
}

void log_write_at(struct log_site *site, const char *file, int line, enum log_level level, const char *event,
                  const struct log_field *fields)
{
        if (level < settings.options.level || !log_rate_allows(site, level, fields, clock_now(clock_system())))
                return;
        enum log_sent sent = write_line(file, line, level, event, fields, site->left_out);
        site->left_out = 0;
        if (sent != LOG_SENT) {
                settings.lost++; /* a lost log line must not stop the process */
                return;
        }
        const struct log_field lost[] = { LOG_INT("lines", settings.lost), { .key = NULL } };
        if (settings.lost > 0 && write_line(__FILE__, __LINE__, LOG_WARN, "Log lines were lost: the log could not be written", lost, 0) == LOG_SENT)
                settings.lost = 0;
}
